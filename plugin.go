package godwit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/pipeline"
)

// Plugin adds behaviour to a client.
type Plugin interface {
	// Name identifies the plugin: installing another of the same name replaces
	// it. Interceptors run in the order of these names within a phase.
	Name() string
	// Install hooks the plugin into a client that is being made. It runs once a
	// client; siblings made by With install the same value again, so what it
	// keeps in itself is shared by them. An error becomes the client's.
	//
	// A plugin that is an io.Closer is closed once, with the last client that
	// shares it and before the engine.
	Install(*Scope) error
}

// PluginFunc is a plugin made of a function.
func PluginFunc(name string, install func(*Scope) error) Plugin {
	return &pluginFunc{name, install}
}

type pluginFunc struct {
	name    string
	install func(*Scope) error
}

func (p *pluginFunc) Name() string           { return p.name }
func (p *pluginFunc) Install(s *Scope) error { return p.install(s) }

// PluginOf returns the client's plugin of type P.
func PluginOf[P Plugin](c *Client) (P, bool) {
	for _, p := range c.or().config.plugins {
		if p, ok := p.(P); ok {
			return p, true
		}
	}
	var none P
	return none, false
}

// Validator judges the final response of a call; an error fails the call. It
// may read a buffered body with Bytes, and must not read Body.
type Validator func(ctx context.Context, resp *Response) error

// ErrorHandler sees the error of a failed call and may return another one to
// take its place; nil leaves it as it is.
type ErrorHandler func(ctx context.Context, req *Request, err error) error

// Scope is the client under construction, as a plugin's Install sees it. It must
// not be kept.
type Scope struct {
	client *Client
	config *config
	name   string // of the plugin; "" for the user's own interceptors
	call   *callPipeline
	send   *sendPipeline
	decode *decodePipeline
	errs   []error
}

// Client returns the client that is being made, for plugins that send requests
// of their own. It must not be used before Install has returned.
func (s *Scope) Client() *Client { return s.client }

// DefaultHeader returns the fields that the client's options set for every
// request. What godwit sends by itself (User-Agent, Accept, Accept-Encoding) is
// among them only if an option sets it.
func (s *Scope) DefaultHeader() header.Header { return s.config.defaults.Header.View() }

// AttemptTimeout sets what [AttemptTimeout] is where neither the request nor an
// option of the client says; 0 = none.
func (s *Scope) AttemptTimeout(d time.Duration) {
	b := &s.client.builtin
	b.attempt = attemptTimeout.Capture(s, d)
	b.wire = b.wireSettings(new(Request))
}

// Intercept adds an interceptor to a phase of the Send pipeline.
func (s *Scope) Intercept(at SendPhase, f Interceptor) {
	s.note(s.send.Wrap(at, s.name, whole(f, string(at), s.name)))
}

// InterceptCall adds an interceptor to a phase of the Call pipeline.
func (s *Scope) InterceptCall(at CallPhase, f Interceptor) {
	s.note(s.call.Wrap(at, s.name, whole(f, string(at), s.name)))
}

// InterceptDecode adds an interceptor to a phase of the Decode pipeline.
func (s *Scope) InterceptDecode(at DecodePhase, f DecodeInterceptor) {
	s.client.seesDecoding = true
	s.note(s.decode.Intercept(at, s.name, f))
}

// AddPhaseBefore adds a phase of the plugin's own to the Send pipeline, just
// outside anchor.
func (s *Scope) AddPhaseBefore(anchor, phase SendPhase) { s.note(s.send.InsertBefore(anchor, phase)) }

// AddPhaseAfter adds a phase of the plugin's own to the Send pipeline, just
// inside anchor.
func (s *Scope) AddPhaseAfter(anchor, phase SendPhase) { s.note(s.send.InsertAfter(anchor, phase)) }

// AddCallPhaseBefore adds a phase of the plugin's own to the Call pipeline, just
// outside anchor.
func (s *Scope) AddCallPhaseBefore(anchor, phase CallPhase) {
	s.note(s.call.InsertBefore(anchor, phase))
}

