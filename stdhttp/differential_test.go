package stdhttp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/stdhttp"
)

// scripted is a server that reads a request, keeps its bytes, and sends what its
// script says.
type scripted struct {
	net.Listener
	reply string
	// early replies before the request's body is read.
	early bool
	// keep leaves the connection open for further requests.
	keep bool

	mu    sync.Mutex // guards what follows
	got   []string
	conns []net.Conn
	wg    sync.WaitGroup
}

func serveScript(t *testing.T, s *scripted) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() {
				defer c.Close()
				s.serve(c)
			})
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *scripted) stop() {
	s.Close()
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	s.wg.Wait()
}

func (s *scripted) serve(c net.Conn) {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for r := bufio.NewReader(c); ; {
		head, length, ok := readHead(r)
		if !ok {
			return
		}
		if s.early {
			s.note(head)
			io.WriteString(c, s.reply)
			io.Copy(io.Discard, r)
			return
		}
		if strings.Contains(head, "Expect: 100-continue") && strings.HasPrefix(s.reply, "HTTP/1.1 100") {
			interim, rest, _ := strings.Cut(s.reply, "\r\n\r\n")
			io.WriteString(c, interim+"\r\n\r\n")
			s.note(head + readBody(r, length))
			io.WriteString(c, rest)
		} else {
			s.note(head + readBody(r, length))
			io.WriteString(c, s.reply)
		}
		if !s.keep {
			return
		}
	}
}

func (s *scripted) note(request string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, request)
}

// requests returns what was received, fields sorted: their order is the engine's.
func (s *scripted) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// readHead returns the head with its fields in sorted order and the length of
// the body, -1 = chunked.
func readHead(r *bufio.Reader) (head string, length int64, ok bool) {
	tp := textproto.NewReader(r)
	var lines []string
	for {
		line, err := tp.ReadLine()
		if err != nil {
			return "", 0, false
		}
		if line == "" {
			break
		}
		lines = append(lines, line)
		if v, found := strings.CutPrefix(line, "Content-Length: "); found {
			fmt.Sscan(v, &length)
		}
		if line == "Transfer-Encoding: chunked" {
			length = -1
		}
	}
	if len(lines) == 0 {
		return "", 0, false
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n\n", length, true
}

// readBody returns the body; chunks as one, with the trailer.
func readBody(r *bufio.Reader, length int64) string {
	if length >= 0 {
		b, err := io.ReadAll(io.LimitReader(r, length))
		return string(b) + failed(err)
	}
	var out strings.Builder
	tp := textproto.NewReader(r)
	for {
		line, err := tp.ReadLine()
		if err != nil {
			return out.String() + failed(err)
		}
		var n int64
		fmt.Sscanf(line, "%x", &n)
		if n == 0 {
			h, err := tp.ReadMIMEHeader()
			for _, name := range slices.Sorted(mapsKeys(h)) {
				fmt.Fprintf(&out, "\n%s: %q", name, h[name])
			}
			return out.String() + failed(err)
		}
		if _, err := io.CopyN(&out, r, n); err != nil {
			return out.String() + failed(err)
		}
		tp.ReadLine()
	}
}

func mapsKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return " [cut off]"
}

// outcome is all that can be seen of a RoundTrip.
type outcome struct {
	Sent                     []string
	Err                      string
	Status, Proto            string
	StatusCode, Major, Minor int
	Header, Trailer          http.Header
	Announced                []string
	Length                   int64
	TransferEncoding         []string
	Close, Uncompressed, TLS bool
	SameRequest              bool
	NoBody                   bool
	Body, BodyErr            string
	BodyClosed               int32
	GetBodies                int32
}

// class names an error by what users of net/http look for.
func class(err error) string {
	if err == nil {
		return ""
	}
	var names []string
	add := func(yes bool, name string) {
		if yes {
			names = append(names, name)
		}
	}
	var ne net.Error
	add(errors.As(err, &ne) && ne.Timeout(), "timeout")
	add(errors.Is(err, context.Canceled), "canceled")
	add(errors.Is(err, context.DeadlineExceeded), "deadline exceeded")
	add(errors.Is(err, io.EOF), "EOF")
	add(errors.Is(err, io.ErrUnexpectedEOF), "unexpected EOF")
	add(errors.Is(err, syscall.ECONNREFUSED), "refused")
	add(errors.Is(err, errBody), "body's error")
	add(errors.Is(err, os.ErrDeadlineExceeded), "os deadline")
	if len(names) == 0 {
		return "other"
	}
	return strings.Join(names, ", ")
}

var errBody = errors.New("the body failed")

// tracked is a request body that counts.
type tracked struct {
	io.Reader
	closed   *atomic.Int32
	closeErr error
}

func (b *tracked) Close() error {
	b.closed.Add(1)
	return b.closeErr
}

