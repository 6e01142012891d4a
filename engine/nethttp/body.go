package nethttp

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// body is a response's body.
type body struct {
	x             *exchange
	resp          *http.Response
	err           error // of all further reads
	ended, closed atomic.Bool
	released      atomic.Bool // net/http's body is closed
}

var errBodyClosed = errors.New("nethttp: read of a closed response body")

// Read reads the body within context, deadline and idle timeout.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, errBodyClosed
	case b.err != nil:
		return 0, b.err
	case b.ended.Load():
		return 0, io.EOF
	}
	b.x.timers.StartIdle()
	n, err := b.resp.Body.Read(p)
	b.x.timers.Stop(engine.KindIdle)
	if err == nil {
		return n, nil
	}
	if b.closed.Load() {
		return 0, errBodyClosed
	}
	if b.err = err; err == io.EOF && b.x.faulted() == nil {
		b.ended.Store(true)
	} else {
		b.err = b.x.failure(err)
	}
	b.release()
	return n, b.err
}

// Close ends the exchange.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.release()
	}
	return nil
}

// release closes net/http's body and ends the exchange, once: a RoundTripper of
// others may count.
func (b *body) release() {
	if !b.released.Swap(true) {
		b.resp.Body.Close()
		b.x.finish()
	}
}

func (b *body) trailer() header.Header { return convert(b.resp.Trailer) }

// upgraded hands the connection of a 101 over.
func (x *exchange) upgraded(out *engine.Response, resp *http.Response) (*engine.Response, error) {
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		resp.Body.Close()
		return nil, &engine.ProtocolError{Reason: "101 whose connection net/http does not hand over: its Upgrade and Connection fields do not say so, or the RoundTripper keeps it", Section: "RFC 9110 §7.8"}
	}
	x.timers.Stop(engine.KindRequest, engine.KindIdle)
	out.Body, out.ContentLength = http.NoBody, 0
	x.mu.Lock()
	out.Upgraded = &upgradedConn{ReadWriteCloser: stream, x: x, conn: x.conn}
	if x.own != nil {
		x.own.upgraded.Store(true)
	}
	x.mu.Unlock()
	return out, nil
}

// upgradedConn is the raw connection after a 101. Its reads begin with what came
// behind the head; what else a net.Conn can is the connection's own.
type upgradedConn struct {
	io.ReadWriteCloser
	x    *exchange
	conn net.Conn
}

// Close closes the connection.
func (u *upgradedConn) Close() error {
	err := u.ReadWriteCloser.Close()
	u.x.finish()
	return err
}

// SetDeadline sets both deadlines.
func (u *upgradedConn) SetDeadline(t time.Time) error { return u.conn.SetDeadline(t) }

// SetReadDeadline makes reads fail at t; zero = never.
func (u *upgradedConn) SetReadDeadline(t time.Time) error { return u.conn.SetReadDeadline(t) }

// SetWriteDeadline makes writes fail at t; zero = never.
func (u *upgradedConn) SetWriteDeadline(t time.Time) error { return u.conn.SetWriteDeadline(t) }

// CloseWrite ends what the peer reads, where the connection can do that.
func (u *upgradedConn) CloseWrite() error {
	if c, ok := u.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// count returns the number of fields.
func count(h http.Header) int {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n
}

func tooManyFields(n, limit int) error {
	return &engine.ProtocolError{Reason: fmt.Sprintf("the response has %d fields, the limit MaxHeaderFields is %d", n, limit)}
}

// fromHTTP returns the fields of resp in alphabetical order, with those that
// net/http has taken out.
func fromHTTP(resp *http.Response) header.Header {
	h := convert(resp.Header)
	if len(resp.TransferEncoding) > 0 {
		h.AddAll("Transfer-Encoding", resp.TransferEncoding...)
	}
	if len(resp.Trailer) > 0 {
		h.SetIfAbsent("Trailer", strings.Join(slices.Sorted(maps.Keys(resp.Trailer)), ", "))
	}
	head := resp.Request != nil && resp.Request.Method == http.MethodHead
	framed := head || resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 // else Close tells of the framing
	if resp.Close && framed && resp.ProtoMajor == 1 && resp.ProtoMinor > 0 {
		h.SetIfAbsent("Connection", "close")
	}
	return h
}

func convert(from http.Header) header.Header {
	fields := make([]header.Field, 0, len(from)+1)
	for name, values := range from {
		for _, value := range values {
			fields = append(fields, header.Field{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(fields, func(a, b header.Field) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return header.Of(fields)
}

// length returns the body's length, or what the header announces where there is
// no body.
func length(resp *http.Response, method string) int64 {
	if method != http.MethodHead && resp.StatusCode != http.StatusNotModified {
		return resp.ContentLength
	}
	n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
