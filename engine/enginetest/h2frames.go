package enginetest

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/header"
)

// frameScript serves one connection frame by frame.
type frameScript func(c *frameConn)

// frameConn is a connection that a frameScript serves. Its methods end the
// script when the connection does.
type frameConn struct {
	*conn
	N      int
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder
	fields *hpack.Decoder
	// settings are the client's, as far as they were read.
	settings map[http2.SettingID]uint32
}

// frames starts a server that speaks HTTP/2 over TLS; connection n runs
// scripts[n], later ones the last. settings are sent at once.
func (t *T) frames(settings []http2.Setting, scripts ...frameScript) (*server, *authority) {
	t.Helper()
	ca := t.authority()
	cfg := ca.serverConfig()
	cfg.NextProtos = []string{"h2"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var plain []script
	for _, run := range scripts {
		plain = append(plain, func(c *conn) {
			f := newFrameConn(c)
			if settings != nil {
				f.greet(settings...)
			}
			run(f)
		})
	}
	s := t.scriptWith(tls.NewListener(l, cfg), (*server).serve, plain...)
	s.URL = "https://" + s.Addr
	return s, ca
}

func newFrameConn(c *conn) *frameConn {
	f := &frameConn{conn: c, N: c.N, settings: make(map[http2.SettingID]uint32)}
	if got := c.read(len(http2.ClientPreface)); got != http2.ClientPreface {
		c.t.Errorf("the connection begins with %q, not with the preface of HTTP/2", got)
		c.stop()
	}
	f.framer = http2.NewFramer(c.Conn, c.r)
	f.framer.AllowIllegalWrites, f.framer.AllowIllegalReads = true, true
	f.framer.SetMaxReadFrameSize(1 << 20)
	f.hpack = hpack.NewEncoder(&f.block)
	f.fields = hpack.NewDecoder(4096, nil)
	return f
}

// greet sends our settings.
func (c *frameConn) greet(settings ...http2.Setting) { c.check(c.framer.WriteSettings(settings...)) }

func (c *frameConn) check(err error) {
	if err != nil {
		c.stop()
	}
}

// next returns the next frame; SETTINGS and PING are answered and left out, and
// so are WINDOW_UPDATEs and acknowledgements.
func (c *frameConn) next() http2.Frame {
	for {
		f, err := c.framer.ReadFrame()
		c.check(err)
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil })
				c.check(c.framer.WriteSettingsAck())
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.check(c.framer.WritePing(true, f.Data))
			}
		case *http2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// h2request is a request as it came in frames.
type h2request struct {
	id      uint32
	pseudo  map[string]string
	order   []string // the names of all fields
	fields  header.Header
	trailer header.Header
	body    string
}

// head reads the HEADERS of a request; ended tells that they were all.
func (c *frameConn) head() (r *h2request, ended bool) {
	for {
		f, ok := c.next().(*http2.HeadersFrame)
		if !ok {
			continue
		}
		r = &h2request{id: f.StreamID, pseudo: make(map[string]string)}
		for _, one := range c.decode(f) {
			r.order = append(r.order, one.Name)
			if one.IsPseudo() {
				r.pseudo[one.Name] = one.Value
			} else {
				r.fields.Add(one.Name, one.Value)
			}
		}
		return r, f.StreamEnded()
	}
}

func (c *frameConn) decode(f *http2.HeadersFrame) []hpack.HeaderField {
	block := append([]byte(nil), f.HeaderBlockFragment()...)
	for ended := f.HeadersEnded(); !ended; {
		more, ok := c.next().(*http2.ContinuationFrame)
		if !ok {
			c.t.Error("HEADERS are not followed by CONTINUATION")
			c.stop()
		}
		block, ended = append(block, more.HeaderBlockFragment()...), more.HeadersEnded()
	}
	fields, err := c.fields.DecodeFull(block)
	if err != nil {
		c.t.Errorf("the field block of a request: %v", err)
		c.stop()
	}
	return fields
}

// request reads a whole request.
func (c *frameConn) request() *h2request {
	r, ended := c.head()
	for !ended {
		switch f := c.next().(type) {
		case *http2.DataFrame:
			r.body += string(f.Data())
			if n := len(f.Data()); n > 0 {
				c.check(c.framer.WriteWindowUpdate(0, uint32(n)))
			}
			ended = f.StreamEnded()
		case *http2.HeadersFrame:
			for _, one := range c.decode(f) {
				r.trailer.Add(one.Name, one.Value)
			}
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			c.stop()
		}
	}
	return r
}

// encode makes a field block of name, value, name, value, …
func (c *frameConn) encode(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.block.Bytes()
}

// headers sends HEADERS.
func (c *frameConn) headers(id uint32, end bool, fields ...string) {
	c.check(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.encode(fields...), EndHeaders: true, EndStream: end,
	}))
}

func (c *frameConn) data(id uint32, end bool, body string) {
	for first := true; first || body != ""; first = false {
		n := min(len(body), 16<<10)
		c.check(c.framer.WriteData(id, end && n == len(body), []byte(body[:n])))
		body = body[n:]
	}
}

// respond sends a whole response.
func (c *frameConn) respond(id uint32, body string) {
	c.headers(id, body == "", ":status", "200")
	if body != "" {
		c.data(id, true, body)
	}
}

// answers serves requests until the connection ends.
func (c *frameConn) answers(body string) {
	for {
		c.respond(c.request().id, body)
	}
}

// goneBy reads until the client ends the connection, and returns the code of its
// GOAWAY, if it sent one.
func (c *frameConn) goneBy() (code http2.ErrCode, said bool) {
	c.Conn.SetReadDeadline(time.Now().Add(patience))
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return code, said
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code, said = g.ErrCode, true
		}
	}
}

// reset waits for the client's RST_STREAM.
func (c *frameConn) reset() (id uint32, code http2.ErrCode) {
	for {
		if f, ok := c.next().(*http2.RSTStreamFrame); ok {
			return f.StreamID, f.ErrCode
		}
	}
}

// flood writes until the client has enough.
func (c *frameConn) flood(write func(i int) error) {
	c.Conn.SetWriteDeadline(time.Now().Add(patience))
	go io.Copy(io.Discard, c.Conn) // so that its answers don't fill the socket
	for i := 0; ; i++ {
		if write(i) != nil {
			return
		}
	}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
