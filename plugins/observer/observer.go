// Package observer gives a side copy of response bodies to a handler, without
// disturbing the calls.
//
//	c := godwit.New(godwit.Install(observer.New(observer.Config{
//		Handle: func(ctx context.Context, seen *observer.Copy) error {
//			return archive.Store(seen.Request.URL, seen.Body)
//		},
//	})))
//
// The handler sees the final response of each call, whatever its status. If the
// body is buffered it runs before the call returns; if it streams the handler
// runs beside the caller and reads what the caller reads, and a handler that is
// too slow loses the rest: the caller never waits for it. An error or a panic of
// the handler fails no call; it is raised as a [Failed] event.
package observer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// What reading the copy of a streamed body may end with, beside the errors that
// the caller got.
var (
	// ErrOverrun tells that the handler fell behind by more than Config.Buffer.
	// What came before it is complete.
	ErrOverrun = errors.New("observer: the handler was too slow, the rest of the body is lost; see Config.Buffer")
	// ErrClosed tells that the caller closed the body before its end.
	ErrClosed = errors.New("observer: the caller closed the body before its end")
)

// Copy is a response as the handler sees it.
type Copy struct {
	// Request is the one that was answered; it must not be changed.
	Request *godwit.Request
	Status  godwit.Status
	Proto   string
	Header  header.Header
	// Decoded lists the content codings that were removed.
	Decoded []string
	// Streamed tells that the caller reads the body while the handler runs.
	Streamed bool
	// Body reads the body as the caller gets it. It need not be read, or not to
	// its end.
	Body io.Reader
}

// Handler sees a copy of a response. ctx is the call's for a buffered body. For a
// streamed one it has the call's values and ends with Client.Cancel, and
// Client.Join waits for the handler.
type Handler func(ctx context.Context, seen *Copy) error

// Failed is the event of a handler or a filter that failed or panicked.
type Failed struct {
	Call  *godwit.Call
	Cause error
}

// Config configures the plugin. Without a Handle it does nothing.
type Config struct {
	// Handle sees the copies. It is called by many goroutines at once.
	Handle Handler
	// Filter chooses the responses to be copied; nil = all. It must not use Body.
	Filter func(resp *godwit.Response) bool
	// Buffer is by how many bytes a handler may fall behind the reader of a
	// streamed body; 0 = 1 MiB.
	Buffer int
}

var (
	handleSetting = godwit.NewSetting[Handler]("observer.Handle", nil)
	offSetting    = godwit.NewSetting("observer.Off", false)
)

// Handle sets the handler for a client or one request, in place of Config's.
func Handle(h Handler) godwit.Option { return handleSetting.Set(h) }

// Off keeps the responses of a client or one request from the handler; the
// default is false.
func Off(off bool) godwit.Option { return offSetting.Set(off) }

// Plugin copies responses.
type Plugin struct{ config Config }

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Buffer <= 0 {
		c.Buffer = 1 << 20
	}
	return &Plugin{c}
}

// Name returns "observer".
func (p *Plugin) Name() string { return "observer" }

// Install hooks the plugin into phase CallState, around all sends.
func (p *Plugin) Install(s *godwit.Scope) error {
	handle, off := handleSetting.Capture(s, p.config.Handle), offSetting.Capture(s)
	s.InterceptCall(godwit.CallState, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil {
			return resp, err
		}
		if h := handle.For(req); h != nil && !off.For(req) && resp.Upgraded() == nil && p.wanted(ctx, resp) {
			p.observe(ctx, resp, h)
		}
		return resp, nil
	})
	return nil
}

func (p *Plugin) wanted(ctx context.Context, resp *godwit.Response) (yes bool) {
	if p.config.Filter == nil {
		return true
	}
	note(ctx, isolated(func() error {
		yes = p.config.Filter(resp)
		return nil
	}))
	return yes
}

func (p *Plugin) observe(ctx context.Context, resp *godwit.Response, h Handler) {
	seen := &Copy{
		Request: resp.Request(), Status: resp.Status, Proto: resp.Proto,
		Header: resp.Header.Clone(), Decoded: append([]string(nil), resp.Decoded...),
	}
	if resp.IsSaved() {
		seen.Body = bytes.NewReader(resp.Bytes())
		note(ctx, isolated(func() error { return h(ctx, seen) }))
		return
	}
	// The branch is what Join waits for and Cancel ends.
	call := godwit.CallFrom(ctx)
	branch, err := call.Fork(context.WithoutCancel(ctx))
	if err != nil {
		return // the client is closed
	}
	side := newSide(p.config.Buffer)
	seen.Body, seen.Streamed = side, true
	length := resp.ContentLength
	resp.WrapBody(func(body io.ReadCloser) io.ReadCloser { return &tee{body: body, side: side, length: length} })
	resp.OnClose(func(err error) { // a body that is closed under the reader
		if err == nil {
			err = ErrClosed
		}
		side.end(err)
	})
	go func() {
		defer branch.End()
		defer side.abandon() // nobody reads any more
		stop := context.AfterFunc(branch.Context(), func() { side.end(context.Cause(branch.Context())) })
		defer stop()
		note(branch.Context(), isolated(func() error { return h(branch.Context(), seen) }))
	}()
}

func note(ctx context.Context, err error) {
	if err != nil {
		godwit.Emit(ctx, Failed{godwit.CallFrom(ctx), err})
	}
}

// isolated makes an error of a panic.
func isolated(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("observer: panic: %v", v)
		}
	}()
	return f()
}
