package godwit

import (
	"cmp"
	"context"
	"encoding"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// ClientOption configures a client: it is valid in [New] and [Client.With].
// The set of kinds is closed; packages outside build theirs with [NewSetting],
// [Install] and [All].
type ClientOption interface{ applyClient(*config) }

// Option configures a single request, or every request of a client: it is valid
// wherever a ClientOption is, in [NewRequest] and in the typed calls. What is
// set on the request goes before what is set on the client.
type Option interface {
	ClientOption
	applyRequest(*Request)
}

// option is an Option of two functions.
type option struct {
	request func(*Request)
	client  func(*config)
}

func (o *option) applyRequest(r *Request) { o.request(r) }
func (o *option) applyClient(c *config)   { o.client(c) }

type clientOption func(*config)

func (f clientOption) applyClient(c *config) { f(c) }

// failing is an option that was made with a bad argument.
func failing(err error) Option {
	return &option{func(r *Request) { r.fail(opError(opBuild, err)) }, func(c *config) { c.fail(err) }}
}

// onDefaults is an option that does the same to a request and to the request
// that holds a client's defaults.
func onDefaults(f func(*Request)) Option {
	return &option{f, func(c *config) { f(&c.defaults) }}
}

// All bundles options into one.
func All(opts ...Option) Option {
	opts = slices.DeleteFunc(slices.Clone(opts), func(o Option) bool { return o == nil })
	return &option{
		func(r *Request) {
			for _, o := range opts {
				o.applyRequest(r)
			}
		},
		func(c *config) {
			for _, o := range opts {
				o.applyClient(c)
			}
		},
	}
}

// switchedOn reads the argument of an option that is a switch: without one it is
// on, with false off, to undo a client's for one request.
func switchedOn(on []bool) bool { return len(on) == 0 || on[0] }

// Header sets a field, in place of any of that name. As a client's option it is
// a default: a request that has the field keeps its own.
func Header(name, value string) Option {
	if err := checkField(name, value); err != nil {
		return failing(err)
	}
	return onDefaults(func(r *Request) { r.Header.Set(name, value) })
}

// AddHeader appends fields of one name, one a value.
func AddHeader(name string, values ...string) Option {
	for _, v := range values {
		if err := checkField(name, v); err != nil {
			return failing(err)
		}
	}
	return onDefaults(func(r *Request) { r.Header.AddAll(name, values...) })
}

// AddHeaders appends all fields of h.
func AddHeaders(h header.Header) Option {
	for name, v := range h.All() {
		if err := checkField(name, v); err != nil {
			return failing(err)
		}
	}
	return onDefaults(func(r *Request) {
		for name, v := range h.All() {
			r.Header.Add(name, v)
		}
	})
}

// DelHeader removes a field that an earlier option set, and keeps the client's
// defaults of that name (User-Agent, Accept and Accept-Encoding, too) from the
// request. What becomes the field goes with it: cookies with Cookie, the URL's
// user info with Authorization.
func DelHeader(name string) Option {
	return onDefaults(func(r *Request) {
		r.Header.Del(name)
		e := r.more()
		e.without = append(slices.Clip(e.without), name)
		switch {
		case header.EqualFold(name, "Cookie"):
			e.cookies = nil
		case header.EqualFold(name, "Authorization"):
			e.parts.user = noUser
		}
	})
}

// Cookie sends a cookie with the request, to its own origin only. As a client's
// option it is a default for every request that has no cookie of that name.
func Cookie(name, value string) Option {
	if _, err := header.FormatCookie(name, value); err != nil {
		return failing(err)
	}
	return onDefaults(func(r *Request) { e := r.more(); e.cookies = append(slices.Clip(e.cookies), cookiePair{name, value}) })
}

// ContentType sets the Content-Type of the body.
func ContentType(mediaType string) Option { return Header("Content-Type", mediaType) }

// Accept sets the media types that the response may have, best first.
func Accept(mediaTypes ...string) Option { return Header("Accept", strings.Join(mediaTypes, ", ")) }

// UserAgent sets the User-Agent field; the default is "godwit".
func UserAgent(product string) Option { return Header("User-Agent", product) }

// BasicAuth sends user and password as Basic credentials (RFC 7617), to the
// request's own origin only. Plugin auth does more.
func BasicAuth(user, password string) Option {
	if strings.ContainsRune(user, ':') {
		return failing(fmt.Errorf("BasicAuth: user name with a colon"))
	}
	return Header("Authorization", basicCredentials(user, password))
}

func basicCredentials(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// BearerAuth sends a bearer token (RFC 6750), to the request's own origin only.
func BearerAuth(token string) Option { return Header("Authorization", "Bearer "+token) }

// Body sets the body: see [Request].Body for what it can be.
func Body(body any) Option {
	return &option{
		func(r *Request) { r.Body = body },
		func(c *config) { c.fail(fmt.Errorf("Body is an option for a single request")) },
	}
}

// Attribute sets an attribute of the request.
func Attribute[T any](key *attr.Key[T], value T) Option {
	return onDefaults(func(r *Request) { key.Set(&r.Attributes, value) })
}

// BaseURL is the URL that relative ones are joined to: one without a host takes
// scheme, host, port and user info from it; the last segment of its path gives
// way ("https://h/dir/f" + "x" = "https://h/dir/x"), so an API's base ends with
// a slash; its query's pairs are added where the request has none of that name.
func BaseURL(base string) Option {
	if base != "" && !strings.Contains(base, "{") {
		if _, err := parseBase(base); err != nil {
			return failing(err)
		}
	}
	return onDefaults(func(r *Request) { r.more().parts.base = base })
}

// Path appends segments to the URL's path, each escaped, slashes included. An
// empty one is refused, as are . and ..; a slash at the end belongs into the URL.
func Path(segments ...string) Option {
	for i, s := range segments {
		switch s {
		case "":
			return failing(fmt.Errorf("Path: segment %d of %q is empty", i, segments))
		case ".", "..":
			return failing(fmt.Errorf("Path: segment %q would climb the path", s))
		}
	}
	return &option{
		func(r *Request) { p := &r.more().parts; p.path = append(slices.Clip(p.path), segments...) },
		func(c *config) { c.fail(fmt.Errorf("Path is an option for a single request; use BaseURL")) },
	}
}

// PathParam gives the value of {name} in the URL, escaped so that it stays one
// segment; in {name...} slashes are kept. It is formatted as by [Param]. A
// {name} is filled once: what [Request.With] adds after that changes nothing.
func PathParam(name string, value any) Option {
	pairs, err := appendParam(nil, name, value)
	switch {
	case err != nil:
		return failing(fmt.Errorf("PathParam %q: %w", name, err))
	case len(pairs) != 1:
		return failing(fmt.Errorf("PathParam %q: %T gives %d values, not one", name, value, len(pairs)))
	}
	v := pairs[0].value
	return onDefaults(func(r *Request) { p := &r.more().parts; p.values = append(slices.Clip(p.values), pair{name, v}) })
}

// Param appends a query parameter; nil values are left out, a slice gives one
// parameter an element, an encoding.TextMarshaler (time.Time: RFC 3339), a
// fmt.Stringer and an error their text; bytes count as text, numbers and bools are
// formatted as fmt.Sprint does. What has no text is an error. As a client's option
// it is a default for requests without a parameter of that name.
func Param(name string, values ...any) Option {
	var pairs []pair
	for _, v := range values {
		var err error
		if pairs, err = appendParam(pairs, name, v); err != nil {
			return failing(fmt.Errorf("Param %q: %w", name, err))
		}
	}
	return onDefaults(func(r *Request) { p := &r.more().parts; p.params = append(slices.Clip(p.params), pairs...) })
}

func appendParam(pairs []pair, name string, value any) ([]pair, error) {
	switch v := value.(type) {
	case nil:
		return pairs, nil
	case string:
		return append(pairs, pair{name, v}), nil
	case []byte:
		return append(pairs, pair{name, string(v)}), nil
	}
	v := reflect.ValueOf(value)
	kind := v.Kind()
	if kind == reflect.Pointer && v.IsNil() {
		return pairs, nil
	}
	if text, ok, err := ownText(v); err != nil {
		return nil, err
	} else if ok {
		return append(pairs, pair{name, text}), nil
	}
	switch kind {
	case reflect.Pointer:
		return appendParam(pairs, name, v.Elem().Interface())
	case reflect.Slice, reflect.Array:
		if kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return append(pairs, pair{name, string(v.Bytes())}), nil
		}
		var err error
		for i := range v.Len() {
			if pairs, err = appendParam(pairs, name, v.Index(i).Interface()); err != nil {
				return nil, err
			}
		}
		return pairs, nil
	case reflect.Struct, reflect.Map, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return nil, fmt.Errorf("type %T has no text; give it a MarshalText or String method", value)
	}
	return append(pairs, pair{name, fmt.Sprint(value)}), nil
}

// ownText returns the text that v gives by a method of its own, or by one of the
// pointer to it.
func ownText(v reflect.Value) (text string, ok bool, err error) {
	switch m := v.Interface().(type) {
	case encoding.TextMarshaler:
		b, err := m.MarshalText()
		return string(b), true, err
	case error:
		return m.Error(), true, nil
	case fmt.Stringer:
		return m.String(), true, nil
	}
	if v.Type().PkgPath() == "" { // it has no name, and so no methods
		return "", false, nil
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return ownText(p)
}

// Params appends the query parameters in v: url.Values, a map[string]string, or
// a struct with `form:"name,omitempty"` tags.
func Params(v any) Option {
	values, err := queryValues(v)
	if err != nil {
		return failing(fmt.Errorf("Params: %w", err))
	}
	var pairs []pair
	for name, vs := range values {
		for _, v := range vs {
			pairs = append(pairs, pair{name, v})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.name, b.name) })
	return onDefaults(func(r *Request) { p := &r.more().parts; p.params = append(slices.Clip(p.params), pairs...) })
}

func queryValues(v any) (url.Values, error) {
	switch v := v.(type) {
	case url.Values:
		return v, nil
	case map[string][]string:
		return v, nil
	case map[string]string:
		values := make(url.Values, len(v))
		for name, s := range v {
			values.Set(name, s)
		}
		return values, nil
	}
	return content.EncodeValues(v)
}

// Fragment sets the URL's fragment, which is not sent but kept over redirects.
func Fragment(fragment string) Option {
	return onDefaults(func(r *Request) { r.more().parts.fragment = &fragment })
}

// UserInfo sets the URL's user info, which is sent as Basic credentials unless
// the request has an Authorization field.
func UserInfo(user, password string) Option {
	if strings.ContainsRune(user, ':') {
		return failing(fmt.Errorf("UserInfo: user name with a colon, which Basic credentials cannot hold"))
	}
	return onDefaults(func(r *Request) { r.more().parts.user = url.UserPassword(user, password) })
}

// WithEngine makes the client create its engine from a factory, such as the
// Config of an engine's package; the client closes it.
func WithEngine(f engine.Factory) ClientOption {
	if f == nil {
		return failing(errors.New("WithEngine: factory is nil; leave the option out for the default engine"))
	}
	return clientOption(func(c *config) { c.factory, c.instance = f, nil })
}

// WithEngineInstance makes the client use an engine that exists already and may
// be shared; the caller closes it.
func WithEngineInstance(e engine.Engine) ClientOption {
	if e == nil {
		return failing(errors.New("WithEngineInstance: engine is nil"))
	}
	return clientOption(func(c *config) { c.factory, c.instance = nil, e })
}

// EngineConfig changes what all engines share: TLS, proxy, limits, dialer and so
// on. The engine's own Config goes before it. Several add up.
func EngineConfig(change func(*engine.Config)) ClientOption {
	if change == nil {
		return failing(errors.New("EngineConfig: function is nil"))
	}
	return clientOption(func(c *config) { c.engineConfig = append(slices.Clip(c.engineConfig), change) })
}

// Install adds plugins. Their order does not matter: each names the phases it
// works in. A plugin takes the place of an earlier one of the same name.
func Install(plugins ...Plugin) ClientOption {
	return clientOption(func(c *config) {
		for _, p := range plugins {
			if v := reflect.ValueOf(p); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
				c.fail(errors.New("Install: plugin is nil"))
				continue
			}
			if name := p.Name(); name == "" || name == builtinName {
				c.fail(fmt.Errorf("Install: a plugin cannot be named %q", name))
				continue
			}
			c.install(p)
		}
	})
}

// Bind ties the client to ctx: when ctx ends the client refuses new calls and
// cancels the running ones.
func Bind(ctx context.Context) ClientOption {
	if ctx == nil {
		return failing(errors.New("Bind: context is nil"))
	}
	return clientOption(func(c *config) { c.bind = append(slices.Clip(c.bind), ctx) })
}

// On adds a listener for events of type E: [Created], [Sending], [Received],
// [ReceiveFailed], [Cancelled], [Redirected], [Retried], or a plugin's own. It
// runs in the call's goroutine and must not block.
func On[E any](listener func(ctx context.Context, event E)) Option {
	if listener == nil {
		return failing(errors.New("On: listener is nil"))
	}
	return &option{
		func(r *Request) { e := r.more(); e.listeners = append(slices.Clip(e.listeners), listener) },
		func(c *config) { c.listeners = append(slices.Clip(c.listeners), listener) },
	}
}

// checkField refuses what would break the header.
func checkField(name, value string) error {
	if !header.ValidName(name) {
		return fmt.Errorf("field name %q: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", name)
	}
	if !header.ValidValue(value) {
		return fmt.Errorf("field %s: its value has control characters, or white space at an end", name)
	}
	return nil
}
