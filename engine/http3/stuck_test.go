package http3_test

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestStuckUpload: a server that answers in full, and neither reads the request's
// body nor says that it does not want it, holds nothing for long: the connection
// is given up a few seconds later.
func TestStuckUpload(t *testing.T) {
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1")}, NextProtos: []string{"h3"}},
		&quic.Config{InitialStreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan *quic.Conn, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err != nil {
			return
		}
		accepted <- c
		if control, err := c.OpenUniStream(); err == nil {
			_, _ = control.Write([]byte{0x00, 0x04, 0x00}) // control stream, empty SETTINGS
		}
		stream, err := c.AcceptStream(t.Context())
		if err != nil {
			return
		}
		// With the first bytes of the body a write of more than the window is under
		// way, and stays so.
		_, _ = io.ReadFull(stream, make([]byte, 400))
		_, _ = stream.Write([]byte{0x01, 0x03, 0x00, 0x00, 0xd9}) // HEADERS, :status 200
		_ = stream.Close()
	}()
	e := newEngine(t, http3.Config{})
	req := request(t, "POST", "https://"+l.Addr().String())
	closed := make(chan struct{})
	req.Body = content.Reader(&endless{closed: closed}, "", -1)
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); len(text) > 0 || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	within(t, "the body's Close", closed)
	within(t, "the connection's end", within(t, "the connection", accepted).Context().Done())
}
