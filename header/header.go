// Package header holds HTTP header and trailer fields, and parsers for the
// field values that an HTTP client meets every day.
//
// Fields keep the order and the letter case in which they were added, because
// both go to the wire unchanged on HTTP/1.1; names compare without regard to
// case (RFC 9110 §5.1).
package header

import (
	"iter"
	"slices"
	"strings"
)

// Field is one header line: a name in its original case and a value without
// the white space around it.
type Field struct {
	Name, Value string
}

// Header is an ordered list of fields. Its zero value is empty and ready to
// use. It is not safe for concurrent change; any number of goroutines may read
// a Header that nobody changes.
//
// A Header is a small value: passing it on shares its fields. Use [Header.Clone]
// before changing a copy, or [Header.View] for a copy that does so by itself.
type Header struct {
	fields []Field
	// borrowed marks a view: the first change copies the fields.
	borrowed bool
}

// New returns a Header of the given pairs: name, value, name, value, …
// It panics if the number of strings is odd, which is a programmer's error.
func New(pairs ...string) Header {
	if len(pairs)%2 != 0 {
		panic("header.New: odd number of strings")
	}
	h := Header{fields: make([]Field, 0, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		h.fields = append(h.fields, Field{pairs[i], pairs[i+1]})
	}
	return h
}

// Of returns a Header that takes over fields; the caller no longer uses the slice.
func Of(fields []Field) Header { return Header{fields: fields} }

// Len returns the number of fields (lines, not distinct names).
func (h Header) Len() int { return len(h.fields) }

// At returns field i in order, 0 ≤ i < Len.
func (h Header) At(i int) Field { return h.fields[i] }

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	if i := h.index(name, 0); i >= 0 {
		return h.fields[i].Value
	}
	return ""
}

// Lookup returns the first value of name and whether there is one.
func (h Header) Lookup(name string) (string, bool) {
	if i := h.index(name, 0); i >= 0 {
		return h.fields[i].Value, true
	}
	return "", false
}

// Has reports whether a field of that name is present, even with an empty value.
func (h Header) Has(name string) bool { return h.index(name, 0) >= 0 }

// Values returns all values of name in order, nil if there is none.
// The slice is the caller's.
func (h Header) Values(name string) []string {
	var vs []string
	for i := h.index(name, 0); i >= 0; i = h.index(name, i+1) {
		vs = append(vs, h.fields[i].Value)
	}
	return vs
}

// Joined returns all values of name joined by ", ", as RFC 9110 §5.3 lets a
// recipient combine them. Do not use it for Set-Cookie.
func (h Header) Joined(name string) string {
	i := h.index(name, 0)
	if i < 0 {
		return ""
	}
	if h.index(name, i+1) < 0 {
		return h.fields[i].Value
	}
	return strings.Join(h.Values(name), ", ")
}

// All iterates over the fields in order.
func (h Header) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range h.fields {
			if !yield(f.Name, f.Value) {
				return
			}
		}
	}
}

// Names returns the distinct names in the case and order of their first appearance.
func (h Header) Names() []string {
	var names []string
	for i, f := range h.fields {
		if h.index(f.Name, 0) == i {
			names = append(names, f.Name)
		}
	}
	return names
}

// Add appends a field.
func (h *Header) Add(name, value string) {
	h.own(1)
	h.fields = append(h.fields, Field{name, value})
}

// AddAll appends one field a value.
func (h *Header) AddAll(name string, values ...string) {
	h.own(len(values))
	for _, v := range values {
		h.fields = append(h.fields, Field{name, v})
	}
}

// Set replaces all fields of that name by one. The field keeps the place of
// the first one replaced and takes the case given here.
func (h *Header) Set(name, value string) {
	i := h.index(name, 0)
	if i < 0 {
		h.Add(name, value)
		return
	}
	h.own(0)
	h.fields[i] = Field{name, value}
	h.remove(name, i+1)
}

// SetIfAbsent adds the field unless one of that name is present, and reports
// whether it did.
func (h *Header) SetIfAbsent(name, value string) bool {
	if h.Has(name) {
		return false
	}
	h.Add(name, value)
	return true
}

// Del removes all fields of that name.
func (h *Header) Del(name string) {
	i := h.index(name, 0)
	if i < 0 {
		return
	}
	h.own(0)
	h.remove(name, i)
}

// Filter keeps the fields for which keep returns true, in order.
func (h *Header) Filter(keep func(Field) bool) {
	h.own(0)
	h.fields = slices.DeleteFunc(h.fields, func(f Field) bool { return !keep(f) })
}

// Clone returns an independent copy.
func (h Header) Clone() Header {
	return Header{fields: slices.Clone(h.fields)}
}

// CopyTo returns an independent copy with room for n more fields, in buf if that
// is large enough, else in a new slice.
func (h Header) CopyTo(buf []Field, n int) Header {
	if need := len(h.fields) + n; cap(buf) < need {
		buf = make([]Field, 0, need)
	}
	return Header{fields: append(buf[:0], h.fields...)}
}

// View returns a copy that shares h's fields until its first change, when it
// copies them. Nothing is written to h; h itself must not change while the
// view is in use.
func (h Header) View() Header { return Header{fields: h.fields, borrowed: true} }

// Equal reports whether both hold the same fields in the same order, names
// compared without regard to case.
func (h Header) Equal(other Header) bool {
	return slices.EqualFunc(h.fields, other.fields, func(a, b Field) bool {
		return a.Value == b.Value && EqualFold(a.Name, b.Name)
	})
}

// String renders the fields as header lines, for debugging. It redacts nothing.
func (h Header) String() string {
	var b strings.Builder
	for _, f := range h.fields {
		b.WriteString(f.Name)
		b.WriteString(": ")
		b.WriteString(f.Value)
		b.WriteString("\r\n")
	}
	return b.String()
}

// own makes the fields ours to change, with room for n more.
func (h *Header) own(n int) {
	if h.borrowed {
		*h = h.CopyTo(nil, n)
	}
}

func (h *Header) remove(name string, from int) {
	kept := h.fields[:from]
	for _, f := range h.fields[from:] {
		if !EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	clear(h.fields[len(kept):])
	h.fields = kept
}

func (h Header) index(name string, from int) int {
	for i := from; i < len(h.fields); i++ {
		if n := h.fields[i].Name; len(n) == len(name) && EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// EqualFold reports whether two field names are equal without regard to ASCII
// case. Unlike strings.EqualFold it knows no Unicode: K (U+212A) is not k.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
