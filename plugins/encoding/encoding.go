// Package encoding adds content codings to a client: it asks for gzip, deflate,
// br and zstd and decodes them, under a guard against bodies that decode to far
// more than came over the wire, and compresses requests if told to.
//
//	c := godwit.New(godwit.Install(encoding.New(encoding.Config{})))
//	resp, err := c.Do(ctx, godwit.NewRequest("GET", url)) // resp.Decoded: ["zstd"]
//
//	made, err := godwit.Post[User](ctx, c, url, user, encoding.Compress("gzip"))
//
// It stands in for the gzip and deflate that the client does by itself, asks
// where the client would ask, and decodes only what it asked for: not for HEAD,
// ranges and upgrades, not where Accept-Encoding is set by hand, and not where
// godwit.Decompress(false) switches decoding off.
package encoding

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Config configures the plugin; its zero value is ready to use.
type Config struct {
	// Codecs are the codings that the plugin knows; nil = Gzip, Deflate, Brotli
	// and Zstd. Of several with one name the last counts.
	Codecs []Codec

	// Accept is what responses may be encoded with, each with an optional
	// weight: "br", "gzip;q=0.8", "identity;q=0", "*;q=0". nil = every codec that
	// decodes, without weights. A coding that is not listed is not decoded.
	Accept []string
	// MaxRatio is how many bytes may come of each one on the wire, once a body is
	// over 8 MiB; 0 = 200. It holds for each coding of several, too.
	MaxRatio int64
	// MaxSize is how many bytes a body may decode to, at each of several codings;
	// 0 = 4 GiB, negative = any number. godwit.MaxBody bounds buffered bodies.
	MaxSize int64

	// Compress names the codings that request bodies get, in the order in which
	// they are applied; nil = none. The server must know them.
	Compress []string
	// MinSize is the smallest body that is compressed; 0 = 1 KiB, negative = any.
	// One of unknown length counts as large.
	MinSize int64
	// Types are the media types that are compressed, as patterns of
	// header.MediaType.Matches; nil = everything that is text: text/*, JSON, XML,
	// scripts, YAML, forms. "*" is any body, also one without a type.
	Types []string
}

const (
	defaultRatio = 200
	defaultSize  = 4 << 30
	defaultMin   = 1 << 10
	guardFrom    = 8 << 20
)

var (
	acceptSetting   = godwit.NewSetting[[]string]("encoding.Accept", nil)
	compressSetting = godwit.NewSetting[[]string]("encoding.Compress", nil)
	ratioSetting    = godwit.NewSetting[int64]("encoding.MaxRatio", defaultRatio).Check(positive("MaxRatio"))
	sizeSetting     = godwit.NewSetting[int64]("encoding.MaxSize", defaultSize)
	minSetting      = godwit.NewSetting[int64]("encoding.MinSize", defaultMin)
	typesSetting    = godwit.NewSetting[[]string]("encoding.Types", nil)
)

func positive(name string) func(int64) error {
	return func(n int64) error {
		if n <= 0 {
			return fmt.Errorf("encoding.%s(%d): the limit is more than zero", name, n)
		}
		return nil
	}
}

// Accept sets Config.Accept for a client or one request. Without an argument
// nothing is asked for and nothing decoded.
func Accept(codings ...string) godwit.Option {
	return acceptSetting.Set(append([]string{}, codings...))
}

// Compress sets Config.Compress for a client or one request; without an argument
// request bodies are not compressed.
func Compress(codings ...string) godwit.Option { return compressSetting.Set(slices.Clone(codings)) }

// MaxRatio sets Config.MaxRatio for a client or one request.
func MaxRatio(n int64) godwit.Option { return ratioSetting.Set(n) }

// MaxSize sets Config.MaxSize for a client or one request; negative = any.
func MaxSize(n int64) godwit.Option { return sizeSetting.Set(n) }

// MinSize sets Config.MinSize for a client or one request; 0 = any.
func MinSize(n int64) godwit.Option { return minSetting.Set(n) }

