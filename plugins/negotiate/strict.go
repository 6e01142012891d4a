package negotiate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkStrict refuses what RFC 7493 does: text that is not valid UTF-8, strings
// with surrogates or noncharacters, members of one name twice. Members count as
// one, too, if encoding/json would put them into one field of a value of type t.
func checkStrict(data []byte, t reflect.Type) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	if err := checkEscapes(data); err != nil {
		return err
	}
	s := &strict{d: json.NewDecoder(bytes.NewReader(data)), shapes: make(map[reflect.Type]shape)}
	s.d.UseNumber()
	for {
		token, err := s.d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if t, err = s.see(token, t); err != nil {
			return err
		}
	}
}

// strict walks through a JSON text and the Go type beside it.
type strict struct {
	d      *json.Decoder
	stack  []level
	shapes map[reflect.Type]shape
}

// shape is what of a Go type the walk needs.
type shape struct {
	fields *fields      // of a struct, else nil
	elem   reflect.Type // of the elements of anything else; nil = not known
}

// level is an array or object that is open.
type level struct {
	shape
	names map[string]string // by what it means: the member that was seen; nil = array
	value bool              // the next token is a member's value
}

// see looks at a token, before which t was the type of the value to come, and
// returns the type of the next value.
func (s *strict) see(token json.Token, t reflect.Type) (reflect.Type, error) {
	if text, ok := token.(string); ok && strings.ContainsFunc(text, isNoncharacter) {
		return nil, fmt.Errorf("string %q: RFC 7493 has no place for noncharacters", text)
	}
	if top := len(s.stack) - 1; top >= 0 && s.stack[top].names != nil && token != json.Delim('}') {
		in := &s.stack[top]
		if name, ok := token.(string); ok && !in.value {
			in.value = true
			return in.member(name)
		}
		in.value = false
	}
	switch token {
	case json.Delim('{'):
		s.stack = append(s.stack, level{shape: s.shape(t), names: make(map[string]string)})
	case json.Delim('['):
		s.stack = append(s.stack, level{shape: s.shape(t)})
	case json.Delim('}'), json.Delim(']'):
		s.stack = s.stack[:len(s.stack)-1]
	}
	if top := len(s.stack) - 1; top >= 0 {
		return s.stack[top].elem, nil
	}
	return nil, nil
}

// member notes a member and returns the type of its value.
func (l *level) member(name string) (reflect.Type, error) {
	means, t := name, l.elem
	if l.fields != nil {
		means, t = l.fields.find(name)
	}
	if before, twice := l.names[means]; twice {
		if before == name {
			return nil, fmt.Errorf("member %q is there twice", name)
		}
		return nil, fmt.Errorf("members %q and %q are both the field %q", before, name, means)
	}
	l.names[means] = name
	return t, nil
}

func (s *strict) shape(t reflect.Type) shape {
	out, ok := s.shapes[t]
	if ok {
		return out
	}
	if to := valueType(t); to != nil {
		switch to.Kind() {
		case reflect.Struct:
			out.fields = &fields{types: make(map[string]reflect.Type)}
			out.fields.add(to, nil)
		case reflect.Map, reflect.Slice, reflect.Array:
			out.elem = to.Elem()
		}
	}
	s.shapes[t] = out
	return out
}

// valueType returns the type that a value of type t is read into field by field
// or element by element; nil if it reads itself, or that is not known.
func valueType(t reflect.Type) reflect.Type {
	for t != nil {
		if reflect.PointerTo(t).Implements(unmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fields are the members that a struct has fields for, in order.
type fields struct {
	names []string
	types map[string]reflect.Type
}

// add adds the fields of t, those of structs embedded in it last: its own go
// before them.
func (f *fields) add(t reflect.Type, inside []reflect.Type) {
	var embedded []reflect.Type
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case tag == "-":
		case field.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			embedded = append(embedded, inner)
		case field.IsExported():
			if name == "" {
				name = field.Name
			}
			if _, taken := f.types[name]; !taken {
				f.names, f.types[name] = append(f.names, name), field.Type
			}
		}
	}
	inside = append(inside, t)
	for _, e := range embedded {
		if !slices.Contains(inside, e) {
			f.add(e, inside)
		}
	}
}

// find returns the field that a member means, as encoding/json finds it: by its
// name, else without regard to case. A member without one means itself.
func (f *fields) find(member string) (string, reflect.Type) {
	if t, ok := f.types[member]; ok {
		return member, t
	}
	for _, name := range f.names {
		if strings.EqualFold(name, member) {
			return name, f.types[name]
		}
	}
	return member, nil
}

// checkEscapes refuses escapes of half a surrogate pair, which a decoder would
// replace. Backslashes stand in strings only; what else is wrong with them is
// the parser's to say.
func checkEscapes(data []byte) error {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		unit, ok := utf16Escape(data[i:])
		i++ // the escaped character
		if !ok || unit < 0xd800 || unit > 0xdfff {
			continue
		}
		low, ok := utf16Escape(data[min(i+5, len(data)):])
		if unit > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
			return fmt.Errorf("\\u%04x: half of a surrogate pair is no character", unit)
		}
		i += 5 + 5
	}
	return nil
}

// utf16Escape reads the escape that data begins with.
func utf16Escape(data []byte) (uint64, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return unit, err == nil
}

func isNoncharacter(r rune) bool { return r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef }
