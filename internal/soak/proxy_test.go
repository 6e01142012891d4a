package soak_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit/internal/leakcheck"
)

// maxProxied is how many connections the proxy takes at once.
const maxProxied = crowd / 2

// proxy takes CONNECT, and other requests for the plain server, which reads the
// absolute-form itself. It fails by chance, which no client can foresee.
type proxy struct {
	listener *leakcheck.Listener
	url      *url.URL
	plain    string // address of the plain server
	seed     uint64
	conns    atomic.Uint64
	open     atomic.Int64
}

func newProxy(t *testing.T, plain string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: leakcheck.Listen(l), plain: plain, seed: seed}
	p.url = mustURL(t, "http://"+l.Addr().String())
	serveAll(t, p.listener, p.listener, p.serve)
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer p.open.Add(-1)
	if p.open.Add(1) > maxProxied {
		return
	}
	r := rand.New(rand.NewPCG(p.seed, crowd+p.conns.Add(1)))
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	reset := func() {
		if tcp, ok := tcp(c); ok {
			tcp.SetLinger(0)
		}
	}
	switch r.IntN(20) {
	case 0:
		return
	case 1:
		reset()
		return
	case 2:
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsorry\n")
		return
	case 3:
		io.WriteString(c, "HTTP/1.1 200")
		return
	case 4:
		io.WriteString(c, "poison\r\n\r\n")
		return
	}
	target, head := p.plain, line
	if rest, ok := strings.CutPrefix(line, "CONNECT "); ok {
		target, _, _ = strings.Cut(rest, " ")
		head = ""
		for field := ""; field != "\r\n"; {
			if field, err = in.ReadString('\n'); err != nil {
				return
			}
		}
	}
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	if head == "" {
		for _, part := range []string{"HTTP/1.1 200 Conn", "ection established\r\n", "\r\n"} {
			io.WriteString(c, part)
		}
	}
	io.WriteString(out, head)
	limit := int64(1 << 60)
	if r.IntN(4) == 0 {
		limit = r.Int64N(20_000)
	}
	p.splice(c, in, out, limit)
	if r.IntN(2) == 0 {
		reset()
	}
}

// splice passes bytes on, in the direction of the client at most limit.
func (p *proxy) splice(c net.Conn, in io.Reader, out net.Conn, limit int64) {
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(out, in)
		out.(*net.TCPConn).CloseWrite()
	})
	io.CopyN(c, out, limit)
	c.(interface{ Close() error }).Close()
	out.Close()
	wg.Wait()
}
