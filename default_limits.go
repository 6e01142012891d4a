package godwit

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit/engine"
)

const defaultMaxBody = 32 << 20

var (
	maxBodySetting = NewSetting[int64]("MaxBody", defaultMaxBody).Check(func(n int64) error {
		if n <= 0 {
			return fmt.Errorf("MaxBody(%d): the limit is more than zero", n)
		}
		return nil
	})
	maxSends = NewSetting("MaxSends", 20).Check(func(n int) error {
		if n <= 0 {
			return fmt.Errorf("MaxSends(%d): the limit is more than zero", n)
		}
		return nil
	})
	dropBody = NewSetting("DropBody", false)
)

// MaxBody limits the size of a buffered body, after decoding; the default is 32
// MiB. Over it the call fails with [ErrBodyTooLarge]. Stream and Open have no
// such limit.
func MaxBody(n int64) Option { return maxBodySetting.Set(n) }

// MaxSends limits how many requests one call sends, redirects and retries
// included; the default is 20. Over it the call fails with [ErrTooManySends].
func MaxSends(n int) Option { return maxSends.Set(n) }

// DropBody discards the body of the response unread; what the caller gets is
// empty. The connection is used again if little was left.
func DropBody(on ...bool) Option { return dropBody.Set(switchedOn(on)) }

// guard is phase Guard: it closes what an interceptor forgot before it sends
// again, and caps the sends of a call.
func (b *builtins) guard(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		call := CallFrom(ctx)
		call.closeOpen()
		if limit := b.maxSends.For(req); int(call.root().passes.Add(1)) > limit {
			return nil, tooManySends(limit)
		}
		return next(ctx, req)
	}
}

func tooManySends(limit int) error {
	return opError(engine.OpSend, fmt.Errorf("%w: the limit is %d (see godwit.MaxSends)", ErrTooManySends, limit))
}

// ignoresBody reports whether the caller has no use for the body: a typed call of
// None or Status. What a StatusError is to hold is kept.
func (b *builtins) ignoresBody(req *Request, resp *Response) bool {
	switch req.target.(type) {
	case *Status, *None:
		return resp.Status.IsSuccess() || !b.wantsSuccess(req)
	}
	return false
}

// save is the innermost of the Call pipeline: the response of a buffered call is
// read into memory, or its body dropped.
func (b *builtins) save(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		resp, err := next(ctx, req)
		if err != nil {
			return nil, err
		}
		call := CallFrom(ctx)
		resp.adopt(call, req)
		if resp.Upgraded() == nil && (b.dropBody.For(req) || b.ignoresBody(req, resp)) {
			resp.discard()
			resp.setSaved(nil)
			return resp, nil
		}
		if call.mode != buffered {
			return resp, nil
		}
		if err := resp.Save(); err != nil {
			emit(ctx, req, ReceiveFailed{call, err})
			if !resp.Status.IsSuccess() && b.wantsSuccess(req) {
				return nil, statusError(resp, err) // the status tells more than its broken body
			}
			return nil, err
		}
		return resp, nil
	}
}
