package protobuf_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/typepb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/negotiate/protobuf"
)

func TestBinary(t *testing.T) {
	unknown := "\x0a\x01a\xfa\x01\x01b" // value = "a", and field 31
	for name, row := range map[string]struct {
		codec protobuf.Codec
		data  string
		want  string // "" = it is read
		kept  bool
	}{
		"known":           {protobuf.Codec{}, "\x0a\x01a", "", false},
		"unknown":         {protobuf.Codec{}, unknown, "", true},
		"unknown dropped": {protobuf.Codec{DiscardUnknown: true}, unknown, "", false},
		"unknown, strict": {protobuf.Codec{Strict: true}, unknown, "google.protobuf.StringValue: the data has fields", false},
		"cut":             {protobuf.Codec{}, "\x0a\x05a", "invalid wire-format", false},
		"size":            {protobuf.Codec{MaxBytes: 2}, "\x0a\x01a", "the codec's limit is 2", false},
	} {
		var m *wrapperspb.StringValue
		err := row.codec.Unmarshal([]byte(row.data), &m)
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || m != nil) {
			t.Errorf("%s: %v, %v, want %s", name, m, err, row.want)
		} else if err == nil && (m.GetValue() != "a" || (len(m.ProtoReflect().GetUnknown()) > 0) != row.kept) {
			t.Errorf("%s: %v", name, m)
		}
	}
	var direct wrapperspb.StringValue
	if err := (protobuf.Codec{}).Unmarshal([]byte("\x0a\x01a"), &direct); err != nil || direct.GetValue() != "a" {
		t.Errorf("%v, %v", direct.GetValue(), err)
	}
	if err := (protobuf.Codec{}).Unmarshal(nil, new(string)); err == nil || !strings.Contains(err.Error(), "*string") {
		t.Error(err)
	}
	if _, err := (protobuf.Codec{}).Marshal(7); err == nil || !strings.Contains(err.Error(), "int is no protobuf message") {
		t.Error(err)
	}
	if err := (protobuf.Codec{MaxBytes: 1}).Unmarshal([]byte("\x0a\x01a"), new(*wrapperspb.StringValue)); !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Error(err)
	}
	s, err := structpb.NewStruct(map[string]any{"a": 1, "b": 2, "c": 3, "d": 4})
	if err != nil {
		t.Fatal(err)
	}
	first, err := protobuf.Codec{Deterministic: true}.Marshal(s)
	for range 20 {
		if again, _ := (protobuf.Codec{Deterministic: true}).Marshal(s); err != nil || string(again) != string(first) {
			t.Fatalf("%x and %x, %v", first, again, err)
		}
	}
}

func TestJSON(t *testing.T) {
	field := &typepb.Field{JsonName: "x"}
	for want, codec := range map[string]protobuf.JSON{`{"jsonName":"x"}`: {}, `{"json_name":"x"}`: {ProtoNames: true}} {
		data, err := codec.Marshal(field)
		if got := strings.ReplaceAll(string(data), " ", ""); err != nil || got != want {
			t.Errorf("%s, %v", data, err)
		}
		var back *typepb.Field
		if err := codec.Unmarshal(data, &back); err != nil || back.GetJsonName() != "x" {
			t.Errorf("%v, %v", back, err)
		}
	}
	var m *typepb.Field
	if err := (protobuf.JSON{}).Unmarshal([]byte(`{"zzz":1}`), &m); err == nil || m != nil {
		t.Errorf("%v, %v", m, err)
	}
	if err := (protobuf.JSON{IgnoreUnknown: true}).Unmarshal([]byte(`{"zzz":1}`), &m); err != nil {
		t.Error(err)
	}
	if err := (protobuf.JSON{MaxBytes: 1}).Unmarshal([]byte(`{}`), &m); !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Error(err)
	}
	// Values that are no messages are plain JSON.
	data, err := protobuf.JSON{}.Marshal(map[string]int{"a": 1})
	var v map[string]int
	if err != nil || (protobuf.JSON{}).Unmarshal(data, &v) != nil || v["a"] != 1 {
		t.Errorf("%s, %v, %v", data, err, v)
	}
}
