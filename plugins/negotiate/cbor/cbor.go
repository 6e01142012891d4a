// Package cbor is the codec for CBOR (RFC 8949), by github.com/fxamacker/cbor.
//
//	c := godwit.New(godwit.WithCodec(cbor.Codec{}))
//	c = godwit.New(godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{cbor.Codec{}}})))
//
// Struct tags are `cbor`, else `json`.
package cbor

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"github.com/godwit-go/godwit"
)

// Codec encodes deterministically (RFC 8949 §4.2.1), times as text of RFC 3339
// with tag 0, and decodes at most 32 levels and 131,072 elements of an array or
// map. Maps in an any become map[string]any. Its zero value is ready to use.
type Codec struct {
	// Strict refuses map keys without a field, keys that are there twice, and
	// data of indefinite length.
	Strict bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
	// Enc and Dec are modes of your own; nil = as above. Dec goes before Strict.
	Enc cbor.EncMode
	Dec cbor.DecMode
}

var _ godwit.Codec = Codec{}

// modes are made once, of constants.
var (
	encMode, encErr       = encOptions().EncMode()
	decMode, decErr       = decOptions(false).DecMode()
	strictMode, strictErr = decOptions(true).DecMode()
)

func encOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.Time, o.TimeTag = cbor.TimeRFC3339Nano, cbor.EncTagRequired
	return o
}

func decOptions(strict bool) cbor.DecOptions {
	o := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}
	if strict {
		o.DupMapKey = cbor.DupMapKeyEnforcedAPF
		o.IndefLength = cbor.IndefLengthForbidden
		o.ExtraReturnErrors = cbor.ExtraDecErrorUnknownField
	}
	return o
}

// MediaTypes implements [godwit.Codec]; the first stands for +cbor types, too.
func (Codec) MediaTypes() []string { return []string{"application/cbor"} }

// Marshal implements [godwit.Codec].
func (c Codec) Marshal(v any) ([]byte, error) {
	if c.Enc != nil {
		return c.Enc.Marshal(v)
	}
	if encErr != nil {
		return nil, encErr
	}
	return encMode.Marshal(v)
}

// Unmarshal implements [godwit.Codec].
func (c Codec) Unmarshal(data []byte, v any) error {
	if c.MaxBytes > 0 && int64(len(data)) > c.MaxBytes {
		return fmt.Errorf("%w: %d bytes to decode, the codec's limit is %d", godwit.ErrBodyTooLarge, len(data), c.MaxBytes)
	}
	mode, err := decMode, decErr
	if c.Strict {
		mode, err = strictMode, strictErr
	}
	if c.Dec != nil {
		mode, err = c.Dec, nil
	}
	if err != nil {
		return err
	}
	return mode.Unmarshal(data, v)
}
