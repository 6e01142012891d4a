package h2_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/h2"
)

// TestTunnelWithSettings: a server may send its SETTINGS before it has read
// anything, and a proxy may send them on in one packet with its 200.
func TestTunnelWithSettings(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if ask, err := http.ReadRequest(r); err != nil || ask.Method != "CONNECT" {
			t.Errorf("%v, %v; want CONNECT", ask, err)
			return
		}
		var begin bytes.Buffer
		io.WriteString(&begin, "HTTP/1.1 200 OK\r\n\r\n")
		http2.NewFramer(&begin, nil).WriteSettings()
		c.Write(begin.Bytes())
		if _, err := io.CopyN(io.Discard, r, int64(len(http2.ClientPreface))); err != nil {
			t.Error(err)
			return
		}
		framer := http2.NewFramer(c, r)
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if ask, ok := f.(*http2.HeadersFrame); ok {
				framer.WriteHeaders(http2.HeadersFrameParam{
					StreamID: ask.StreamID, BlockFragment: []byte{0x89}, // :status 204
					EndHeaders: true, EndStream: true,
				})
			}
		}
	})
	e := newEngine(t, h2.Config{Proxy: engine.FixedProxy(&url.URL{Scheme: "http", Host: l.Addr().String()})}, nil)
	resp, err := e.Execute(t.Context(), request(t, "GET", "http://origin.test/"))
	if read(t, resp, err); resp.Status != 204 {
		t.Errorf("status %d", resp.Status)
	}
}
