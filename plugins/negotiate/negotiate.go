// Package negotiate makes values of bodies and bodies of values in many formats,
// and tells servers which it can read.
//
//	c := godwit.New(godwit.Install(negotiate.New(negotiate.Config{
//		Codecs: []godwit.Codec{cbor.Codec{}, negotiate.Q(negotiate.JSON{Mode: negotiate.Strict}, 0.5)},
//	})))
//	user, err := godwit.Get[User](ctx, c, url, negotiate.ErrorAs[Fault]())
//
// A codec is chosen by the exact media type, else by the structured suffix (RFC
// 6839: application/problem+json; text/json counts as JSON), else by a pattern. Text is converted from and
// to the charset of the Content-Type. What no codec here is for is left to the
// client's own.
//
// [Lines], [Items], [Rows] and [Parts] read a streamed body value by value. They
// need no plugin, but use its JSON codec if there is one.
package negotiate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Config configures the plugin; its zero value is ready to use.
type Config struct {
	// Codecs are asked in this order; the first also encodes bodies whose request
	// names no Content-Type. nil = JSON{}, Q(XML{}, 0.9), Q(Form{}, 0),
	// Q(Text{}, 0).
	Codecs []godwit.Codec
	// Merge says what becomes of an Accept that a request or the client has set;
	// zero = KeepAccept.
	Merge Merge
	// Only leaves */* out of Accept: a server that can't do better answers with
	// 406. By default it stands at the end with a low weight.
	Only bool
	// Always sends Accept with calls too whose result no codec makes, or is not
	// known beforehand: Do, Stream, Open, and typed calls for text and bytes. By
	// default these accept anything.
	Always bool
	// MaxBytes limits the bodies that are decoded, within godwit.MaxBody; 0 = by
	// that alone.
	MaxBytes int64
	// Ignore are types of bodies and results that the plugin leaves to the client.
	// Text, bytes, readers, forms and the like always are.
	Ignore []reflect.Type
}

// Merge says how Accept is put together.
type Merge int8

const (
	// KeepAccept sends an Accept that was set as it is.
	KeepAccept Merge = iota
	// AddToAccept adds to it the types that none of its ranges covers.
	AddToAccept
)

var (
	mergeSetting   = godwit.NewSetting("negotiate.AcceptMerge", KeepAccept)
	excludeSetting = godwit.NewSetting[[]string]("negotiate.Exclude", nil)
	ignoreSetting  = godwit.NewSetting[[]reflect.Type]("negotiate.Ignore", nil)
	maxSetting     = godwit.NewSetting[int64]("negotiate.MaxBytes", 0).Check(func(n int64) error {
		if n < 0 {
			return fmt.Errorf("negotiate.MaxBytes(%d): the limit is not negative", n)
		}
		return nil
	})
)

// AcceptMerge sets Config.Merge for a client or one request.
func AcceptMerge(m Merge) godwit.Option { return mergeSetting.Set(m) }

// Exclude keeps media types out of Accept, for a client or one request; a
// pattern such as "text/*" is several. They are decoded if they come all the
// same.
func Exclude(mediaTypes ...string) godwit.Option {
	return excludeSetting.Set(slices.Clone(mediaTypes))
}

// Ignore sets Config.Ignore for a client or one request:
// Ignore(reflect.TypeFor[T]()). Without arguments none is ignored.
func Ignore(types ...reflect.Type) godwit.Option { return ignoreSetting.Set(slices.Clone(types)) }

// MaxBytes sets Config.MaxBytes for a client or one request; 0 = no limit but
// godwit.MaxBody.
func MaxBytes(n int64) godwit.Option { return maxSetting.Set(n) }

// Plugin encodes and decodes.
type Plugin struct {
	config Config
	codecs []entry
	err    error
}

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Codecs == nil {
		c.Codecs = []godwit.Codec{JSON{}, Q(XML{}, 0.9), Q(Form{}, 0), Q(Text{}, 0)}
	}
	p := &Plugin{config: c}
	var errs []error
	for _, codec := range c.Codecs {
		e, err := entryOf(codec)
		p.codecs = append(p.codecs, e)
		errs = append(errs, err)
	}
	p.err = errors.Join(errs...)
	return p
}

// Name returns "negotiate".
func (p *Plugin) Name() string { return "negotiate" }

// Install hooks the plugin into phases CallState, CallTransform and
// DecodeTransform.
func (p *Plugin) Install(s *godwit.Scope) error {
	if p.err != nil {
		return p.err
	}
	p.installAccept(s)
	ignore, limit := ignoreSetting.Capture(s, p.config.Ignore), maxSetting.Capture(s, p.config.MaxBytes)
	s.TransformRequest(func(_ context.Context, req *godwit.Request) (content.Content, error) {
		if clientKnows(req.Body) || slices.Contains(ignore.For(req), reflect.TypeOf(req.Body)) {
			return nil, nil
		}
		return p.encode(req)
	})
	s.TransformResponse(func(_ context.Context, d *godwit.Decoding) (bool, error) {
		req := d.Response.Request()
		if req == nil {
			req = new(godwit.Request)
		}
		if slices.Contains(ignore.For(req), reflect.TypeOf(d.Target).Elem()) {
			return false, nil
		}
		return p.decode(d, limit.For(req))
	})
	return nil
}

