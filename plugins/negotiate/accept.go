package negotiate

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

// ownAccept marks requests that name, by themselves or by their client's fields,
// what the client could have written by itself.
var ownAccept = attr.NewKey[bool]("negotiate.ownAccept")

// accepter writes Accept for one client.
type accepter struct {
	plugin *Plugin
	client *godwit.Client
	// all makes the list of what the plugin's and the client's codecs read, and
	// byClient what the client wrote into Accept by itself.
	all      func() []header.Weighted
	byClient func() string
	// whole is all as a field.
	whole func() string
}

func (p *Plugin) installAccept(s *godwit.Scope) {
	a := &accepter{plugin: p, client: s.Client()}
	a.all = sync.OnceValue(a.list)
	a.whole = sync.OnceValue(func() string { return a.field(a.all()) })
	a.byClient = sync.OnceValue(func() string { return clientAccept(a.client.Codecs()) })
	byHand := s.DefaultHeader().Has("Accept")
	merge, exclude := mergeSetting.Capture(s, p.config.Merge), excludeSetting.Capture(s)
	s.InterceptCall(godwit.CallBefore, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if v := req.Header.Get("Accept"); byHand || v != "" && a.isDefault(v) {
			ownAccept.Set(&req.Attributes, true)
		}
		return next(ctx, req)
	})
	s.OnRequest(func(_ context.Context, req *godwit.Request) error {
		v, without := req.Header.Get("Accept"), exclude.For(req)
		own := ownAccept.Or(&req.Attributes, false)
		ownAccept.Delete(&req.Attributes)
		switch {
		case !own && a.isDefault(v):
			req.Header.Set("Accept", a.without(without))
		case (own || v != "*/*") && merge.For(req) == AddToAccept:
			req.Header.Set("Accept", a.added(req.Header.Joined("Accept"), without))
		}
		return nil
	})
}

// isDefault reports whether an Accept may be the client's own doing.
func (a *accepter) isDefault(v string) bool {
	return v == a.byClient() || a.plugin.config.Always && v == "*/*"
}

// clientAccept is what the client writes for a value that a codec makes.
func clientAccept(codecs []godwit.Codec) string {
	var types []string
	for _, codec := range codecs {
		for _, t := range codec.MediaTypes() {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	return strings.Join(types, ", ") + ", */*;q=0.5"
}

// list returns what the codecs read with its weights: the plugin's, and those
// given to the client itself.
func (a *accepter) list() []header.Weighted {
	var list []header.Weighted
	add := func(e *entry) {
		for _, t := range e.types {
			if e.q > 0 && !slices.ContainsFunc(list, func(w header.Weighted) bool { return w.Value == t }) {
				list = append(list, header.Weighted{Value: t, Q: e.q})
			}
		}
	}
	for i := range a.plugin.codecs {
		add(&a.plugin.codecs[i])
	}
	for _, codec := range a.client.Codecs() {
		if _, builtin := codec.(godwit.JSON); builtin {
			continue // it is always there: nobody chose it
		}
		if e, err := entryOf(codec); err == nil {
			add(&e)
		}
	}
	slices.SortStableFunc(list, func(x, y header.Weighted) int {
		switch {
		case x.Q > y.Q:
			return -1
		case x.Q < y.Q:
			return 1
		}
		return 0
	})
	return list
}

// field writes a list, and after it the range of all else.
func (a *accepter) field(list []header.Weighted) string {
	var parts []string
	lowest := 0.2
	for _, w := range list {
		parts = append(parts, w.String())
		lowest = min(lowest, w.Q)
	}
	if len(parts) == 0 {
		return "*/*"
	}
	if !a.plugin.config.Only {
		parts = append(parts, header.Weighted{Value: "*/*", Q: max(lowest/2, 0.001)}.String())
	}
	return strings.Join(parts, ", ")
}

func (a *accepter) without(excluded []string) string {
	if len(excluded) == 0 {
		return a.whole()
	}
	return a.field(slices.DeleteFunc(slices.Clone(a.all()), func(w header.Weighted) bool { return covered(w.Value, excluded) }))
}

// added returns a given Accept with what it does not cover.
func (a *accepter) added(given string, excluded []string) string {
	ranges := slices.Clone(excluded)
	for _, w := range header.ParseAccept(given) {
		ranges = append(ranges, w.Value)
	}
	parts := []string{given}
	for _, w := range a.all() {
		if !covered(w.Value, ranges) {
			parts = append(parts, w.String())
		}
	}
	return strings.Join(parts, ", ")
}

func covered(mediaType string, ranges []string) bool {
	mt, _ := header.ParseMediaType(mediaType)
	return slices.ContainsFunc(ranges, func(r string) bool { return mt.Matches(r) })
}
