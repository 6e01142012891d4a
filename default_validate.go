package godwit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// expectation is whether a status outside 2xx is an error.
type expectation int8

const (
	expectByDoor expectation = iota // typed calls do, Do, Stream and Open do not
	expectYes
	expectNo
)

var expectSuccess = NewSetting("ExpectSuccess", expectByDoor)

// ExpectSuccess says whether a status outside 2xx is an error, *[StatusError].
// Without it the typed calls fail on one (but not for *Response and Status), and
// Do, Stream and Open return any status.
func ExpectSuccess(expect bool) Option {
	if expect {
		return expectSuccess.Set(expectYes)
	}
	return expectSuccess.Set(expectNo)
}

// Validate adds a validator: it sees the final response of a call, once, after
// the check of the status. Those of the client run before the request's.
func Validate(v Validator) Option {
	if v == nil {
		return failing(errors.New("Validate: validator is nil"))
	}
	return onDefaults(func(r *Request) { e := r.more(); e.validators = append(slices.Clip(e.validators), v) })
}

// OnError adds an error handler. Those of the client run before the request's.
func OnError(h ErrorHandler) Option {
	if h == nil {
		return failing(errors.New("OnError: handler is nil"))
	}
	return onDefaults(func(r *Request) { e := r.more(); e.errorHandlers = append(slices.Clip(e.errorHandlers), h) })
}

// The limits of the body that a StatusError keeps from a stream; the time is for
// those whose request timeout ended with the head.
const (
	statusErrorBody = 1 << 20
	statusErrorTime = time.Second
)

func (b *builtins) validate(ctx context.Context, req *Request, resp *Response) error {
	if !resp.Status.IsSuccess() && b.wantsSuccess(req) && resp.Upgraded() == nil {
		return statusError(resp, nil)
	}
	for _, v := range b.validators {
		if err := v(ctx, resp); err != nil {
			return err
		}
	}
	for _, v := range req.extras().validators {
		if err := v(ctx, resp); err != nil {
			return err
		}
	}
	return nil
}

func (b *builtins) wantsSuccess(req *Request) bool {
	switch b.expect.For(req) {
	case expectYes:
		return true
	case expectNo:
		return false
	}
	return req.target != nil && failsOnStatus(req.target)
}

// statusError saves the body, what there is of it within the limit, and releases
// the connection.
func statusError(resp *Response, bodyErr error) *StatusError {
	switch {
	case resp.isSaved:
		resp.Rewind()
	case bodyErr != nil:
		resp.setSaved(resp.mem.data)
	default:
		if resp.call != nil && resp.call.client.builtin.toHead.For(resp.request) { // nothing else bounds the body
			defer time.AfterFunc(statusErrorTime, func() { resp.base.Close() }).Stop()
		}
		var data []byte
		if data, bodyErr = readAll(resp.Body, -1, statusErrorBody); errors.Is(bodyErr, ErrBodyTooLarge) {
			bodyErr = fmt.Errorf("%w: of a response that fails for its status %d bytes are kept; use Open without ExpectSuccess to read it", ErrBodyTooLarge, statusErrorBody)
		} else if bodyErr != nil && resp.call != nil {
			bodyErr = resp.call.explainBody(bodyErr)
		}
		resp.Close()
		resp.setSaved(data)
	}
	return &StatusError{Response: resp, Problem: problemOf(resp), BodyErr: bodyErr}
}

// NewStatusError returns the error for a response that an interceptor gives up
// on. It saves the body, up to 1 MiB and for a second at most, and releases the
// connection.
func NewStatusError(resp *Response) *StatusError {
	resp.givenUp()
	defer time.AfterFunc(statusErrorTime, func() { resp.base.Close() }).Stop()
	return statusError(resp, resp.saveErr)
}

// Problem holds problem details (RFC 9457).
type Problem struct {
	// Type is a URI that identifies the kind of problem; "" stands for
	// "about:blank".
	Type     string `json:"type,omitempty"`
	Title    string `json:"title,omitempty"`
	Status   int    `json:"status,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Extensions holds all other members, undecoded.
	Extensions map[string]json.RawMessage `json:"-"`
}

func problemOf(resp *Response) *Problem {
	mt, ok := resp.ContentType()
	if !ok || mt.Essence() != "application/problem+json" {
		return nil
	}
	members := make(map[string]json.RawMessage)
	if json.Unmarshal(resp.mem.data, &members) != nil {
		return nil
	}
	p := new(Problem)
	// RFC 9457 §3.1: a member of the wrong type is ignored.
	for name, into := range map[string]any{"type": &p.Type, "title": &p.Title, "status": &p.Status, "detail": &p.Detail, "instance": &p.Instance} {
		if raw, ok := members[name]; ok {
			_ = json.Unmarshal(raw, into)
			delete(members, name)
		}
	}
	if len(members) > 0 {
		p.Extensions = members
	}
	return p
}
