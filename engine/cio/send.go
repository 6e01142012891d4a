package cio

import (
	"errors"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

// maxInline is the largest body in memory that the caller's goroutine writes
// itself, before it looks for an answer, as far as the socket takes it in at once.
const maxInline = 64 << 10

// send writes the request, or starts the goroutine that writes its body.
func (x *exchange) send() error {
	head, length, err := x.makeHead()
	if err != nil {
		return err
	}
	if length == h1.NoBody {
		return x.sendWhole(head, nil)
	}
	return x.sendBoth(head, length)
}

// makeHead makes the request's head and tells the length of its body.
func (x *exchange) makeHead() (head []byte, length int64, err error) {
	length, names := x.bodyLength()
	x.takeBuffer()
	head, err = h1.AppendRequestHead(x.small[:0], &h1.RequestHead{
		Method:             x.req.Method,
		URL:                x.req.URL,
		Target:             x.target(),
		Header:             x.fields(),
		ProxyAuthorization: x.conn.ProxyAuthorization,
		Length:             length,
		TrailerNames:       names,
		Protocol:           x.req.Protocol,
	})
	if err != nil {
		return nil, 0, &engine.OpError{Op: engine.OpBuild, Err: err}
	}
	if x.asksToClose() {
		x.noReuse = errNotKept
	}
	return head, length, nil
}

// sendBoth is send where there is a body.
func (x *exchange) sendBoth(head []byte, length int64) error {
	if header.EqualFold(x.req.Header.Get("Expect"), "100-continue") {
		return x.sendExpecting(head, length)
	}
	if data, ok := content.BytesOf(x.req.Body); ok && length >= 0 && len(data) <= maxInline {
		if int64(len(data)) != length {
			return lengthError(int64(len(data)) > length)
		}
		return x.sendWhole(head, data)
	}
	if !x.seen() {
		return errUnfit // the body may be one that can be opened only once
	}
	body, err := x.open()
	if err != nil {
		return err
	}
	if err := x.sendHead(head); err != nil {
		body.Close()
		return err
	}
	x.startUpload(body, length)
	return nil
}

// bodyLength returns the length for the head's framing, and the names of the
// trailer fields, which only chunks can carry.
func (x *exchange) bodyLength() (int64, []string) {
	body := x.req.Body
	if body == nil {
		return h1.NoBody, nil
	}
	if names := x.trailerNames(); len(names) > 0 {
		return h1.Chunked, names
	}
	n := body.ContentLength()
	if n == 0 {
		// That a body which is not in memory is empty is to be seen first.
		if _, ok := content.BytesOf(body); ok {
			return h1.NoBody, nil
		}
	}
	return max(n, h1.Chunked), nil
}

func (x *exchange) trailerNames() []string {
	if x.req.Trailer != nil {
		return x.req.TrailerNames
	}
	if t, ok := x.req.Body.(content.Trailerer); ok {
		return t.TrailerNames()
	}
	return nil
}

// trailers returns the trailer fields; the body is at its end.
func (x *exchange) trailers() header.Header {
	if x.req.Trailer != nil {
		return x.req.Trailer()
	}
	if t, ok := x.req.Body.(content.Trailerer); ok {
		return t.Trailers()
	}
	return header.Header{}
}

// fields returns those of the request that are for who reads it.
func (x *exchange) fields() header.Header {
	if x.conn.Forward {
		return x.req.Header
	}
	return dial.ForOrigin(x.req.Header)
}

func (x *exchange) target() h1.Target {
	if x.conn.Forward {
		return h1.TargetAbsolute
	}
	return h1.TargetOrigin
}

// asksToClose reports whether the request says Connection: close.
func (x *exchange) asksToClose() bool {
	h := x.req.Header
	for i := range h.Len() {
		if f := h.At(i); len(f.Name) == len("Connection") && header.EqualFold(f.Name, "Connection") && h1.ListHas(f.Value, "close") {
			return true
		}
	}
	return false
}

// open opens the body. Nothing was written yet, or else the connection is lost.
func (x *exchange) open() (*transfer.Source, error) {
	x.opened = true
	return transfer.Open(x.ctx, x.req.Body, x.clock.Whole, x.engine.start)
}

// sendHead writes a head that a body follows.
func (x *exchange) sendHead(head []byte) error {
	if !x.seen() {
		return errUnfit
	}
	if err := x.write(head); err != nil {
		return &engine.OpError{Op: engine.OpSend, Err: err}
	}
	if t := x.req.Trace; t != nil && t.WroteHeader != nil {
		t.WroteHeader()
	}
	return nil
}

// sendWhole writes head and body from this goroutine, by one system call. What is
// not taken in at once is sent by another: the peer may answer, and wait for the
// answer to be read, before it has read all.
func (x *exchange) sendWhole(head, body []byte) error {
	var err error
	if len(body) == 0 || len(body) <= cap(head)-len(head) && x.conn.takesIn() {
		err = x.ask(append(head, body...))
	} else {
		err = x.gather(head, body)
	}
	if x.upload != nil {
		return nil // it tells the trace and the clock
	}
	if err != nil || x.req.Trace != nil {
		if err = x.toldWhole(err); err != nil {
			return err
		}
	}
	x.clock.requestSent(x.conn)
	return nil
}

// toldWhole tells the trace how sendWhole ended. If the peer did not take all it
// may have said why: the error is kept until that has been looked for.
func (x *exchange) toldWhole(err error) error {
	if err == errUnfit {
		return err
	}
	if err != nil {
		if !broken(err) {
			return &engine.OpError{Op: engine.OpSend, Err: err}
		}
		x.sendErr, x.noReuse = err, err
	}
	if t := x.req.Trace; t != nil {
		if err == nil && t.WroteHeader != nil {
			t.WroteHeader()
		}
		if t.WroteRequest != nil {
			t.WroteRequest(err)
		}
	}
	if !x.sent.Load() && err != nil {
		return &engine.OpError{Op: engine.OpSend, Err: err}
	}
	return nil
}

// gather writes head and body from a buffer, as far as that does not have to wait.
func (x *exchange) gather(head, body []byte) error {
	if !x.seen() {
		return errUnfit
	}
	bulk := getBulk()
	defer putBulk(bulk)
	request := append(append(bulk[:0], head...), body...)
	if !x.conn.direct {
		x.startRest(request)
		return nil
	}
	return x.put(request)
}

// sendExpecting writes the head and waits for leave to send the body
// (RFC 9110 §10.1.1). A final answer in place of it is kept as the response.
func (x *exchange) sendExpecting(head []byte, length int64) error {
	if err := x.sendHead(head); err != nil {
		return err
	}
	if t := x.req.Trace; t != nil && t.Wait100 != nil {
		t.Wait100()
	}
	// After a final answer the server still waits for a body that will not come.
	keep := x.noReuse
	x.noReuse = errUnsent
	x.clock.await100(x.engine.config.ExpectContinueTimeout, x.conn)
	err := x.nextHead(true)
	x.clock.stop100(x.conn)
	if t, ok := errors.AsType[*engine.TimeoutError](err); ok && t.Kind == transfer.KindContinue {
		err = nil
	}
	if err != nil || x.answer.Status != 0 {
		return err
	}
	x.noReuse = keep
	body, err := x.open()
	if err != nil {
		return err
	}
	x.startUpload(body, length)
	return nil
}

// lengthError tells that a body is not as long as its ContentLength.
func lengthError(longer bool) error {
	return &engine.OpError{Op: engine.OpSend, Err: transfer.Wrong(longer)}
}
