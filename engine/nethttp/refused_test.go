package nethttp_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
)

// TestRefusalIsReadToItsEnd: a server that answers instead of asking for the
// body may take its time; the connection stays until the answer is read.
func TestRefusalIsReadToItsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer c.Close()
		if _, err = http.ReadRequest(bufio.NewReader(c)); err != nil {
			served <- err
			return
		}
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nfirst")
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = c.Read(make([]byte, 1)) // what the client does meanwhile: nothing
		io.WriteString(c, "other")
		served <- err
	}()
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	req := request(t, "http://"+l.Addr().String())
	req.Method, req.Header = "POST", header.New("Expect", "100-continue")
	req.Body = content.Reader(strings.NewReader(strings.Repeat("x", 1<<20)), "", 1<<20)
	resp, body := send(t, e, req)
	if resp.Status != 403 || body != "firstother" {
		t.Errorf("%d %q", resp.Status, body)
	}
	if err := <-served; !os.IsTimeout(err) {
		t.Errorf("while it answered the server saw %v", err)
	}
}
