package content

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/godwit-go/godwit/header"
)

// formField is how one field of a struct is read.
type formField struct {
	name      string
	index     []int
	omitEmpty bool
}

// structFields is what reading a struct type gives: fields or an error.
type structFields struct {
	fields []formField
	err    error
}

// fieldCache maps a struct's reflect.Type to its structFields: it only saves
// time, as the same type always gives the same.
var fieldCache sync.Map

func encodePairs(v any) ([]header.Pair, error) {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	switch {
	case rv.Kind() == reflect.Struct:
		return encodeStruct(rv)
	case rv.Kind() == reflect.Map && rv.Type().Key().Kind() == reflect.String:
		return encodeMap(rv)
	}
	return nil, fmt.Errorf("content: a form or query is made of a struct or a map with string keys, not of %T", v)
}

func encodeMap(m reflect.Value) ([]header.Pair, error) {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	var pairs []header.Pair
	var err error
	for _, k := range keys {
		if pairs, err = appendValue(pairs, k.String(), m.MapIndex(k)); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func encodeStruct(v reflect.Value) ([]header.Pair, error) {
	if !v.CanAddr() {
		// A MarshalText on the pointer can be called on a copy only.
		p := reflect.New(v.Type()).Elem()
		p.Set(v)
		v = p
	}
	plan := fieldsOf(v.Type())
	if plan.err != nil {
		return nil, plan.err
	}
	var pairs []header.Pair
	for _, f := range plan.fields {
		fv, err := v.FieldByIndexErr(f.index)
		if err != nil || f.omitEmpty && isEmpty(fv) {
			continue // err: in an embedded pointer that is nil
		}
		if pairs, err = appendValue(pairs, f.name, fv); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

// appendValue appends the text of v, or those of its elements.
func appendValue(pairs []header.Pair, name string, v reflect.Value) ([]header.Pair, error) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return pairs, nil
		}
		if _, ok := marshaler(v); ok {
			break
		}
		v = v.Elem()
	}
	if m, ok := marshaler(v); ok {
		b, err := m.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("content: form field %q: %w", name, err)
		}
		return append(pairs, header.Pair{Name: name, Value: string(b)}), nil
	}
	if s, ok := scalar(v); ok {
		return append(pairs, header.Pair{Name: name, Value: s}), nil
	}
	if k := v.Kind(); k != reflect.Slice && k != reflect.Array {
		return nil, errKind(name, v.Interface())
	}
	var err error
	for i := range v.Len() {
		if pairs, err = appendValue(pairs, name, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func marshaler(v reflect.Value) (encoding.TextMarshaler, bool) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		return m, true
	}
	if v.CanAddr() {
		m, ok := v.Addr().Interface().(encoding.TextMarshaler)
		return m, ok
	}
	return nil, false
}

func scalar(v reflect.Value) (string, bool) {
	switch k := v.Kind(); {
	case k == reflect.String:
		return v.String(), true
	case k == reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), true
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), true
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits()), true
	case k == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return string(v.Bytes()), true
	}
	return "", false
}

func fieldsOf(t reflect.Type) structFields {
	if plan, ok := fieldCache.Load(t); ok {
		return plan.(structFields)
	}
	plan, _ := fieldCache.LoadOrStore(t, readFields(t))
	return plan.(structFields)
}

// readFields collects the fields of t and of the structs embedded in it, level
// by level, so that an outer field is seen before one it hides.
func readFields(t reflect.Type) structFields {
	type level struct {
		t     reflect.Type
		index []int
	}
	var plan structFields
	depth := map[string]int{}
	visited := map[reflect.Type]bool{t: true}
	for queue := []level{{t, nil}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for i := range at.t.NumField() {
			sf := at.t.Field(i)
			if sf.Tag.Get("form") == "-" {
				continue
			}
			index := append(slices.Clone(at.index), i)
			name, options, tagged := tagOf(sf)
			if inner, ok := embedded(sf); ok && !tagged {
				if !visited[inner] {
					visited[inner] = true
					queue = append(queue, level{inner, index})
				}
				continue
			}
			if !sf.IsExported() {
				continue
			}
			if d, taken := depth[name]; taken {
				if d == len(index) && plan.err == nil {
					plan.err = fmt.Errorf("content: %v has two form fields called %q", t, name)
				}
				continue
			}
			depth[name] = len(index)
			plan.fields = append(plan.fields, formField{name, index, hasOption(options, "omitempty")})
		}
	}
	slices.SortFunc(plan.fields, func(a, b formField) int { return slices.Compare(a.index, b.index) })
	return plan
}

// tagOf returns the name of a field, the options after it, and whether the name
// is from the tag.
func tagOf(sf reflect.StructField) (name, options string, tagged bool) {
	name, options, _ = strings.Cut(sf.Tag.Get("form"), ",")
	if name == "" {
		return sf.Name, options, false
	}
	return name, options, true
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// embedded returns the struct type whose fields are promoted through sf.
func embedded(sf reflect.StructField) (reflect.Type, bool) {
	if !sf.Anonymous || reflect.PointerTo(sf.Type).Implements(textMarshaler) || sf.Type.Implements(textMarshaler) {
		return nil, false
	}
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct
}

func hasOption(options, want string) bool {
	for one := range strings.SplitSeq(options, ",") {
		if one == want {
			return true
		}
	}
	return false
}
