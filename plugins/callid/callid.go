// Package callid gives each call an id that follows it over all redirects and
// repetitions, into the logs of every server on the way: the field X-Request-Id.
//
//	c := godwit.New(godwit.Install(callid.New(callid.Config{})))
//	resp, err := c.Do(callid.With(ctx, incoming), req)
//	log.Print(callid.Of(resp.Call()))
//
// The id is taken from the first of these that has a valid one: the request's
// own field, the option [ID], the context ([With], or Config.FromContext), a
// random one. It is part of the call: interceptors, listeners and codecs find it
// by [From].
package callid

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

// Config configures the plugin; its zero value sends a random id in X-Request-Id.
type Config struct {
	// Header is the name of the field; "" = X-Request-Id.
	Header string
	// Generate makes the id of a call that brings none; nil = 26 random letters
	// and digits. "" sends none.
	Generate func(ctx context.Context, req *godwit.Request) string
	// FromContext finds the id of the work that ctx belongs to, "" if there is
	// none: where the program's server keeps its own. It is asked when With has
	// set none; nil = not.
	FromContext func(ctx context.Context) string
	// Verify tells whether an id may be sent, whatever it comes from; one that
	// may not is passed over. nil = 1 to 128 characters from ! to ~.
	Verify func(id string) bool
}

type contextKey struct{}

var idKey = attr.NewKey[string]("callid")

// With returns a context whose calls have this id.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns the id of the call that ctx belongs to, else the one that With
// set; "" if there is none.
func From(ctx context.Context) string {
	if id := Of(godwit.CallFrom(ctx)); id != "" {
		return id
	}
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Of returns the id of a call, "" if it has none; call may be nil.
func Of(call *godwit.Call) string {
	if call == nil {
		return ""
	}
	return idKey.Or(call.Attributes(), "")
}

var (
	idSetting  = godwit.NewSetting("callid.ID", "")
	offSetting = godwit.NewSetting("callid.Off", false)
)

// ID sets the id of one request.
func ID(id string) godwit.Option { return idSetting.Set(id) }

// Off says that a request, or a client's requests, get no id; the default is
// false. A field set by hand is sent all the same.
func Off(off bool) godwit.Option { return offSetting.Set(off) }

// Plugin gives calls their ids.
type Plugin struct{ config Config }

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Header == "" {
		c.Header = "X-Request-Id"
	}
	if c.Generate == nil {
		c.Generate = func(context.Context, *godwit.Request) string { return rand.Text() }
	}
	if c.Verify == nil {
		c.Verify = printable
	}
	return &Plugin{c}
}

func printable(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 128
}

// Name returns "callid".
func (p *Plugin) Name() string { return "callid" }

// Install hooks the plugin into phase CallState.
func (p *Plugin) Install(s *godwit.Scope) error {
	if !header.ValidName(p.config.Header) {
		return fmt.Errorf("field name %q: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", p.config.Header)
	}
	id, off := idSetting.Capture(s), offSetting.Capture(s)
	s.OnRequest(func(ctx context.Context, req *godwit.Request) error {
		if !off.For(req) {
			p.identify(ctx, req, id.For(req))
		}
		return nil
	})
	return nil
}

// identify sets the id in the field, which redirects and repetitions copy.
func (p *Plugin) identify(ctx context.Context, req *godwit.Request, option string) {
	id := p.choose(ctx, req, option)
	if id == "" {
		req.Header.Del(p.config.Header) // one that may not be sent
		return
	}
	req.Header.Set(p.config.Header, id)
	if call := godwit.CallFrom(ctx); call != nil {
		idKey.Set(call.Attributes(), id)
	}
}

func (p *Plugin) choose(ctx context.Context, req *godwit.Request, option string) string {
	c := &p.config
	if id := req.Header.Get(c.Header); c.usable(id) {
		return id
	}
	if c.usable(option) {
		return option
	}
	if id, _ := ctx.Value(contextKey{}).(string); c.usable(id) {
		return id
	}
	if c.FromContext != nil {
		if id := c.FromContext(ctx); c.usable(id) {
			return id
		}
	}
	if id := c.Generate(ctx, req); c.usable(id) {
		return id
	}
	return ""
}

func (c *Config) usable(id string) bool {
	return id != "" && header.ValidValue(id) && c.Verify(id)
}
