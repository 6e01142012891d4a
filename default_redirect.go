package godwit

import (
	"context"
	"fmt"
	"net/url"

	"github.com/godwit-go/godwit/engine"
)

var (
	followRedirects = NewSetting("FollowRedirects", true)
	allowDowngrade  = NewSetting("AllowHTTPSDowngrade", false)
	maxRedirects    = NewSetting("MaxRedirects", 20).Check(func(n int) error {
		if n < 0 {
			return fmt.Errorf("MaxRedirects(%d): the limit is not negative", n)
		}
		return nil
	})
)

// FollowRedirects says whether 301, 302, 303, 307 and 308 are followed; the
// default is true.
func FollowRedirects(follow bool) Option { return followRedirects.Set(follow) }

// MaxRedirects limits the redirects of a call; over it the call fails with
// [ErrTooManyRedirects]. The default is 20, which MaxSends bounds too.
func MaxRedirects(n int) Option { return maxRedirects.Set(n) }

// AllowHTTPSDowngrade follows redirects from https to http, too. By default such
// a response is returned as it is.
func AllowHTTPSDowngrade(allow bool) Option { return allowDowngrade.Set(allow) }

// redirect is phase Follow: redirects by RFC 9110 §15.4.
func (b *builtins) redirect(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		first := req
		CallFrom(ctx).setOrigin(req.URL)
		if !b.follow.For(req) {
			return next(ctx, req)
		}
		for n := 0; ; n++ {
			resp, err := next(ctx, req)
			if err != nil || !redirects(resp.Status) || req.Method == "CONNECT" || resp.Upgraded() != nil {
				return resp, err
			}
			to, err := b.hop(ctx, first, req, resp, n)
			if err != nil {
				resp.Discard()
				return nil, err
			}
			if to == nil {
				return resp, nil
			}
			resp.Discard()
			req = to
		}
	}
}

// hop returns the request for where resp leads to, the nth of the call from 0;
// nil if resp is not to be followed.
func (b *builtins) hop(ctx context.Context, first, req *Request, resp *Response, n int) (*Request, error) {
	call := CallFrom(ctx)
	target, err := location(req.URL, resp)
	if err != nil {
		return nil, err
	}
	if target == nil || req.URL.Scheme == "https" && target.Scheme == "http" && !b.downgrade.For(req) {
		return nil, nil
	}
	if err := checkURL(target); err != nil {
		return nil, opError(engine.OpReceive, fmt.Errorf("redirect %d: Location: %w", int(resp.Status), err))
	}
	if limit := b.maxRedirects.For(req); n >= limit {
		return nil, opError(engine.OpReceive, fmt.Errorf("%w: the limit is %d (see godwit.MaxRedirects); the next is to %s", ErrTooManyRedirects, limit, shownURL(target)))
	}
	if call.SendsLeft(req) == 0 {
		return nil, opError(engine.OpReceive, fmt.Errorf("%w: %w: the limit is %d (see godwit.MaxSends); the next is to %s", ErrTooManyRedirects, ErrTooManySends, b.maxSends.For(req), shownURL(target)))
	}
	to, err := follow(req, resp.Status, target)
	if err != nil {
		return nil, err
	}
	returnCookies(first, to)
	emit(ctx, req, Redirected{call, resp, to})
	call.note(Hop{req.Method, withoutUser(req.URL).String(), resp.Status, resp.Header})
	return to, nil
}

func redirects(s Status) bool {
	switch s {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// location resolves Location against the current URL; nil if there is none. User
// info in it is dropped: a server does not choose our credentials.
func location(from *url.URL, resp *Response) (*url.URL, error) {
	raw := resp.Header.Get("Location")
	if raw == "" {
		return nil, nil
	}
	ref, err := parseURL(raw)
	if err != nil {
		return nil, opError(engine.OpReceive, fmt.Errorf("redirect %d: Location: %w", int(resp.Status), err))
	}
	target := from.ResolveReference(ref)
	target.User = nil
	if originOf(from) == originOf(target) {
		target.User = from.User
	}
	if target.Fragment == "" {
		target.Fragment, target.RawFragment = from.Fragment, from.RawFragment
	}
	if target.Scheme != "http" && target.Scheme != "https" {
		return nil, opError(engine.OpReceive, fmt.Errorf("redirect %d: Location %q is not http or https", int(resp.Status), shownURL(target)))
	}
	return target, nil
}

// follow makes the next hop's request.
func follow(req *Request, status Status, target *url.URL) (*Request, error) {
	to := req.Clone()
	to.URL = target
	if status == 303 && req.Method != "HEAD" || req.Method == "POST" && (status == 301 || status == 302) {
		dropContent(to)
	}
	if !to.IsReplayable() {
		return nil, opError(engine.OpSend, fmt.Errorf("redirect %d to %s: %w; use a body that can be opened again, or FollowRedirects(false)", int(status), shownURL(target), ErrNotReplayable))
	}
	if originOf(req.URL) != originOf(target) {
		to.Header.Del("Host")
		to.Header.Del("Authorization")
		to.Header.Del("Proxy-Authorization")
		to.Header.Del("Cookie")
		to.Header.Del("Cookie2")
		to.Header.Del("WWW-Authenticate")
	}
	return to, nil
}

// returnCookies gives a request that comes back to the call's first origin the
// cookies that the caller gave for it; they were left out on the way.
func returnCookies(first, to *Request) {
	if !to.Header.Has("Cookie") && first.Header.Has("Cookie") && originOf(first.URL) == originOf(to.URL) {
		to.Header.AddAll("Cookie", first.Header.Values("Cookie")...)
	}
}

// dropContent makes a request a GET without a body (RFC 9110 §15.4.4).
func dropContent(r *Request) {
	r.Method, r.Body = "GET", nil
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Location", "Content-Disposition", "Content-Range", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Last-Modified", "Expect", "Idempotency-Key"} {
		r.Header.Del(name)
	}
}
