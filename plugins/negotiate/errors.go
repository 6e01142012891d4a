package negotiate

import (
	"context"
	"errors"
	"slices"

	"github.com/godwit-go/godwit"
)

// APIError is the cause of a failed call whose error body was decoded by
// [ErrorAs]. errors.As finds in it the *godwit.StatusError, and the value if it
// is an error itself.
type APIError[E any] struct {
	// Value is the body.
	Value E
	// Status is the status and the response.
	Status *godwit.StatusError
}

// Error returns the status and, if the value is an error, its text; else that of
// the *godwit.StatusError.
func (e *APIError[E]) Error() string {
	if cause := e.cause(); cause != nil {
		return "status " + e.Status.Response.Status.String() + ": " + cause.Error()
	}
	return e.Status.Error()
}

// Unwrap returns the status error, and the value if it is an error.
func (e *APIError[E]) Unwrap() []error {
	if cause := e.cause(); cause != nil {
		return []error{e.Status, cause}
	}
	return []error{e.Status}
}

func (e *APIError[E]) cause() error {
	if cause, ok := any(e.Value).(error); ok {
		return cause
	}
	cause, _ := any(&e.Value).(error)
	return cause
}

// ErrorAs decodes the body of an error response into an E: a call that fails with
// *godwit.StatusError fails with *[APIError][E] instead, for the given statuses or
// for all.
//
//	user, err := godwit.Get[User](ctx, c, url, negotiate.ErrorAs[Fault]())
//	if fault, ok := negotiate.ErrorOf[Fault](err); ok { … }
//
// A body for which there is no codec, or that is no E, leaves the error as it is.
// Of several the last that fits wins, a request's before its client's. It works
// with the plugin and without.
func ErrorAs[E any](statuses ...godwit.Status) godwit.Option {
	statuses = slices.Clone(statuses)
	return godwit.OnError(func(ctx context.Context, _ *godwit.Request, err error) error {
		failed, ok := errors.AsType[*godwit.StatusError](err)
		if !ok || len(statuses) > 0 && !slices.Contains(statuses, failed.Response.Status) {
			return nil
		}
		e := &APIError[E]{Status: failed}
		if !decodeError(ctx, failed.Response, &e.Value) {
			return nil
		}
		return e
	})
}

// ErrorOf returns the value that [ErrorAs] decoded.
func ErrorOf[E any](err error) (E, bool) {
	if e, ok := errors.AsType[*APIError[E]](err); ok {
		return e.Value, true
	}
	var none E
	return none, false
}

// decodeError decodes by the codecs themselves: a body that does not fit is no
// failure of its own.
func decodeError(ctx context.Context, resp *godwit.Response, v any) bool {
	call := godwit.CallFrom(ctx)
	mt, ok := resp.ContentType()
	if call == nil || !ok || len(resp.Bytes()) == 0 {
		return false
	}
	e := codecFor(call.Client(), mt)
	return e != nil && e.reads(v) && e.decode(mt, resp.Bytes(), v) == nil
}
