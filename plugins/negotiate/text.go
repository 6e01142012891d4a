package negotiate

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit"
)

// Text is the codec for text/plain: for types that write and read text
// themselves (encoding.TextMarshaler), strings, numbers and bools, and an any,
// which becomes a string. Other types are left to the client.
type Text struct{}

var _ godwit.Codec = Text{}

// MediaTypes implements [godwit.Codec].
func (Text) MediaTypes() []string { return []string{"text/plain"} }

// Marshal implements [godwit.Codec].
func (Text) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case encoding.TextMarshaler:
		return v.MarshalText()
	case fmt.Stringer:
		return []byte(v.String()), nil
	}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	switch rv.Kind() {
	case reflect.String:
		return []byte(rv.String()), nil
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Func, reflect.Chan, reflect.Invalid:
		return nil, fmt.Errorf("%T is not text", v)
	}
	return fmt.Append(nil, rv.Interface()), nil
}

// Unmarshal implements [godwit.Codec].
func (Text) Unmarshal(data []byte, v any) error {
	rv, err := target(v)
	if err != nil {
		return err
	}
	return setText(rv, strings.ToValidUTF8(string(data), "\uFFFD"))
}

// writes reports whether v is one of the types.
func (Text) writes(v any) bool { return anyLevel(reflect.TypeOf(v), textMarshaler, stringer) }

// reads reports whether what v points to is one of the types.
func (Text) reads(v any) bool { return anyLevel(reflect.TypeOf(v), textUnmarshaler) }

// anyLevel reports whether t, or what it points to, implements one of the
// interfaces or is plain text.
func anyLevel(t reflect.Type, interfaces ...reflect.Type) bool {
	for t != nil {
		if slices.ContainsFunc(interfaces, t.Implements) {
			return true
		}
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t != nil && (isScalar(t.Kind()) || t.Kind() == reflect.Interface && t.NumMethod() == 0)
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	stringer        = reflect.TypeFor[fmt.Stringer]()
)

func isScalar(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Float64 && k != reflect.Uintptr || k == reflect.String
}

// target returns what v points to, which is made if it is a nil pointer itself.
func target(v any) (reflect.Value, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return rv, fmt.Errorf("decode into %T: a pointer is wanted", v)
	}
	return rv.Elem(), nil
}

// setText sets a value from its text form.
func setText(v reflect.Value, s string) error {
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return u.UnmarshalText([]byte(s))
		}
	}
	switch k := v.Kind(); {
	case k == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := setText(p.Elem(), s); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case k == reflect.Interface && v.NumMethod() == 0:
		v.Set(reflect.ValueOf(s))
		return nil
	case k == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(s))
		return nil
	case k == reflect.String:
		v.SetString(s)
		return nil
	}
	return setNumber(v, strings.TrimSpace(s))
}

func setNumber(v reflect.Value, s string) error {
	switch {
	case v.Kind() == reflect.Bool:
		x, err := strconv.ParseBool(s)
		if err == nil {
			v.SetBool(x)
		}
		return err
	case v.CanInt():
		x, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err == nil {
			v.SetInt(x)
		}
		return err
	case v.CanUint():
		x, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err == nil {
			v.SetUint(x)
		}
		return err
	case v.CanFloat():
		x, err := strconv.ParseFloat(s, v.Type().Bits())
		if err == nil {
			v.SetFloat(x)
		}
		return err
	}
	return fmt.Errorf("%v can't be made of text", v.Type())
}
