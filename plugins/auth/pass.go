package auth

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// pass is one request on its way through phase SendAuth: one hop, one attempt.
type pass struct {
	*installed
	req   *godwit.Request
	tries []try
	one   [1]try // room for tries: most clients have one provider
	ctx   marked // what its providers are given
	signs bool
}

// try is a provider's part in a pass.
type try struct {
	*bound
	exchange Exchange
	chosen   bool // it has answered: the field is its own
	sent     bool // it has set the field of the request that is under way
}

// mostAnswers bounds how often one provider answers in one pass.
const mostAnswers = 3

// activate finds the providers for the request and reports whether there are any.
func (s *pass) activate(first, here origin) bool {
	for i := range s.bound {
		b := &s.bound[i]
		if !b.scope.fits(s.req.URL, first, here) || s.own(b.scope.field) {
			continue
		}
		if s.tries == nil {
			s.tries = s.one[:0]
			if len(s.bound)-i > 1 {
				s.tries = make([]try, 0, len(s.bound)-i)
			}
		}
		s.tries = append(s.tries, try{bound: b, exchange: Exchange{proxy: b.scope.proxy != ""}})
		s.signs = s.signs || b.signer != nil
	}
	return s.tries != nil
}

// own reports whether the request brings that field itself.
func (s *pass) own(field string) bool {
	if field == "" {
		return false
	}
	return s.req.Header.Has(field) || s.req.URL.User != nil && header.EqualFold(field, "Authorization")
}

func (s *pass) run(ctx context.Context, next godwit.Handler) (*godwit.Response, error) {
	s.ctx = marked{ctx, s.Plugin}
	for {
		send, err := s.build()
		if err != nil {
			return nil, err
		}
		resp, err := next(ctx, send)
		if err != nil {
			return nil, err
		}
		again, resp, err := s.refused(send, resp)
		if !again {
			return resp, err
		}
	}
}

// build returns the request to send: a copy with credentials.
func (s *pass) build() (*godwit.Request, error) {
	send := s.req.Clone()
	if s.hooked {
		passKey.Set(&send.Attributes, s)
	}
	for i := range s.tries {
		t := &s.tries[i]
		t.sent = false
		if s.taken(i, send) {
			continue
		}
		x := &t.exchange
		x.Request, x.Response, x.Challenges, x.set = send, nil, nil, false
		if err := t.auth.Authorize(&s.ctx, x); err != nil {
			return nil, err
		}
		t.sent = x.set
	}
	return send, nil
}

// taken reports whether the field of try i is another's in this send.
func (s *pass) taken(i int, send *godwit.Request) bool {
	t := &s.tries[i]
	if t.scope.field == "" || t.chosen {
		return false
	}
	if send.Header.Has(t.scope.field) {
		return true
	}
	for j := range s.tries {
		o := &s.tries[j]
		if (o.chosen || j < i && o.signer != nil) && header.EqualFold(o.scope.field, t.scope.field) {
			return true
		}
	}
	return false
}

// refused looks for an answer if resp is a refusal, and reports whether to send
// again. Otherwise the response or error is what the caller gets.
func (s *pass) refused(send *godwit.Request, resp *godwit.Response) (bool, *godwit.Response, error) {
	proxy := resp.Status == godwit.StatusProxyAuthRequired
	if resp.Upgraded() != nil || !proxy && !s.isRefusal(resp) {
		return false, resp, nil
	}
	name := "WWW-Authenticate"
	if proxy {
		name = "Proxy-Authenticate"
	}
	challenges := header.ParseChallenges(resp.Header, name)
	candidates := s.candidates(proxy, send, resp)
	var refusal *godwit.StatusError
	for _, t := range candidates {
		x := &t.exchange
		x.Request, x.Response, x.Challenges, x.Alone = send, resp, challenges, len(candidates) == 1
		if x.Answered >= mostAnswers || !t.auth.Accepts(x) {
			continue
		}
		if refusal == nil {
			refusal = godwit.NewStatusError(resp) // the response holds a connection that a refresh may need
		}
		ok, err := t.auth.Answer(&s.ctx, x)
		if err != nil {
			return false, nil, err
		}
		if !ok {
			continue
		}
		x.Answered++
		s.choose(t)
		if !s.req.IsReplayable() {
			return false, nil, notReplayable(refusal)
		}
		return true, nil, nil
	}
	if refusal != nil && refusal.BodyErr != nil {
		resp = headOf(resp)
	}
	return false, resp, nil
}

func (s *pass) isRefusal(resp *godwit.Response) bool {
	if f := s.refusedIf.For(s.req); f != nil {
		return f(resp)
	}
	return resp.Status == godwit.StatusUnauthorized
}

func (s *pass) candidates(proxy bool, send *godwit.Request, resp *godwit.Response) []*try {
	var list []*try
	for i := range s.tries {
		t := &s.tries[i]
		if t.exchange.proxy == proxy && (!proxy || fromProxy(t.scope.proxy, send.URL, resp)) {
			list = append(list, t)
		}
	}
	return list
}

// choose gives t its field for the sends to come.
func (s *pass) choose(t *try) {
	for i := range s.tries {
		if o := &s.tries[i]; header.EqualFold(o.scope.field, t.scope.field) {
			o.chosen = false
		}
	}
	t.chosen = true
}

// headOf is a refusal whose body was given up, as it was large or slow, for an
// answer that did not come.
func headOf(resp *godwit.Response) *godwit.Response {
	h := resp.Header.Clone()
	h.Del("Content-Length")
	empty := godwit.NewResponse(resp.Request(), resp.Status, h, nil)
	empty.Reason, empty.Proto = resp.Reason, resp.Proto
	empty.RequestTime, empty.ResponseTime = resp.RequestTime, resp.ResponseTime
	return empty
}

// notReplayable is loud: the request would have gone through the second time.
func notReplayable(refusal *godwit.StatusError) error {
	return fmt.Errorf("auth: %w, so the refused request was not sent again; use a body that can be opened again, or credentials that are sent unasked: %w",
		godwit.ErrNotReplayable, refusal)
}
