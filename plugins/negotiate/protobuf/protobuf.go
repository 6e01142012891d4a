// Package protobuf is the codec for Protocol Buffers, by
// google.golang.org/protobuf, in their binary form and in their JSON form.
//
//	c := godwit.New(godwit.WithCodec(protobuf.JSON{}, protobuf.Codec{}))
//	user, err := godwit.Get[*pb.User](ctx, c, url)
package protobuf

import (
	"encoding/json"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/godwit-go/godwit"
)

// Codec is for the binary form. Values are messages: T is *pb.User. Its zero
// value is ready to use.
type Codec struct {
	// Strict refuses fields that the message does not know; by default they are
	// kept, as protobuf does.
	Strict bool
	// DiscardUnknown drops them.
	DiscardUnknown bool
	// Deterministic gives equal bytes for equal messages within one program.
	Deterministic bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
}

var _ godwit.Codec = Codec{}

// MediaTypes implements [godwit.Codec].
func (Codec) MediaTypes() []string {
	return []string{"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"}
}

// Marshal implements [godwit.Codec].
func (c Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", v)
	}
	return proto.MarshalOptions{Deterministic: c.Deterministic}.Marshal(m)
}

// Unmarshal implements [godwit.Codec].
func (c Codec) Unmarshal(data []byte, v any) error {
	if err := checkSize(data, c.MaxBytes); err != nil {
		return err
	}
	m, set, err := messageOf(v)
	if err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: c.DiscardUnknown}).Unmarshal(data, m); err != nil {
		return err
	}
	if c.Strict && len(m.ProtoReflect().GetUnknown()) > 0 {
		return fmt.Errorf("%s: the data has fields that the message does not know", m.ProtoReflect().Descriptor().FullName())
	}
	set()
	return nil
}

// JSON is for the JSON form of messages; values that are none go by
// encoding/json. Its zero value is ready to use.
type JSON struct {
	// IgnoreUnknown ignores members that the message does not know; by default
	// they are an error, as protojson has it.
	IgnoreUnknown bool
	// ProtoNames writes members by the names of the .proto file, not in
	// lowerCamelCase.
	ProtoNames bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
}

var _ godwit.Codec = JSON{}

// MediaTypes implements [godwit.Codec].
func (JSON) MediaTypes() []string { return []string{"application/json"} }

// Marshal implements [godwit.Codec].
func (j JSON) Marshal(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return protojson.MarshalOptions{UseProtoNames: j.ProtoNames}.Marshal(m)
	}
	return json.Marshal(v)
}

// Unmarshal implements [godwit.Codec].
func (j JSON) Unmarshal(data []byte, v any) error {
	if err := checkSize(data, j.MaxBytes); err != nil {
		return err
	}
	m, set, err := messageOf(v)
	if err != nil {
		return json.Unmarshal(data, v)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: j.IgnoreUnknown}).Unmarshal(data, m); err != nil {
		return err
	}
	set()
	return nil
}

// messageOf returns the message to fill for a target, which is one or points to
// one, and what puts it there.
func messageOf(v any) (m proto.Message, set func(), err error) {
	if m, ok := v.(proto.Message); ok {
		return m, func() {}, nil
	}
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Pointer && !p.IsNil() && p.Elem().Kind() == reflect.Pointer {
		fresh := reflect.New(p.Elem().Type().Elem())
		if m, ok := fresh.Interface().(proto.Message); ok {
			return m, func() { p.Elem().Set(fresh) }, nil
		}
	}
	return nil, nil, fmt.Errorf("%T does not point to a protobuf message", v)
}

func checkSize(data []byte, limit int64) error {
	if limit > 0 && int64(len(data)) > limit {
		return fmt.Errorf("%w: %d bytes to decode, the codec's limit is %d", godwit.ErrBodyTooLarge, len(data), limit)
	}
	return nil
}
