package stdhttp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// Transport returns an http.RoundTripper that sends by c; a nil c stands for
// [godwit.Default]. It is safe for concurrent use, lasts as long as c and does
// not close it.
//
// It does to a request what http.Transport does, with these additions: a URL
// whose Host is a path ("/var/run/docker.sock") goes to that unix socket, with
// the request's Host in the Host field; and what the engine cannot do is an
// error, *godwit.UnsupportedError. A request is never changed, its Body always
// closed, its Cancel channel honoured.
//
// Errors are, as they come from net/http: the cause of the request's context
// itself if that ended, io.EOF itself if the server closed the connection before
// the first byte of an answer, io.ErrUnexpectedEOF itself for a body that was cut
// off, a bare tls.RecordHeaderError for a server without TLS, and else errors with
// the text of the cause that wrap a *[godwit.Error] and are a net.Error.
//
// The hooks of an httptrace.ClientTrace in the request's context are called, as
// far as the engine tells of the event, after those of the client's own
// [godwit.Trace].
//
// The RoundTripper has a method CloseIdleConnections, which http.Client calls.
func Transport(c *godwit.Client) http.RoundTripper { return &transport{c} }

// Client returns an *http.Client on top of Transport(c), with redirects and all
// else as net/http's zero Client has it. Its fields may be changed before its
// first use.
func Client(c *godwit.Client) *http.Client { return &http.Client{Transport: Transport(c)} }

type transport struct{ client *godwit.Client }

var _ http.RoundTripper = (*transport)(nil)

// RoundTrip sends r; see http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{request: r, done: make(chan struct{})}
	answered := false
	defer func() {
		if !answered { // by an error, or by a panic of an interceptor
			x.end()
			if x.cancel != nil {
				x.cancel(nil)
			}
		}
	}()
	req, err := x.prepare(t.client)
	if err != nil {
		return nil, err
	}
	x.watch()
	resp, err := t.client.RoundTrip(x.ctx, req)
	if x.upload != nil && (err == nil || x.connected.Load()) {
		x.upload.consume()
	}
	if err != nil {
		err = x.explain(err)
		x.unwritten(err)
		return nil, err
	}
	answered = true
	x.told(resp.Proto)
	x.refused()
	if x.cancel != nil { // but not before the call has ended by itself
		context.AfterFunc(resp.Call().Context(), func() { x.cancel(nil) })
	}
	out, err := x.response(resp)
	if err != nil {
		resp.Close()
		x.end()
	}
	return out, err
}

// CloseIdleConnections closes the idle connections of the client's engine, which
// it may share with other clients, if the engine knows how.
func (t *transport) CloseIdleConnections() {
	switch e := t.client.Engine().(type) {
	case interface{ CloseIdleConnections() }:
		e.CloseIdleConnections()
	case interface{ CloseIdle() }:
		e.CloseIdle()
	}
}

// exchange is one RoundTrip and the response that it made.
type exchange struct {
	request *http.Request // as given, never changed
	ctx     context.Context
	gzip    bool    // we asked for it
	upgrade bool    // the response may be a raw stream
	upload  *upload // the body as content; nil = there is none to send

	cancel context.CancelCauseFunc // of ctx; nil = it is the request's own
	stop   func() bool             // unties ctx from the request's
	ending sync.Once
	done   chan struct{} // closed when the exchange is over, or its stream handed over

	connected atomic.Bool              // an attempt had a connection
	answering atomic.Bool              // a byte of an answer to the last attempt is there
	writing   atomic.Bool              // on a connection; only if there are hooks
	sent      atomic.Pointer[sentHead] // for WroteHeaderField
	idle      idling
}

// sentHead is a request as it went to the engine.
type sentHead struct {
	header header.Header
	length int64 // -1 = chunked, 0 = none
	names  []string
}

var errCanceled = errors.New("net/http: request canceled")

// watch makes the context of the exchange. That of one that may end in a raw
// stream hangs on the request's by a thread, for the stream outlives that.
func (x *exchange) watch() {
	parent, canceling := x.request.Context(), cancelOf(x.request)
	x.ctx = parent
	if httptrace.ContextClientTrace(parent) != nil {
		x.ctx = untraced{parent}
	}
	switch {
	case x.upgrade:
		x.ctx, x.cancel = context.WithCancelCause(context.WithoutCancel(x.ctx))
		x.stop = context.AfterFunc(parent, func() { x.cancel(context.Cause(parent)) })
	case canceling != nil:
		x.ctx, x.cancel = context.WithCancelCause(x.ctx)
	}
	if canceling != nil {
		go func() {
			select {
			case <-canceling:
				x.cancel(errCanceled)
			case <-x.done:
			}
		}()
	}
}

func cancelOf(r *http.Request) <-chan struct{} {
	//lint:ignore SA1019 http.Client's Timeout uses it, and the contract wants it
	return r.Cancel
}

// end gives back what the exchange holds, once; a body that nobody opened is
// closed.
func (x *exchange) end() {
	x.ending.Do(func() {
		x.detach()
		if x.upload != nil {
			x.upload.end()
		} else if body := x.request.Body; body != nil {
			body.Close()
		}
	})
}

// detach makes the request's context and Cancel of no more effect.
func (x *exchange) detach() {
	if x.stop != nil {
		x.stop()
	}
	select {
	case <-x.done:
	default:
		close(x.done)
	}
}

// ended returns what ended the exchange from outside: the cause of the request's
// context, or the closing of Cancel; nil if nothing did.
func (x *exchange) ended() error {
	if x.ctx == nil {
		return nil
	}
	if x.cancel != nil && context.Cause(x.ctx) == errCanceled {
		return errCanceled
	}
	return context.Cause(x.request.Context())
}

// untraced is a context without its httptrace hooks. They are called here; an
// engine on net/http, and package net, would call them a second time.
type untraced struct{ context.Context }

// Value hides the hooks: net/http's, and those for package net, whose type cannot
// be named.
func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	switch v.(type) {
	case nil:
		return nil
	case *httptrace.ClientTrace:
		return nil
	}
	if reflect.TypeOf(v).String() == "*nettrace.Trace" {
		return nil
	}
	return v
}
