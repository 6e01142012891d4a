package content

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/header"
)

const formType = "application/x-www-form-urlencoded"

// Form returns values as application/x-www-form-urlencoded, names in
// alphabetical order. Use [FormPairs] to choose the order.
func Form(values url.Values) Content {
	var pairs []header.Pair
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[name] {
			pairs = append(pairs, header.Pair{Name: name, Value: v})
		}
	}
	return formOf(pairs)
}

// FormPairs returns a form of name, value, name, value, … in that order. It
// panics if the number of strings is odd, which is a programmer's error.
func FormPairs(pairs ...string) Content {
	if len(pairs)%2 != 0 {
		panic("content.FormPairs: odd number of strings")
	}
	var list []header.Pair
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, header.Pair{Name: pairs[i], Value: pairs[i+1]})
	}
	return formOf(list)
}

// FormOf returns the form of a struct or a map, as [EncodeValues] reads it, with
// a struct's fields in the order of their declaration.
func FormOf(v any) (Content, error) {
	pairs, err := encodePairs(v)
	if err != nil {
		return nil, err
	}
	return formOf(pairs), nil
}

// EncodeValues turns a struct or a pointer to one into form or query values.
//
// A field's name is that of its tag `form:"name"`, or else its own; `form:"-"`
// leaves the field out ("-," is the name -), `form:"name,omitempty"` leaves it out if it is zero or
// has no elements. Fields are strings, bools, integers, floats, []byte (as
// text), what implements encoding.TextMarshaler (time.Time as RFC 3339), and
// pointers, interfaces, slices and arrays of those: a slice gives one value an
// element, a nil pointer none. The fields of an embedded struct count as its
// parent's, unless it has a name in its tag or marshals itself; on a clash of
// names the outer field wins.
//
// v may also be a map with string keys to the same kinds, url.Values for
// example. Anything else is an error that names the field. v is not changed;
// EncodeValues is safe for concurrent use.
func EncodeValues(v any) (url.Values, error) {
	pairs, err := encodePairs(v)
	if err != nil {
		return nil, err
	}
	values := make(url.Values, len(pairs))
	for _, p := range pairs {
		values.Add(p.Name, p.Value)
	}
	return values, nil
}

func formOf(pairs []header.Pair) Content {
	var b []byte
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendFormEscaped(b, p.Name)
		b = append(b, '=')
		b = appendFormEscaped(b, p.Value)
	}
	return Bytes(b, formType)
}

// appendFormEscaped escapes s by the application/x-www-form-urlencoded
// percent-encode set (WHATWG URL §5.2), which url.QueryEscape differs from in
// "*" and "~".
func appendFormEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			b = append(b, '+')
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("*-._", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// errKind is the error for a value that has no form of text.
func errKind(name string, v any) error {
	return fmt.Errorf("content: form field %q has type %T, which has no text; give it a MarshalText method or leave it out with the tag `form:\"-\"`", name, v)
}
