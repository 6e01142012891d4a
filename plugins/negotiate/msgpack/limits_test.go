package msgpack_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/negotiate/msgpack"
)

// TestPanics: the library stumbles over keys that can't be hashed.
func TestPanics(t *testing.T) {
	for _, data := range []string{"\x81\x90\x01", "\x81\x80\x01"} {
		err := (msgpack.Codec{}).Unmarshal([]byte(data), new(map[any]any))
		if err == nil || !strings.Contains(err.Error(), "codec msgpack.Codec for application/vnd.msgpack") || !strings.Contains(err.Error(), "decoding into *map[interface {}]interface {}, panicked") {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestRead(t *testing.T) {
	for name, row := range map[string]struct {
		codec msgpack.Codec
		data  string
		want  string // "" = it is read
	}{
		"plain":           {msgpack.Codec{}, "\x81\xa4name\xa1a", ""},
		"unknown":         {msgpack.Codec{}, "\x81\xa1x\xa1a", ""},
		"unknown, strict": {msgpack.Codec{Strict: true}, "\x81\xa1x\xa1a", "unknown field"},
		"size":            {msgpack.Codec{MaxBytes: 2}, "\x81\xa4name\xa1a", "the codec's limit is 2"},
		"cut":             {msgpack.Codec{}, "\x81\xa4na", "unexpected EOF"},
		"nothing":         {msgpack.Codec{}, "", "unexpected EOF"},
		"more":            {msgpack.Codec{}, "\x80\x80", "1 bytes after the MessagePack value"},
		"unused byte":     {msgpack.Codec{}, "\xc1", "0xc1 is not MessagePack"},
		"deep":            {msgpack.Codec{}, strings.Repeat("\x91", 101) + "\xc0", "nested more than 100 deep"},
		"deep maps":       {msgpack.Codec{MaxDepth: 1}, "\x81\xa1x\x80", ""},
		"deeper maps":     {msgpack.Codec{MaxDepth: 1}, "\x81\xa1x\x81\x01\x02", "nested more than 1 deep"},
		"very deep":       {msgpack.Codec{}, strings.Repeat("\x91", 10<<20), "nested more than 100 deep"},
		"huge array":      {msgpack.Codec{}, "\xdd\xff\xff\xff\xff\x01", "unexpected EOF"},
		"huge map":        {msgpack.Codec{}, "\xdf\xff\xff\xff\xff\x01", "unexpected EOF"},
		"huge text":       {msgpack.Codec{}, "\xdb\xff\xff\xff\xff\x01", "unexpected EOF"},
		"half a length":   {msgpack.Codec{}, "\xdc\xff", "unexpected EOF"},
	} {
		err := row.codec.Unmarshal([]byte(row.data), new(user))
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
	if err := (msgpack.Codec{MaxBytes: 1}).Unmarshal([]byte("\x80\x80"), new(user)); !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Error(err)
	}
}

// TestEveryType: what the library writes passes the check, whatever its form.
func TestEveryType(t *testing.T) {
	long := strings.Repeat("x", 70000)
	many := make([]int, 70000)
	for _, v := range []any{
		nil, true, false, 0, 127, -32, 128, 40000, 1 << 20, 1 << 40, -33, -200, -40000, -1 << 40, float32(1), 1.5, "", long[:31], long[:200], long[:300], long,
		[]byte("b"), []byte(long[:300]), []byte(long), many[:0], many[:15], many[:100], many,
		map[string]int{}, map[string]any{"a": []any{1, map[string]any{"b": nil}}}, bigMap(20), bigMap(70000),
	} {
		data, err := msgpack.Codec{}.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := (msgpack.Codec{}).Unmarshal(data, &back); err != nil {
			t.Errorf("%T of %d bytes: %v", v, len(data), err)
		}
		for _, n := range []int{len(data) - 1, len(data) / 2} {
			if err := (msgpack.Codec{}).Unmarshal(data[:n], &back); err == nil {
				t.Errorf("%T: %d of %d bytes were enough", v, n, len(data))
			}
		}
	}
	var v any
	if err := (msgpack.Codec{}).Unmarshal([]byte("\x81\xa1a\x01"), &v); err != nil || !reflect.DeepEqual(v, map[string]any{"a": int8(1)}) {
		t.Errorf("%#v, %v", v, err)
	}
}

func bigMap(n int) map[string]bool {
	m := make(map[string]bool)
	for i := range n {
		m[fmt.Sprint(i)] = true
	}
	return m
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{"\x81\xa1a\x01", "\xdc\x00\x01\xc0", "\xd6\xff\x00\x00\x00\x00", "\xc7\x01\x05\x00"} {
		f.Add([]byte(s))
	}
	// Nothing from outside panics or runs away.
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		_ = msgpack.Codec{}.Unmarshal(data, &v)
		var u user
		_ = msgpack.Codec{}.Unmarshal(data, &u)
	})
}