// Types sets Config.Types for a client or one request.
func Types(patterns ...string) godwit.Option { return typesSetting.Set(slices.Clone(patterns)) }

// Plugin encodes and decodes. It is safe for concurrent use by any number of
// clients.
type Plugin struct {
	config Config
	codecs map[string]*Codec // by name and alias
	order  []*Codec          // distinct
}

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Codecs == nil {
		c.Codecs = []Codec{Gzip(), Deflate(), Brotli(), Zstd()}
	}
	if c.MaxRatio == 0 {
		c.MaxRatio = defaultRatio
	}
	if c.MaxSize == 0 {
		c.MaxSize = defaultSize
	}
	if c.MinSize == 0 {
		c.MinSize = defaultMin
	}
	p := &Plugin{config: c, codecs: make(map[string]*Codec)}
	for _, codec := range c.Codecs {
		codec.Name = strings.ToLower(codec.Name)
		p.order = slices.DeleteFunc(p.order, func(old *Codec) bool { return old.Name == codec.Name })
		p.order = append(p.order, &codec)
		for _, name := range append([]string{codec.Name}, codec.Aliases...) {
			p.codecs[strings.ToLower(name)] = &codec
		}
	}
	return p
}

// Name returns "encoding".
func (p *Plugin) Name() string { return "encoding" }

// Install hooks the plugin into phases CallBefore, CallState, CallRender and
// SendDecode.
func (p *Plugin) Install(s *godwit.Scope) error {
	if err := p.check(); err != nil {
		return err
	}
	i := &installed{
		plugin: p,
		accept: acceptSetting.Capture(s, p.config.Accept), compress: compressSetting.Capture(s, p.config.Compress),
		ratio: ratioSetting.Capture(s, p.config.MaxRatio), size: sizeSetting.Capture(s, p.config.MaxSize),
		min: minSetting.Capture(s, p.config.MinSize), types: typesSetting.Capture(s, p.config.Types),
		byHand: s.DefaultHeader().Has(acceptEncoding),
	}
	none := new(godwit.Request)
	var err error
	if i.usual, err = p.wanted(i.accept.For(none)); err != nil {
		return err
	}
	if _, err := p.encoders(i.compress.For(none)); err != nil {
		return err
	}
	s.InterceptCall(godwit.CallBefore, i.note)
	s.InterceptCall(godwit.CallState, i.ask)
	s.InterceptCall(godwit.CallRender, i.encode)
	s.Intercept(godwit.SendDecode, i.decode)
	return nil
}

func (p *Plugin) check() error {
	if p.config.MaxRatio < 0 {
		return fmt.Errorf("Config.MaxRatio is %d: the limit is more than zero", p.config.MaxRatio)
	}
	for _, c := range p.order {
		switch {
		case !header.IsToken(c.Name):
			return fmt.Errorf("codec name %q is not a token", c.Name)
		case c.Name == identity || c.Name == "*":
			return fmt.Errorf("codec name %q is taken", c.Name)
		case c.NewReader == nil && c.NewWriter == nil:
			return fmt.Errorf("codec %s has neither NewReader nor NewWriter", c.Name)
		}
	}
	return nil
}

// names lists the codecs for error messages.
func (p *Plugin) names() string {
	var names []string
	for _, c := range p.order {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// installed is the plugin in one client.
type installed struct {
	plugin           *Plugin
	accept, compress godwit.Value[[]string]
	types            godwit.Value[[]string]
	ratio, size, min godwit.Value[int64]
	usual            *asked // of requests without an Accept of their own
	byHand           bool   // the client's own fields have an Accept-Encoding
}

func buildError(err error) error {
	return &engine.OpError{Op: engine.OpBuild, Err: fmt.Errorf("encoding: %w", err)}
}

// note marks requests whose Accept-Encoding was set by hand, there or for the
// client, before the client adds what it asks for by itself.
func (i *installed) note(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if i.byHand || req.Header.Has(acceptEncoding) {
		byHand.Set(&req.Attributes, true)
	}
	return next(ctx, req)
}