// AddCallPhaseAfter adds a phase of the plugin's own to the Call pipeline, just
// inside anchor.
func (s *Scope) AddCallPhaseAfter(anchor, phase CallPhase) {
	s.note(s.call.InsertAfter(anchor, phase))
}

// AddDecodePhaseBefore adds a phase of the plugin's own to the Decode pipeline,
// just outside anchor.
func (s *Scope) AddDecodePhaseBefore(anchor, phase DecodePhase) {
	s.note(s.decode.InsertBefore(anchor, phase))
}

// AddDecodePhaseAfter adds a phase of the plugin's own to the Decode pipeline,
// just inside anchor.
func (s *Scope) AddDecodePhaseAfter(anchor, phase DecodePhase) {
	s.note(s.decode.InsertAfter(anchor, phase))
}

// OnRequest runs f once a call, in phase CallState. f may change the request, and
// sets another URL in place of changing the one that is there, which is the
// caller's.
func (s *Scope) OnRequest(f func(context.Context, *Request) error) {
	if s.lacks(f == nil, "OnRequest") {
		return
	}
	s.InterceptCall(CallState, func(ctx context.Context, req *Request, next Handler) (*Response, error) {
		if err := f(ctx, req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	})
}

// OnSend runs f before every real send, in phase SendState: each hop and
// attempt. f gets a copy of the request that it may change, its URL too.
func (s *Scope) OnSend(f func(context.Context, *Request) error) {
	if s.lacks(f == nil, "OnSend") {
		return
	}
	s.Intercept(SendState, func(ctx context.Context, req *Request, next Handler) (*Response, error) {
		req = req.Clone()
		if req.URL != nil {
			u := *req.URL
			req.URL = &u
		}
		if err := f(ctx, req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	})
}

// OnResponse runs f for every response, in phase SendReceive.
func (s *Scope) OnResponse(f func(context.Context, *Response) error) {
	if s.lacks(f == nil, "OnResponse") {
		return
	}
	s.Intercept(SendReceive, func(ctx context.Context, req *Request, next Handler) (*Response, error) {
		resp, err := next(ctx, req)
		if err != nil {
			return nil, err
		}
		if err := f(ctx, resp); err != nil {
			resp.Discard()
			return nil, err
		}
		return resp, nil
	})
}

// TransformRequest runs f in phase CallTransform to make the request's body into
// content; f returns nil to leave it to others.
func (s *Scope) TransformRequest(f func(ctx context.Context, req *Request) (content.Content, error)) {
	if s.lacks(f == nil, "TransformRequest") {
		return
	}
	s.InterceptCall(CallTransform, func(ctx context.Context, req *Request, next Handler) (*Response, error) {
		if req.Content() == nil && req.Body != nil {
			c, err := f(ctx, req)
			if err != nil {
				return nil, err
			}
			if c != nil {
				req.Body = c
			}
		}
		return next(ctx, req)
	})
}

// TransformResponse runs f in phase DecodeTransform to make a body into a value:
// f sets what d.Target points to and returns true, or returns false.
func (s *Scope) TransformResponse(f func(ctx context.Context, d *Decoding) (bool, error)) {
	if s.lacks(f == nil, "TransformResponse") {
		return
	}
	s.InterceptDecode(DecodeTransform, func(ctx context.Context, d *Decoding, next DecodeHandler) (bool, error) {
		if ok, err := f(ctx, d); ok || err != nil {
			return ok, err
		}
		return next(ctx, d)
	})
}

// OnError adds an error handler.
func (s *Scope) OnError(f ErrorHandler) {
	if s.lacks(f == nil, "OnError") {
		return
	}
	s.client.handlers = append(s.client.handlers, f)
}

// OnClose runs f when the client is closed and its last call has ended.
func (s *Scope) OnClose(f func()) {
	if s.lacks(f == nil, "OnClose") {
		return
	}
	s.client.state.onRelease(f)
}

// lacks notes that a hook was given no function, if so.
func (s *Scope) lacks(isNil bool, hook string) bool {
	if isNil {
		s.note(fmt.Errorf("%s: the function is nil", hook))
	}
	return isNil
}

// Listen adds a listener from a plugin, a function such as [On] takes:
// func(context.Context, E).
func Listen[E any](s *Scope, listener func(ctx context.Context, event E)) {
	s.client.listeners = append(s.client.listeners, listener)
}

// layer is a step of the Call or Send pipeline.
type layer = pipeline.Layer[*Request, *Response]

// whole makes an error of what an interceptor owes: a request for the next one, a
// response or an error for the one before.
func whole(f Interceptor, phase, name string) layer {
	if f == nil {
		return nil // refused where it is installed
	}
	if name != "" {
		phase += " [" + name + "]"
	}
	noRequest := "the interceptor before " + phase + " went on with a nil request"
	noResponse := "the interceptor in " + phase + " returned neither a response nor an error"
	return func(next Handler) Handler {
		return func(ctx context.Context, req *Request) (*Response, error) {
			if req == nil {
				return nil, errors.New(noRequest)
			}
			resp, err := f(ctx, req, next)
			switch {
			case resp == nil && err == nil:
				return nil, errors.New(noResponse)
			case resp != nil && resp.base == nil:
				resp.adopt(CallFrom(ctx), req)
			}
			return resp, err
		}
	}
}

func (s *Scope) note(err error) {
	if err != nil {
		s.errs = append(s.errs, err)
	}
}

// Intercept adds an interceptor of the caller's own to a phase of the Send
// pipeline; it runs inside the plugins of that phase.
func Intercept(at SendPhase, f Interceptor) ClientOption {
	return scoping(func(s *Scope) { s.Intercept(at, f) })
}

// InterceptCall adds an interceptor to a phase of the Call pipeline.
func InterceptCall(at CallPhase, f Interceptor) ClientOption {
	return scoping(func(s *Scope) { s.InterceptCall(at, f) })
}

// InterceptDecode adds an interceptor to a phase of the Decode pipeline.
func InterceptDecode(at DecodePhase, f DecodeInterceptor) ClientOption {
	return scoping(func(s *Scope) { s.InterceptDecode(at, f) })
}

func scoping(f func(*Scope)) ClientOption {
	return clientOption(func(c *config) {
		c.intercepts = append(c.intercepts[:len(c.intercepts):len(c.intercepts)], func(s *Scope) error {
			f(s)
			return nil
		})
	})
}

// assemble builds the client's pipelines: the built-in behaviour, the plugins,
// the user's interceptors.
func (c *Client) assemble() error {
	s := &Scope{
		client: c,
		config: c.config,
		call:   pipeline.New[CallPhase, *Request, *Response](CallBefore, callDefaults, CallState, CallTransform, CallTransformDefault, CallRender, CallSend),
		send: pipeline.New[SendPhase, *Request, *Response](SendFollow, SendRetry, SendAuth, sendGuard, SendState, SendCache,
			SendAttempt, SendMonitoring, SendReceive, SendBody, SendDecode, SendEngine),
		decode: pipeline.New[DecodePhase, *Decoding, bool](DecodeReceive, DecodeParse, DecodeTransform, decodeDefault),
	}
	c.listeners = slices.Clip(c.config.listeners)
	c.builtin.install(s)
	var errs []error
	for _, p := range c.config.plugins {
		s.name = p.Name()
		if err := p.Install(s); err != nil {
			errs = append(errs, fmt.Errorf("plugin %s: %w", s.name, err))
		}
		if closer, ok := p.(io.Closer); ok {
			c.state.family.closeWith(closer)
		}
	}
	s.name = ""
	for _, intercept := range c.config.intercepts {
		errs = append(errs, intercept(s))
	}
	c.send = s.send.Then(c.execute)
	c.door = s.send.Then(c.execute, SendFollow, SendState)
	c.call = s.call.Then(c.send)
	c.decode = s.decode.Then(func(context.Context, *Decoding) (bool, error) { return false, nil })
	c.describe = "Call: " + s.call.String() + "\nSend: " + s.send.String() + "\nDecode: " + s.decode.String()
	return errors.Join(append(errs, s.errs...)...)
}
