package encoding

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

const (
	acceptEncoding  = "Accept-Encoding"
	contentEncoding = "Content-Encoding"
	identity        = "identity"

	// builtin is what the client asks for by itself. Where it does not ask, the
	// plugin doesn't either.
	builtin = "gzip, deflate"
	// builtinSpelt says the same in other bytes: for a field of its own bytes the
	// client would decode by itself.
	builtinSpelt = "gzip,deflate"
)

var (
	byHand   = attr.NewKey[bool]("encoding: Accept-Encoding set by hand")
	askedFor = attr.NewKey[*asked]("encoding: asked for")
)

// asked is an Accept-Encoding that the plugin sent.
type asked struct {
	field  string
	codecs []*Codec
}

// has returns the codec for a coding if it was asked for.
func (a *asked) has(p *Plugin, coding string) *Codec {
	codec := p.codecs[coding]
	for _, c := range a.codecs {
		if c == codec {
			return c
		}
	}
	return nil
}

// wanted makes an Accept-Encoding of what Config.Accept or Accept say.
func (p *Plugin) wanted(list []string) (*asked, error) {
	a := new(asked)
	if list == nil {
		for _, c := range p.order {
			if c.NewReader != nil {
				list = append(list, c.Name)
			}
		}
	}
	var parts []string
	for _, text := range list {
		ws := header.ParseAccept(text)
		if len(ws) != 1 || len(ws[0].Params) > 0 || !header.IsToken(ws[0].Value) {
			return nil, fmt.Errorf("Accept %q: want one coding with an optional weight, such as gzip;q=0.5", text)
		}
		w := ws[0]
		name := strings.ToLower(w.Value)
		codec := p.codecs[name]
		switch {
		case name == "*" && w.Q > 0:
			return nil, fmt.Errorf("Accept %q asks for codings that nobody decodes; name them", text)
		case name == "*", name == identity, w.Q == 0:
		case codec == nil || codec.NewReader == nil:
			return nil, fmt.Errorf("Accept %q: no codec decodes that; there are %s", text, p.names())
		default:
			a.codecs = append(a.codecs, codec)
		}
		parts = append(parts, w.String())
	}
	if a.field = strings.Join(parts, ", "); a.field == builtin {
		a.field = builtinSpelt
	}
	return a, nil
}

// ask puts the plugin's own Accept-Encoding in the place of the client's.
func (i *installed) ask(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if req.Header.Get(acceptEncoding) == builtin {
		if err := i.setAccept(req); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

func (i *installed) setAccept(req *godwit.Request) error {
	if hand, _ := byHand.Get(&req.Attributes); hand {
		return nil
	}
	a := i.usual
	if own, ok := i.accept.ForRequest(req); ok {
		var err error
		if a, err = i.plugin.wanted(own); err != nil {
			return buildError(err)
		}
	}
	if a.field == "" {
		req.Header.Del(acceptEncoding)
		return nil
	}
	req.Header.Set(acceptEncoding, a.field)
	askedFor.Set(&req.Attributes, a)
	return nil
}