// encode makes content of a value, or nothing if no codec is for its type.
func (p *Plugin) encode(req *godwit.Request) (content.Content, error) {
	given := req.Header.Get("Content-Type")
	var e *entry
	var mt header.MediaType
	switch {
	case given != "":
		mt, _ = header.ParseMediaType(given)
		e = find(p.codecs, mt)
	case len(p.codecs) > 0:
		e = &p.codecs[0]
		given = e.codec.MediaTypes()[0]
	}
	if e == nil || !e.writes(req.Body) {
		return nil, nil
	}
	data, err := e.marshal(req.Body)
	if err == nil {
		data, err = fromUTF8(mt, data)
	}
	if err != nil {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: fmt.Errorf("body of type %T as %s: %w", req.Body, given, err)}
	}
	return content.Bytes(data, given), nil
}

// decode makes a value of a body, or nothing if no codec is for its type. What an
// empty body means is the client's to say.
func (p *Plugin) decode(d *godwit.Decoding, limit int64) (bool, error) {
	mt, ok := d.Response.ContentType()
	if !ok || len(d.Data) == 0 {
		return false, nil
	}
	e := find(p.codecs, mt)
	if e == nil || !e.reads(d.Target) {
		return false, nil
	}
	if limit > 0 && int64(len(d.Data)) > limit {
		return true, fmt.Errorf("%w: %d bytes to decode, limit %d (see negotiate.MaxBytes)", godwit.ErrBodyTooLarge, len(d.Data), limit)
	}
	return true, e.decode(mt, d.Data, d.Target)
}

// entry is a codec with how it is negotiated.
type entry struct {
	codec godwit.Codec
	types []string // lower case, patterns among them
	q     float64
}

// entryOf takes a codec out of what Q and For put around it.
func entryOf(codec godwit.Codec) (entry, error) {
	e := entry{codec: codec, q: 1}
	for inner := codec; ; {
		switch c := inner.(type) {
		case nil:
			return e, errors.New("a codec is nil")
		case *weighted:
			if c.q < 0 || c.q > 1 || c.q != c.q {
				return e, fmt.Errorf("Q(%v): a weight is from 0 to 1", c.q)
			}
			e.q, inner = c.q, c.Codec
			if e.q > 0 {
				e.q = max(e.q, 0.001) // less would be written as 0, which refuses
			}
			continue
		}
		break
	}
	types := codec.MediaTypes()
	if len(types) == 0 {
		return e, fmt.Errorf("codec %T is for no media type", codec)
	}
	for _, t := range types {
		if mt, ok := header.ParseMediaType(t); !ok || len(mt.Params) > 0 {
			return e, fmt.Errorf("codec %T: %q is no media type without parameters", codec, t)
		}
		e.types = append(e.types, strings.ToLower(t))
	}
	if strings.Contains(types[0], "*") {
		return e, fmt.Errorf("codec %T: the first of its types is what it writes and can't be the pattern %q", codec, types[0])
	}
	return e, nil
}

// find returns the codec for a media type: the one that names it, else the one
// for its suffix, else the one whose pattern it fits.
func find(codecs []entry, mt header.MediaType) *entry {
	essence, suffix := mt.Essence(), mt.Suffix()
	if essence == "" {
		return nil
	}
	by := func(fits func(string) bool) *entry {
		for i := range codecs {
			if slices.ContainsFunc(codecs[i].types, fits) {
				return &codecs[i]
			}
		}
		return nil
	}
	if e := by(func(t string) bool { return t == essence }); e != nil {
		return e
	}
	if essence == "text/json" { // what JSON was called before it had a name
		suffix = "json"
	}
	if suffix != "" {
		if e := by(func(t string) bool { return t == "application/"+suffix }); e != nil {
			return e
		}
	}
	return by(func(t string) bool { return strings.Contains(t, "*") && mt.Matches(t) })
}

// writes reports whether the codec has a form for v.
func (e *entry) writes(v any) bool {
	c, ok := unwrap(e.codec).(interface{ writes(any) bool })
	return !ok || c.writes(v)
}

// reads reports whether it can make what v points to.
func (e *entry) reads(v any) bool {
	c, ok := unwrap(e.codec).(interface{ reads(any) bool })
	return !ok || c.reads(v)
}

// marshal has the codec encode; a panic of it becomes an error.
func (e *entry) marshal(v any) (data []byte, err error) {
	defer recovered.Codec(&err, unwrap(e.codec), "encoding", v)
	return e.codec.Marshal(v)
}

// unmarshal has the codec decode; a panic of it becomes an error.
func (e *entry) unmarshal(data []byte, v any) (err error) {
	defer recovered.Codec(&err, unwrap(e.codec), "decoding into", v)
	return e.codec.Unmarshal(data, v)
}

// decode converts data to UTF-8 and has the codec decode it.
func (e *entry) decode(mt header.MediaType, data []byte, v any) (err error) {
	data, converted, err := toUTF8(mt, data)
	if err != nil {
		return err
	}
	defer recovered.Codec(&err, unwrap(e.codec), "decoding into", v)
	if c, ok := unwrap(e.codec).(interface{ unmarshalUTF8([]byte, any) error }); ok && converted {
		return c.unmarshalUTF8(data, v)
	}
	return e.codec.Unmarshal(data, v)
}

// codecFor returns how a client decodes a media type, with the plugin or without;
// nil if it can't.
func codecFor(c *godwit.Client, mt header.MediaType) *entry {
	if p, ok := godwit.PluginOf[*Plugin](c); ok {
		if e := find(p.codecs, mt); e != nil {
			return e
		}
	}
	var own []entry
	for _, codec := range c.Codecs() {
		if e, err := entryOf(codec); err == nil {
			own = append(own, e)
		}
	}
	return find(own, mt)
}
