package enginetest

import (
	"io"
	"net/url"
	"strconv"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Reply is a response of the group Contract. Engines with a wire get it from a
// real server; others by the function given to [Canned].
type Reply struct {
	// Status is the status code; 0 = 200. Reason is the phrase.
	Status int
	Reason string
	// Header holds the fields; Content-Length and Transfer-Encoding are not
	// among them.
	Header header.Header
	// Body is the body. It is of unknown length if Trailer has fields.
	Body    string
	Trailer header.Header
	// Informational are 1xx responses to show to Trace before the final one.
	Informational []Informational
	// Hang delays the response until the channel is closed, or the request ends
	// by its context or deadline; nil = no delay.
	Hang <-chan struct{}
	// Stall gives the first half of Body and delays the rest in the same way.
	Stall <-chan struct{}
	// Truncate announces all of Body and ends after half of it.
	Truncate bool
	// Upgrade plays the peer of a raw stream after a 101 or a 2xx to CONNECT;
	// the stream ends when it returns.
	Upgrade func(io.ReadWriter)
}

// Informational is a 1xx response.
type Informational struct {
	Status int
	Header header.Header
}

// contract makes an engine and the URL to ask: every request is answered by
// answer.
func (t *T) contract(answer func(*engine.Request) Reply) (engine.Engine, string) {
	t.Helper()
	if t.s.canned == nil {
		return t.engine(), t.script(func(c *conn) { c.contract(answer) }).URL
	}
	e, err := t.s.canned(engine.Config{}, answer)
	if err != nil {
		t.Fatalf("making the canned engine: %v", err)
	}
	t.onEnd(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Engine.Close: %v", err)
		}
	})
	return e, "http://canned.example"
}

// contract answers the requests of a connection by answer.
func (c *conn) contract(answer func(*engine.Request) Reply) {
	for {
		r := c.head()
		if !tunnels(r) {
			c.readBody(r)
		}
		target := r.Target
		if r.Method == "CONNECT" {
			target = "//" + target
		}
		u, err := url.Parse(target)
		if err != nil {
			c.t.Errorf("request target %q: %v", r.Target, err)
			c.stop()
		}
		req := &engine.Request{Method: r.Method, URL: u, Header: r.Fields, Protocol: r.Fields.Get("Upgrade")}
		if r.Trailer.Len() > 0 {
			req.Trailer = func() header.Header { return r.Trailer }
		}
		if r.Body != "" {
			req.Body = sized(int64(len(r.Body)), r.Body)
		}
		c.reply(req, answer(req))
	}
}

// tunnels reports whether what follows the head is no body.
func tunnels(r *received) bool { return r.Method == "CONNECT" }

func (c *conn) reply(req *engine.Request, a Reply) {
	for _, info := range a.Informational {
		c.write("HTTP/1.1 ", itoa(info.Status), " Info\r\n", info.Header.String(), "\r\n")
	}
	if a.Hang != nil {
		c.wait(a.Hang)
	}
	status := a.Status
	if status == 0 {
		status = 200
	}
	head := "HTTP/1.1 " + itoa(status) + " " + a.Reason + "\r\n" + a.Header.String()
	length := "Content-Length: " + itoa(len(a.Body)) + "\r\n\r\n"
	half := len(a.Body) / 2
	switch {
	case a.Upgrade != nil:
		if status == 101 {
			head += "Connection: Upgrade\r\nUpgrade: " + req.Header.Get("Upgrade") + "\r\n"
		}
		c.write(head, "\r\n")
		a.Upgrade(struct {
			io.Reader
			io.Writer
		}{c.r, c.Conn})
		c.end()
		c.stop()
	case req.Method == "HEAD":
		c.write(head, length)
	case status == 204 || status == 304:
		c.write(head, "\r\n")
	case a.Truncate:
		c.write(head, length, a.Body[:half])
		c.end()
		c.stop()
	case a.Stall != nil:
		c.write(head, length, a.Body[:half])
		c.wait(a.Stall)
		c.write(a.Body[half:])
	case a.Trailer.Len() > 0:
		c.write(head, "Transfer-Encoding: chunked\r\n\r\n", strconv.FormatInt(int64(len(a.Body)), 16), "\r\n", a.Body, "\r\n0\r\n", a.Trailer.String(), "\r\n")
	default:
		c.write(head, length, a.Body)
	}
}
