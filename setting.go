package godwit

import (
	"hash/fnv"

	"github.com/godwit-go/godwit/attr"
)

// Setting is one named value that can be set for a client and for a single
// request: the one way in which this package's own options and those of
// plugins are made. Declare it as a package variable:
//
//	var max = godwit.NewSetting("retry.max", 3)
//
//	// Max sets how often a request is repeated.
//	func Max(n int) godwit.Option { return max.Set(n) }
//
// and in Install capture the client's value:
//
//	limit := max.Capture(scope)
//	… limit.For(req) …
//
// The request's value goes before the client's, that before the plugin's
// Config, that before the default.
type Setting[T any] struct {
	key      *attr.Key[T]
	mark     mark
	fallback T
	check    func(T) error
}

// NewSetting returns a setting with its default.
func NewSetting[T any](name string, fallback T) *Setting[T] {
	return &Setting[T]{key: attr.NewKey[T](name), mark: markOf(name), fallback: fallback}
}

// Check makes Set refuse values for which check returns an error; the error is
// returned by every call that the option applies to.
func (s *Setting[T]) Check(check func(T) error) *Setting[T] {
	s.check = check
	return s
}

// Set returns the option that sets the value.
func (s *Setting[T]) Set(v T) Option { return &settingOption[T]{s, v} }

// Capture takes the client's value, in a plugin's Install: the one given to New
// or With, else config (the plugin's own), else the default.
func (s *Setting[T]) Capture(scope *Scope, config ...T) Value[T] {
	return s.capture(&scope.config.settings, config...)
}

func (s *Setting[T]) capture(settings *attr.Attributes, config ...T) Value[T] {
	v, ok := s.key.Get(settings)
	switch {
	case ok:
	case len(config) > 0:
		v = config[0]
	default:
		v = s.fallback
	}
	return Value[T]{s.key, s.mark, v}
}

// Value is a setting as one client has it. It is safe for concurrent use.
type Value[T any] struct {
	key    *attr.Key[T]
	mark   mark
	client T
}

// For returns the value that holds for one request.
func (v *Value[T]) For(req *Request) T {
	if req.marks&v.mark == 0 {
		return v.client
	}
	return v.key.Or(&req.settings, v.client)
}

// ForRequest returns the value set on the request itself, if there is one.
func (v *Value[T]) ForRequest(req *Request) (T, bool) { return v.key.Get(&req.settings) }

// mark stands for a setting in a request: most requests carry few settings of
// their own, and a look at one word tells that a setting is not among them. Two
// settings may have the same mark; then the list decides.
type mark uint64

func markOf(name string) mark {
	h := fnv.New64a()
	h.Write([]byte(name))
	return 1 << (h.Sum64() >> 58)
}

type settingOption[T any] struct {
	setting *Setting[T]
	value   T
}

func (o *settingOption[T]) applyRequest(r *Request) {
	if o.setting.check != nil {
		if err := o.setting.check(o.value); err != nil {
			r.fail(opError(opBuild, err))
			return
		}
	}
	o.setting.key.Set(&r.settings, o.value)
	r.marks |= o.setting.mark
}

func (o *settingOption[T]) applyClient(c *config) {
	if o.setting.check != nil {
		if err := o.setting.check(o.value); err != nil {
			c.fail(err)
			return
		}
	}
	o.setting.key.Set(&c.settings, o.value)
}
