package http3

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// body is a response's body.
type body struct {
	x             *exchange
	resp          *http.Response
	err           error // of all further reads
	ended, closed atomic.Bool
}

var errBodyClosed = errors.New("http3: read of a closed response body")

// Read reads the body within context, deadline and idle timeout.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, errBodyClosed
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	b.x.timers.StartIdle()
	n, err := b.next(p)
	b.x.timers.Stop(engine.KindIdle)
	if err == nil {
		return n, nil
	}
	if b.closed.Load() {
		return 0, errBodyClosed
	}
	limit := b.x.engine.config.MaxHeaderFields
	switch fields := count(b.resp.Trailer); {
	case err == io.EOF && unfinished(b.resp.Body):
		b.err = b.x.failure(io.ErrUnexpectedEOF)
	case err == io.EOF && fields > limit:
		b.err = &engine.OpError{Op: engine.OpReceive, Err: tooManyFields(fields, limit), Sent: true}
	case err == io.EOF:
		b.err = io.EOF
	default:
		b.err = b.x.failure(err)
	}
	b.ended.Store(true)
	b.resp.Body.Close()
	b.x.finish()
	return n, b.err
}

// unfinished reports whether a body whose stream has ended lacks a part of its
// last frame: quic-go v0.65 takes that for the body's end (RFC 9114 §7.1), and
// without a Content-Length nothing else tells. There is no other way to ask; if
// quic-go changes, the answer is no, and a test says so.
func unfinished(body io.Reader) bool {
	v := reflect.ValueOf(body)
	for _, field := range []string{"body", "str", "bytesRemainingInFrame"} {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return false
		}
		v = v.FieldByName(field)
	}
	return v.CanUint() && v.Uint() > 0
}

// maxEmpty bounds how many empty frames may follow each other.
const maxEmpty = 10_000

// next reads what comes next, beyond frames without content.
func (b *body) next(p []byte) (n int, err error) {
	for range maxEmpty {
		if n, err = b.resp.Body.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, &engine.ProtocolError{Reason: fmt.Sprintf("more than %d empty frames follow each other", maxEmpty), Section: "RFC 9114 §10.5"}
}

// Close ends the exchange.
func (b *body) Close() error {
	if !b.closed.Swap(true) && !b.ended.Load() {
		// First the context: with it quic-go gives up both directions, where the
		// body's own Close leaves a request that is still being written.
		b.x.cancel(errBodyClosed)
		b.x.finish()
	}
	return nil
}

// trailer returns the trailer fields; before the end there are none.
func (b *body) trailer() header.Header {
	if !b.ended.Load() {
		return header.Header{}
	}
	return convert(b.resp.Trailer)
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
	return &limitError{&engine.ProtocolError{Reason: fmt.Sprintf("the response has %d fields, the limit MaxHeaderFields is %d", n, limit)}}
}

// convert returns the fields in alphabetical order.
func convert(from http.Header) header.Header {
	fields := make([]header.Field, 0, len(from)+1)
	for name, values := range from {
		for _, value := range values {
			fields = append(fields, header.Field{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(fields, func(a, b header.Field) int { return cmp.Compare(a.Name, b.Name) })
	return header.Of(fields)
}
