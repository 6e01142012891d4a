package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// kind is what a cell's requests do.
type kind string

const (
	kindGet        kind = "get"         // 100 bytes
	kindJSON       kind = "json"        // POST 1 KiB, decode 1 KiB
	kindDownload   kind = "download"    // reads of 64 KiB
	kindCopy       kind = "copy"        // io.Copy to io.Discard
	kindSave       kind = "save"        // io.Copy to a file
	kindUploadFile kind = "upload-file" // an *os.File, its length known
	kindUpload     kind = "upload"      // a reader of unknown length
	kindConnect    kind = "connect"     // GET on a new TLS connection
	kindResume     kind = "resume"      // the same, the session resumed
	kindIdle       kind = "idle"        // connections that rest
)

// bulk reports whether a request of that kind moves env.Size bytes.
func (k kind) bulk() bool {
	switch k.plainKind() {
	case kindDownload, kindCopy, kindSave, kindUploadFile, kindUpload:
		return true
	}
	return false
}

// env is what a client's process is told; it comes as JSON.
type env struct {
	Client  string
	Kind    kind
	TLS     bool
	Conns   int
	Addr    string // the server's
	Roots   []byte // PEM; the server's certificate
	Size    int64  // of a bulk body
	File    string // holds Size bytes
	Sink    string // where to save to
	Barrier int    // connections to open for kindIdle
	Profile string // file for a CPU profile; "" = none
}

func (e *env) base() string {
	if e.TLS {
		return "https://" + e.Addr
	}
	return "http://" + e.Addr
}

// url is the one that all requests of this cell go to.
func (e *env) url() string {
	switch e.Kind {
	case kindJSON:
		return e.base() + pathJSON
	case kindDownload, kindCopy, kindSave:
		return fmt.Sprint(e.base(), pathStream, e.Size)
	case kindUploadFile, kindUpload:
		return e.base() + pathUpload
	case kindIdle:
		return fmt.Sprint(e.base(), pathBarrier, e.Barrier)
	}
	return e.base() + pathSmall
}

func (e *env) method() string {
	switch e.Kind {
	case kindJSON, kindUploadFile, kindUpload:
		return "POST"
	}
	return "GET"
}

// tlsConfig trusts the server. Sessions are resumed for kindResume only.
func (e *env) tlsConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(e.Roots)
	c := &tls.Config{RootCAs: pool, SessionTicketsDisabled: e.Kind == kindConnect}
	if e.Kind == kindResume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return c
}

// fresh reports whether each request is to have a connection of its own.
func (e *env) fresh() bool { return e.Kind == kindConnect || e.Kind == kindResume }

// task is what one worker repeats. It checks what it gets.
type task func(ctx context.Context) error

// maker makes a client and returns a function that makes the workers' tasks;
// nil if the client cannot do what e.Kind asks for.
type maker func(e *env) (func() task, error)

// timeout is what all clients with a timeout use.
const timeout = 30 * time.Second

func checkStatus(status int) error {
	if status != 200 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func checkLength[N int | int64](got, want N) error {
	if got != want {
		return fmt.Errorf("body of %d bytes, want %d", got, want)
	}
	return nil
}

func checkRecord(r *record) error {
	if r.ID != sample.ID || r.Address.Zip != sample.Address.Zip || len(r.Labels) != len(sample.Labels) {
		return fmt.Errorf("decoded to %+v", r)
	}
	return nil
}

// consumer takes a body as e.Kind wants it; one worker has one.
type consumer struct {
	e    *env
	buf  []byte
	sink *os.File
}

func newConsumer(e *env) (*consumer, error) {
	c := &consumer{e: e, buf: make([]byte, 4<<10)}
	switch e.Kind {
	case kindDownload:
		c.buf = make([]byte, 64<<10)
	case kindSave:
		f, err := os.OpenFile(e.Sink, os.O_RDWR|os.O_CREATE, 0o600)
		c.sink = f
		return c, err
	}
	return c, nil
}

func (c *consumer) take(body io.Reader) error {
	switch c.e.Kind {
	case kindJSON:
		var r record
		if err := json.NewDecoder(body).Decode(&r); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		return checkRecord(&r)
	case kindCopy:
		n, err := io.Copy(io.Discard, body)
		if err != nil {
			return err
		}
		return checkLength(n, c.e.Size)
	case kindSave:
		if _, err := c.sink.Seek(0, io.SeekStart); err != nil {
			return err
		}
		n, err := io.Copy(c.sink, body)
		if err != nil {
			return err
		}
		return checkLength(n, c.e.Size)
	case kindUploadFile, kindUpload:
		b, err := c.fill(body)
		if err != nil {
			return err
		}
		return c.checkUpload(b)
	case kindDownload:
		n, err := c.count(body)
		if err != nil {
			return err
		}
		return checkLength(n, c.e.Size)
	}
	b, err := c.fill(body)
	if err != nil {
		return err
	}
	return checkLength(len(b), smallSize)
}

// takeBytes is take for a body that is in memory.
func (c *consumer) takeBytes(b []byte) error {
	switch c.e.Kind {
	case kindJSON:
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			return err
		}
		return checkRecord(&r)
	case kindUploadFile, kindUpload:
		return c.checkUpload(b)
	}
	return checkLength(len(b), smallSize)
}

func (c *consumer) checkUpload(answer []byte) error {
	if string(answer) != fmt.Sprint(c.e.Size) {
		return fmt.Errorf("the server got %q bytes, want %d", answer, c.e.Size)
	}
	return nil
}

// fill reads a small body into the buffer.
func (c *consumer) fill(body io.Reader) ([]byte, error) {
	n := 0
	for n < len(c.buf) {
		m, err := body.Read(c.buf[n:])
		n += m
		if err == io.EOF {
			return c.buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("body of more than %d bytes", len(c.buf))
}

func (c *consumer) count(body io.Reader) (total int64, err error) {
	for {
		n, err := body.Read(c.buf)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// payload returns the body to send and its length: -1 = unknown; nil = none.
func (e *env) payload() (io.ReadCloser, int64, error) {
	switch e.Kind {
	case kindJSON:
		b, err := json.Marshal(&sample)
		return io.NopCloser(bytes.NewReader(b)), int64(len(b)), err
	case kindUploadFile:
		f, err := os.Open(e.File)
		return f, e.Size, err
	case kindUpload:
		return &source{left: e.Size}, -1, nil
	}
	return nil, 0, nil
}

// source yields bytes that cost nothing to make: it leaves the buffer as it is.
type source struct{ left int64 }

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(s.left, int64(len(p)))
	s.left -= n
	return int(n), nil
}

func (*source) Close() error { return nil }
