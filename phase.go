package godwit

import (
	"context"
	"time"

	"github.com/godwit-go/godwit/pipeline"
)

// CallPhase names a phase of the Call pipeline, which runs once for each call.
type CallPhase string

// The phases of the Call pipeline, outermost first.
const (
	// CallBefore sees the call before anything is done to it, and its outcome
	// after everything: lifecycle, validation of the final response.
	CallBefore CallPhase = "Before"
	// callDefaults merges what the client sets for every request.
	callDefaults CallPhase = "Defaults"
	// CallState completes the request, which has the client's defaults already:
	// ids, negotiated fields.
	CallState CallPhase = "State"
	// CallTransform makes Request.Body into a content.Content.
	CallTransform CallPhase = "Transform"
	// CallTransformDefault does so for what no plugin has: text, bytes, forms,
	// and values for the codecs.
	CallTransformDefault CallPhase = "TransformDefault"
	// CallRender changes the content: charset, compression, progress.
	CallRender CallPhase = "Render"
	// CallSend is the last phase before the Send pipeline; a buffered response
	// is saved here.
	CallSend CallPhase = "Send"
)

// SendPhase names a phase of the Send pipeline, in which the hops and attempts
// of a call nest.
type SendPhase string

// The phases of the Send pipeline, outermost first.
const (
	// SendFollow follows redirects; each hop passes everything further in.
	SendFollow SendPhase = "Follow"
	// SendRetry repeats what failed.
	SendRetry SendPhase = "Retry"
	// SendAuth answers challenges.
	SendAuth SendPhase = "Auth"
	// sendGuard counts sends and closes what was forgotten.
	sendGuard SendPhase = "Guard"
	// SendState adds what belongs to a single hop: cookies.
	SendState SendPhase = "State"
	// SendCache answers from a cache.
	SendCache SendPhase = "Cache"
	// SendAttempt is for what one attempt needs: limits, its own timeout, and
	// signatures over the final fields.
	SendAttempt SendPhase = "Attempt"
	// SendMonitoring logs, traces and measures.
	SendMonitoring SendPhase = "Monitoring"
	// SendReceive sees each response with its body decoded.
	SendReceive SendPhase = "Receive"
	// SendBody puts layers around the decoded body: byte order mark, progress.
	SendBody SendPhase = "Body"
	// SendDecode removes content codings.
	SendDecode SendPhase = "Decode"
	// SendEngine is the last phase before the engine.
	SendEngine SendPhase = "Engine"
)

// DecodePhase names a phase of the Decode pipeline, which runs each time a body
// is read as a value.
type DecodePhase string

// The phases of the Decode pipeline, outermost first.
const (
	// DecodeReceive sees the body first, and the outcome last.
	DecodeReceive DecodePhase = "Receive"
	// DecodeParse makes values that need no codec: text, bytes, numbers.
	DecodeParse DecodePhase = "Parse"
	// DecodeTransform makes all other values.
	DecodeTransform DecodePhase = "Transform"
	// decodeDefault does so by the client's codecs for what no plugin has.
	decodeDefault DecodePhase = "TransformDefault"
)

type (
	// Handler is a stage of the Call or Send pipeline, seen from outside.
	Handler = pipeline.Handler[*Request, *Response]
	// Interceptor stands around a Handler. The request that it gets is frozen
	// once it was given to next; it either returns what next returned, or closes
	// it (Discard) before it sends again or returns something else.
	Interceptor = pipeline.Interceptor[*Request, *Response]
	// DecodeHandler is a stage of the Decode pipeline: it sets what d.Target
	// points to and returns true, or returns false.
	DecodeHandler = pipeline.Handler[*Decoding, bool]
	// DecodeInterceptor stands around the Decode pipeline: it sets d.Target and
	// returns true, or leaves it to next.
	DecodeInterceptor = pipeline.Interceptor[*Decoding, bool]

	callPipeline   = pipeline.Pipeline[CallPhase, *Request, *Response]
	sendPipeline   = pipeline.Pipeline[SendPhase, *Request, *Response]
	decodePipeline = pipeline.Pipeline[DecodePhase, *Decoding, bool]
)

// The events of a call, for [On].
type (
	// Created is raised when a call has begun, with the request as given.
	Created struct {
		Call    *Call
		Request *Request
	}
	// Sending is raised before each real send, with the request as sent.
	Sending struct {
		Call    *Call
		Request *Request
	}
	// Received is raised when the head of a response is there, for each send.
	Received struct {
		Call     *Call
		Response *Response
	}
	// ReceiveFailed is raised when the body of a response could not be read or
	// decoded.
	ReceiveFailed struct {
		Call  *Call
		Cause error
	}
	// Cancelled is raised when a call ends by its context or by Cancel.
	Cancelled struct {
		Call  *Call
		Cause error
	}
	// Redirected is raised before a redirect is followed.
	Redirected struct {
		Call *Call
		From *Response
		To   *Request
	}
	// Retried is raised by plugins before a request is repeated.
	Retried struct {
		Call     *Call
		Request  *Request
		Attempt  int // of the one to come, the first repetition is 2
		Response *Response
		Cause    error
		Delay    time.Duration
	}
)

// Emit raises an event of type E: the call's listeners for E, added with [On],
// are called. Without any it costs next to nothing.
func Emit[E any](ctx context.Context, event E) {
	if call := CallFrom(ctx); call != nil {
		emit(ctx, &call.root().request, event)
	}
}

func emit[E any](ctx context.Context, req *Request, event E) {
	call := CallFrom(ctx)
	if call == nil {
		return
	}
	for _, l := range call.client.listeners {
		if f, ok := l.(func(context.Context, E)); ok {
			f(ctx, event)
		}
	}
	for _, l := range req.extras().listeners {
		if f, ok := l.(func(context.Context, E)); ok {
			f(ctx, event)
		}
	}
}
