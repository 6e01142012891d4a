// Package useragent sets the User-Agent field: the program's own name, product
// tokens, or what a browser or curl sends.
//
//	c := godwit.New(godwit.Install(useragent.New(useragent.Config{
//		Products: []useragent.Product{{Name: "shop", Version: "2.1", Comment: "ops@example.org"}},
//	})))
//
// The zero [Config] names the running program, from its build information:
// "shop/v2.1.0 godwit". A request that has a User-Agent, or a client that has one
// as a default (godwit.UserAgent), keeps it.
package useragent

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

// Presets for Config.Agent and [Agent].
const (
	// Browser is what a current Chrome on Windows sends. Some servers answer
	// others with an error page; it says nothing true about this program.
	Browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	// Curl is what curl sends.
	Curl = "curl/8.17.0"
)

// fallback is what godwit sends by itself, and others seldom.
const fallback = "godwit"

// Product is a product identifier of the field (RFC 9110 §10.1.5).
type Product struct {
	// Name is a token: letters, digits and !#$%&'*+-.^_`|~.
	Name string
	// Version is a token; "" leaves it out.
	Version string
	// Comment stands behind the product in parentheses; "" leaves it out.
	// Parentheses and backslashes in it are escaped.
	Comment string
}

// String returns the product as it stands in the field: name/version (comment).
func (p Product) String() string {
	s := p.Name
	if p.Version != "" {
		s += "/" + p.Version
	}
	if p.Comment != "" {
		s += " (" + commentEscapes.Replace(p.Comment) + ")"
	}
	return s
}

var commentEscapes = strings.NewReplacer(`\`, `\\`, `(`, `\(`, `)`, `\)`)

func (p Product) check() error {
	switch {
	case !header.IsToken(p.Name):
		return fmt.Errorf("useragent: product name %q: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", p.Name)
	case p.Version != "" && !header.IsToken(p.Version):
		return fmt.Errorf("useragent: version %q of product %s: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", p.Version, p.Name)
	case !header.ValidValue(p.Comment):
		return fmt.Errorf("useragent: comment %q of product %s has control characters, or white space at an end", p.Comment, p.Name)
	}
	return nil
}

// Config configures the plugin; its zero value names the running program.
type Config struct {
	// Agent is the whole value: a preset such as [Browser], or your own. "" = by
	// Products.
	Agent string
	// Products make the value up, the most important first; none = the running
	// program and godwit.
	Products []Product
}

var agentSetting = godwit.NewSetting("useragent.Agent", "").Check(checkAgent)

func checkAgent(agent string) error {
	if agent == "" || !header.ValidValue(agent) {
		return fmt.Errorf("useragent: %q is no value for the field: it is empty, has control characters, or white space at an end", agent)
	}
	return nil
}

// Agent sets the value for a client or one request, in place of Config's.
// godwit.UserAgent goes before it.
func Agent(agent string) godwit.Option { return agentSetting.Set(agent) }

// Plugin sets the User-Agent field.
type Plugin struct {
	agent string
	err   error
}

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Agent != "" {
		return &Plugin{c.Agent, checkAgent(c.Agent)}
	}
	products := c.Products
	if len(products) == 0 {
		products = program()
	}
	agent, err := join(products)
	return &Plugin{agent, err}
}

func join(products []Product) (string, error) {
	var all []string
	for _, p := range products {
		if err := p.check(); err != nil {
			return "", err
		}
		all = append(all, p.String())
	}
	return strings.Join(all, " "), nil
}

// program returns the running program and godwit, as far as the build
// information names them.
func program() []Product {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return []Product{{Name: fallback}}
	}
	products := programOf(info)
	return append(products, Product{Name: fallback})
}

// majorVersion is the last element of the path of a module from v2 on.
var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

func programOf(info *debug.BuildInfo) []Product {
	name := path.Base(info.Path) // the main package: /cmd/shop in a larger module
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(info.Path))
	}
	if info.Path == "" || info.Path == "command-line-arguments" || !header.IsToken(name) {
		return nil
	}
	version := info.Main.Version
	if version == "(devel)" || !header.IsToken(version) {
		version = ""
	}
	return []Product{{Name: name, Version: version}}
}

// Name returns "useragent".
func (p *Plugin) Name() string { return "useragent" }

// explicit marks a request that asks for what godwit sends by itself.
var explicit = attr.NewKey[bool]("useragent: explicit")

// Install hooks the plugin into phases CallBefore and CallState.
func (p *Plugin) Install(s *godwit.Scope) error {
	if p.err != nil || s.DefaultHeader().Has("User-Agent") {
		return p.err
	}
	agent := agentSetting.Capture(s, p.agent)
	s.InterceptCall(godwit.CallBefore, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if req.Header.Get("User-Agent") == fallback {
			explicit.Set(&req.Attributes, true)
		}
		return next(ctx, req)
	})
	s.OnRequest(func(_ context.Context, req *godwit.Request) error {
		if req.Header.Get("User-Agent") == fallback && !explicit.Or(&req.Attributes, false) {
			req.Header.Set("User-Agent", agent.For(req))
		}
		return nil
	})
	return nil
}
