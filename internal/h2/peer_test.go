package h2_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/internal/h2"
)

// peer is a server at the other end of a pipe.
type peer struct {
	t testing.TB
	net.Conn
	settings []byte // the payload of its SETTINGS
}

// connect makes a connection to a peer that has sent its settings, in the order
// id, value, id, value, …
func connect(t testing.TB, cfg h2.Config, settings ...uint32) (*h2.Conn, *peer) {
	t.Helper()
	client, server := net.Pipe()
	c := h2.New(client, cfg)
	t.Cleanup(func() {
		c.Close()
		server.Close()
		<-c.Done()
	})
	p := &peer{t: t, Conn: server}
	for i := 0; i < len(settings); i += 2 {
		id, v := settings[i], settings[i+1]
		p.settings = append(p.settings, byte(id>>8), byte(id), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	p.send(h2.FrameSettings, 0, 0, string(p.settings))
	<-c.Settled()
	return c, p
}

func (p *peer) send(kind h2.FrameType, flags h2.Flags, id uint32, payload string) {
	p.t.Helper()
	if _, err := p.Write(raw(kind, flags, id, payload)); err != nil {
		p.t.Fatal(err)
	}
}

// settle returns when the connection has dealt with all that was sent: it takes
// a pipe's next bytes after that.
func (p *peer) settle() { p.send(0xee, 0, 0, "") }

// frames calls f for each frame of the client but SETTINGS, until it returns
// false or the connection ends.
func (p *peer) frames(f func(h h2.FrameHeader, payload []byte) bool) {
	io.CopyN(io.Discard, p, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	head := make([]byte, h2.FrameHeaderLen)
	for {
		if _, err := io.ReadFull(p, head); err != nil {
			return
		}
		h := h2.ParseFrameHeader(head)
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(p, payload); err != nil {
			return
		}
		if h.Type != h2.FrameSettings && !f(h, payload) {
			return
		}
	}
}

// block encodes fields name, value, name, value, …
func block(fields ...string) string {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.String()
}

// openWith opens a stream.
func openWith(t testing.TB, c *h2.Conn, head *h2.RequestHead, body []byte, end bool) (s *h2.Stream, whole bool, err error) {
	t.Helper()
	if _, _, ok := c.Reserve(); !ok {
		t.Fatal("the connection takes no streams")
	}
	s = new(h2.Stream)
	s.Bind(c)
	if err := head.Check(); err != nil {
		t.Fatal(err)
	}
	whole, err = c.Open(s, head, body, end)
	return s, whole, err
}
