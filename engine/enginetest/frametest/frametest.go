// Package frametest is a server for tests that speaks HTTP/2 frame by frame, or
// whatever else a test wants of a connection.
package frametest

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Server is made by [Serve]. It ends with its test.
type Server struct {
	// URL is the server's, without a path.
	URL      string
	accepted atomic.Int32
}

// Accepted returns how many connections there have been.
func (s *Server) Accepted() int { return int(s.accepted.Load()) }

// Config configures a server.
type Config struct {
	// TLS is the server's; nil = cleartext HTTP/2 with prior knowledge.
	TLS *tls.Config
	// Settings are sent when the client's preface is there.
	Settings []http2.Setting
	// Other serves connections on which the client chose another protocol by ALPN;
	// n counts connections from 1. nil = they are closed.
	Other func(c net.Conn, n int)
}

// Serve starts a server that runs script for each connection, which is closed
// when that returns.
func Serve(t testing.TB, config Config, script func(c *Conn)) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: "http://" + l.Addr().String()}
	if config.TLS != nil {
		s.URL = "https://" + l.Addr().String()
	}
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.accepted.Add(1))
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c, n, config, script)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

func serve(c net.Conn, n int, config Config, script func(c *Conn)) {
	if config.TLS != nil {
		secure := tls.Server(c, config.TLS)
		if secure.Handshake() != nil {
			return
		}
		if c = secure; secure.ConnectionState().NegotiatedProtocol != "h2" {
			if config.Other != nil {
				config.Other(c, n)
			}
			return
		}
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	f := &Conn{Conn: c, Framer: http2.NewFramer(c, c), N: n, decoder: hpack.NewDecoder(4096, nil)}
	f.AllowIllegalReads, f.AllowIllegalWrites = true, true // PRIORITY_UPDATE; what tests want
	f.encoder = hpack.NewEncoder(&f.block)
	if f.WriteSettings(config.Settings...) == nil {
		script(f)
	}
}

// Conn is a connection of a [Server].
type Conn struct {
	net.Conn
	*http2.Framer
	// N counts the connections from 1.
	N int

	block   bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
}

// Next returns the next frame that is not SETTINGS, PING, which are answered, or
// WINDOW_UPDATE; nil at the end of the connection.
func (c *Conn) Next() http2.Frame {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && c.WriteSettingsAck() != nil {
				return nil
			}
		case *http2.PingFrame:
			if !f.IsAck() && c.WritePing(true, f.Data) != nil {
				return nil
			}
		case *http2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// Head reads up to the next HEADERS, and returns the stream and its Fields. id is
// 0 at the end of the connection.
func (c *Conn) Head() (id uint32, fields map[string]string) {
	for {
		switch f := c.Next().(type) {
		case nil:
			return 0, nil
		case *http2.HeadersFrame:
			return f.StreamID, c.Fields(f)
		}
	}
}

// Fields returns the fields of a whole HEADERS frame, which must be asked for of
// each and in order; of those that are there more than once the last.
func (c *Conn) Fields(f *http2.HeadersFrame) map[string]string {
	list, err := c.decoder.DecodeFull(f.HeaderBlockFragment())
	if err != nil {
		return nil
	}
	fields := make(map[string]string)
	for _, one := range list {
		fields[one.Name] = one.Value
	}
	return fields
}

// Headers sends HEADERS with fields: name, value, name, value, …
func (c *Conn) Headers(id uint32, end bool, fields ...string) error {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return err
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end})
}

// Answer serves requests until the connection ends: 200 and a body.
func (c *Conn) Answer(body string) {
	for {
		id, _ := c.Head()
		if id == 0 || c.Headers(id, false, ":status", "200") != nil || c.WriteData(id, true, []byte(body)) != nil {
			return
		}
	}
}
