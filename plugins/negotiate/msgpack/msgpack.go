// Package msgpack is the codec for MessagePack, by
// github.com/vmihailenco/msgpack.
//
//	c := godwit.New(godwit.WithCodec(msgpack.Codec{}))
//	c = godwit.New(godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{msgpack.Codec{}}})))
//
// Struct tags are `msgpack`, else `json`.
package msgpack

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Codec encodes map keys in order, so that equal values give equal bytes. Maps in
// an any become map[string]any: keys that are no strings need a Go map of their
// type. Its zero value is ready to use.
type Codec struct {
	// Strict refuses map keys without a field.
	Strict bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
	// MaxDepth limits the nesting of arrays and maps; 0 = 100.
	MaxDepth int
}

var _ godwit.Codec = Codec{}

// MediaTypes implements [godwit.Codec]. It writes the registered type.
func (Codec) MediaTypes() []string {
	return []string{"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"}
}

// Marshal implements [godwit.Codec].
func (Codec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.SetCustomStructTag("json")
	e.SetSortMapKeys(true)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Unmarshal implements [godwit.Codec].
func (c Codec) Unmarshal(data []byte, v any) error {
	if c.MaxBytes > 0 && int64(len(data)) > c.MaxBytes {
		return fmt.Errorf("%w: %d bytes to decode, the codec's limit is %d", godwit.ErrBodyTooLarge, len(data), c.MaxBytes)
	}
	depth := c.MaxDepth
	if depth <= 0 {
		depth = 100
	}
	if err := check(data, depth); err != nil {
		return err
	}
	return c.decode(data, v)
}

// decode has the library decode, which panics where a key of a map[any]any is an
// array or map.
func (c Codec) decode(data []byte, v any) (err error) {
	defer recovered.Codec(&err, c, "decoding into", v)
	d := msgpack.NewDecoder(bytes.NewReader(data))
	d.SetCustomStructTag("json")
	d.DisallowUnknownFields(c.Strict)
	return d.Decode(v)
}
