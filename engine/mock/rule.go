package mock

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Rule answers the requests that fit it. It is made by [When] or [Always] and
// not changed once it was given to an engine; it may be given to several.
type Rule struct {
	matchers    []Matcher
	replies     []Handler
	least, most int // most < 0: no bound
}

// When returns a Rule for the requests that fit all of matchers. It needs a
// Reply; its default is to be used at least once for each of its replies.
func When(matchers ...Matcher) *Rule { return &Rule{matchers: matchers, least: 1, most: -1} }

// Always returns a Rule that answers any request by h, as often as there are
// some, which may be never.
func Always(h Handler) *Rule { return When().Reply(h).AtLeast(0) }

// Reply sets who answers: the first request that fits by the first handler and
// so on, further ones by the last. It returns r. Reply panics without handlers.
func (r *Rule) Reply(handlers ...Handler) *Rule {
	if len(handlers) == 0 {
		panic("mock: Reply needs a handler")
	}
	r.replies, r.least = handlers, len(handlers)
	return r
}

// Times sets how often r answers, no less and no more. It returns r.
func (r *Rule) Times(n int) *Rule {
	r.least, r.most = n, n
	return r
}

// AtLeast sets how often r must answer at least. It returns r.
func (r *Rule) AtLeast(n int) *Rule {
	r.least, r.most = n, -1
	return r
}

// Answer lets r's first handler answer, whether req fits or not: an engine that
// is given r itself does more.
func (r *Rule) Answer(ctx context.Context, req *Request) (*Response, error) {
	if len(r.replies) == 0 {
		return nil, errNoReply
	}
	return r.replies[0].Answer(ctx, req)
}

// String lists what r fits.
func (r *Rule) String() string {
	var texts []string
	for _, m := range r.matchers {
		texts = append(texts, m.text)
	}
	if len(texts) == 0 {
		return "any request"
	}
	return strings.Join(texts, ", ")
}

// whole returns r, or one like it that tells what it lacks in place of a handler.
func (r *Rule) whole() *Rule {
	lacks := func(h Handler) bool {
		switch h := h.(type) {
		case nil:
			return true
		case *Response:
			return h == nil
		case *Rule:
			return h == nil
		case Func:
			return h == nil
		}
		return false
	}
	if len(r.replies) > 0 && !slices.ContainsFunc(r.replies, lacks) {
		return r
	}
	own := *r
	own.replies = slices.Clone(r.replies)
	for i, h := range own.replies {
		if lacks(h) {
			own.replies[i] = Error(errNilHandler)
		}
	}
	if len(own.replies) == 0 {
		own.replies = []Handler{Error(errNoReply)}
	}
	return &own
}

func (r *Rule) fits(req *Request) bool {
	return !slices.ContainsFunc(r.matchers, func(m Matcher) bool { return !m.match(req) })
}

// Matcher is a condition on requests.
type Matcher struct {
	text  string
	body  bool // looks at the body
	match func(*Request) bool
}

// Match fits the requests for which f returns true; text describes it. f must
// not use the engine.
func Match(text string, f func(*Request) bool) Matcher {
	return Matcher{text: text, body: true, match: f}
}

// Not fits what m does not fit.
func Not(m Matcher) Matcher {
	return Matcher{text: "not " + m.text, body: m.body, match: func(r *Request) bool { return !m.match(r) }}
}

// Method fits requests of that method.
func Method(method string) Matcher {
	return Matcher{text: "method " + method, match: func(r *Request) bool { return r.Method == method }}
}

// Path fits requests whose unescaped path matches the pattern, in the manner of
// path.Match: * stands for any part of one segment. An empty path counts as "/".
// A malformed pattern panics.
func Path(pattern string) Matcher {
	if _, err := path.Match(pattern, ""); err != nil {
		panic(fmt.Sprintf("mock: malformed pattern %q", pattern))
	}
	return Matcher{text: "path " + pattern, match: func(r *Request) bool {
		p := r.URL.Path
		if p == "" {
			p = "/"
		}
		ok, _ := path.Match(pattern, p)
		return ok
	}}
}

// PathPrefix fits requests whose unescaped path begins with prefix.
func PathPrefix(prefix string) Matcher {
	return Matcher{text: "path " + prefix + "…", match: func(r *Request) bool { return strings.HasPrefix(r.URL.Path, prefix) }}
}

// Host fits requests to that host, with its port or without.
func Host(host string) Matcher {
	return Matcher{text: "host " + host, match: func(r *Request) bool {
		return strings.EqualFold(r.URL.Host, host) || strings.EqualFold(r.URL.Hostname(), host)
	}}
}

// Query fits requests that have that query parameter, among others.
func Query(name, value string) Matcher {
	return Matcher{text: "query " + name + "=" + value, match: func(r *Request) bool {
		return slices.Contains(r.URL.Query()[name], value)
	}}
}

// HeaderIs fits requests that have that field with that value, among others.
func HeaderIs(name, value string) Matcher {
	return Matcher{text: name + ": " + value, match: func(r *Request) bool {
		return slices.Contains(r.Header.Values(name), value)
	}}
}

// HasHeader fits requests that have a field of that name.
func HasHeader(name string) Matcher {
	return Matcher{text: "field " + name, match: func(r *Request) bool { return r.Header.Has(name) }}
}

// BodyIs fits requests with exactly that body.
func BodyIs(body string) Matcher {
	return Matcher{text: fmt.Sprintf("body %.40q", body), body: true, match: func(r *Request) bool { return r.Text() == body }}
}

// BodyContains fits requests whose body contains part.
func BodyContains(part string) Matcher {
	return Matcher{text: fmt.Sprintf("body with %.40q", part), body: true, match: func(r *Request) bool {
		return bytes.Contains(r.Body(), []byte(part))
	}}
}

// BodyJSON fits requests whose body is JSON of the same value as v's: white
// space and the order of members do not matter. It panics if v can't be
// marshalled.
func BodyJSON(v any) Matcher {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mock: BodyJSON: %v", err))
	}
	want, _ := jsonValue(text) // Marshal's output is valid
	return Matcher{text: fmt.Sprintf("JSON body %.60s", text), body: true, match: func(r *Request) bool {
		got, err := jsonValue(r.Body())
		return err == nil && reflect.DeepEqual(got, want)
	}}
}

func jsonValue(text []byte) (v any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&v)
	if err == nil && decoder.More() {
		err = fmt.Errorf("more than one JSON value")
	}
	return v, err
}