// atEnd is a body that does something at its end.
type atEnd struct {
	io.ReadCloser
	do func()
}

func (b *atEnd) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.do()
	}
	return n, err
}

// scenario is one exchange.
type scenario struct {
	name    string
	request func(r *http.Request)
	body    func() io.Reader
	// closeErr is what the body's Close returns.
	closeErr error
	// replay sets GetBody.
	replay bool
	reply  string
	early  bool
	keep   bool
	// changes tells that the body changes the request.
	changes bool
	times   int // how often it is sent, one after the other; 0 = 1
	// differ adjusts an outcome for what is known to differ, and says why.
	differ func(engine string, std, ours *outcome)
}

// run sends the scenario's request by rt.
func (sc *scenario) run(t *testing.T, rt http.RoundTripper) (out outcome) {
	server := serveScript(t, &scripted{reply: sc.reply, early: sc.early, keep: sc.keep})
	defer server.stop()
	for range max(1, sc.times) {
		out = sc.once(t, rt, server)
	}
	for _, r := range server.requests() {
		out.Sent = append(out.Sent, strings.ReplaceAll(r, server.Addr().String(), "HOST"))
	}
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return out
}

func (sc *scenario) once(t *testing.T, rt http.RoundTripper, server *scripted) (out outcome) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+server.Addr().String()+"/path?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	var closed, getBodies atomic.Int32
	if sc.body != nil {
		r.Body = &tracked{sc.body(), &closed, sc.closeErr}
		if sc.replay {
			r.GetBody = func() (io.ReadCloser, error) {
				getBodies.Add(1)
				return &tracked{sc.body(), &closed, sc.closeErr}, nil
			}
		}
	}
	if sc.request != nil {
		sc.request(r)
	}
	before := fmt.Sprintf("%v %v %v %v %v %v", r.Header, r.Trailer, r.URL, r.Host, r.ContentLength, r.Close)
	resp, err := rt.RoundTrip(r)
	if (err == nil) != (resp != nil) {
		t.Fatalf("RoundTrip = %v, %v", resp, err)
	}
	out.Err = class(err)
	if err == io.EOF {
		out.Err += " itself"
	}
	if err == nil {
		out.read(resp, r)
	}
	waitClosed(t, &closed, &getBodies, sc.body != nil)
	out.BodyClosed, out.GetBodies = closed.Load(), getBodies.Load()
	if after := fmt.Sprintf("%v %v %v %v %v %v", r.Header, r.Trailer, r.URL, r.Host, r.ContentLength, r.Close); before != after && !sc.changes {
		t.Errorf("the request changed:\n%s\nwas\n%s", after, before)
	}
	return out
}

// waitClosed waits until each body was closed: RoundTrip may do so a little later.
func waitClosed(t *testing.T, closed, getBodies *atomic.Int32, has bool) {
	if !has {
		return
	}
	for start := time.Now(); closed.Load() < 1+getBodies.Load(); {
		if time.Since(start) > 5*time.Second {
			t.Errorf("%d bodies, %d closed", 1+getBodies.Load(), closed.Load())
			return
		}
		<-time.After(100 * time.Microsecond)
	}
}

func (out *outcome) read(resp *http.Response, r *http.Request) {
	out.Status, out.StatusCode, out.Proto, out.Major, out.Minor = resp.Status, resp.StatusCode, resp.Proto, resp.ProtoMajor, resp.ProtoMinor
	out.Header, out.Length, out.TransferEncoding = resp.Header, resp.ContentLength, resp.TransferEncoding
	out.Close, out.Uncompressed, out.TLS = resp.Close, resp.Uncompressed, resp.TLS != nil
	out.SameRequest, out.NoBody = resp.Request == r, resp.Body == http.NoBody
	out.Announced = slices.Sorted(mapsKeys(resp.Trailer))
	b, err := io.ReadAll(resp.Body)
	out.Body, out.BodyErr = string(b), class(err)
	if err != nil && (err == io.ErrUnexpectedEOF) != strings.Contains(out.BodyErr, "unexpected EOF") {
		out.BodyErr += " wrapped"
	}
	resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		out.BodyErr += " and no error after Close"
	}
	out.Trailer = resp.Trailer
}

func TestLikeNetHTTP(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			std := &http.Transport{ExpectContinueTimeout: time.Second}
			defer std.CloseIdleConnections()
			want := sc.run(t, std)
			for _, e := range engines {
				t.Run(e.Name(), func(t *testing.T) {
					got, want := sc.run(t, stdhttp.Transport(newClient(t, e))), want
					want.Sent, want.Trailer = slices.Clone(want.Sent), want.Trailer.Clone()
					if sc.differ != nil {
						sc.differ(e.Name(), &want, &got)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("net/http (-), stdhttp on %s (+):\n%s", e.Name(), diff)
					}
				})
			}
		})
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func sized(head, body string) string {
	return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
}
