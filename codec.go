package godwit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Codec turns values into bodies and back, for one family of media types. It is
// safe for concurrent use. If it panics, the call fails with an error that names
// the codec: a body that a library stumbles over ends no program.
type Codec interface {
	// MediaTypes returns the types that the codec is for, best first; the first
	// is what it writes. "application/json" stands for suffix types such as
	// application/problem+json, too.
	MediaTypes() []string
	// Marshal returns v as bytes.
	Marshal(v any) ([]byte, error)
	// Unmarshal sets what v points to. It must not keep data.
	Unmarshal(data []byte, v any) error
}

// WithCodec adds codecs. Those added last are asked first; JSON is always there,
// as the last.
func WithCodec(codecs ...Codec) ClientOption {
	return clientOption(func(c *config) {
		for _, codec := range codecs {
			if codec == nil {
				c.fail(errors.New("WithCodec: codec is nil"))
				continue
			}
			c.codecs = append([]Codec{codec}, c.codecs...)
		}
	})
}

// JSON is the codec for JSON by encoding/json, with its defaults.
type JSON struct {
	// Strict refuses members that the Go type has no field for.
	Strict bool
}

// MediaTypes implements [Codec].
func (JSON) MediaTypes() []string { return []string{"application/json"} }

// Marshal implements [Codec].
func (JSON) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements [Codec].
func (j JSON) Unmarshal(data []byte, v any) error {
	if !j.Strict {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more data after the JSON value")
	}
	return nil
}

// Codecs returns the client's codecs, the first to be asked first.
func (c *Client) Codecs() []Codec {
	c = c.or()
	return append(slices.Clip(slices.Clone(c.config.codecs)), JSON{})
}

// codecFor returns the codec for a media type.
func (c *Client) codecFor(mt header.MediaType) Codec {
	for _, codec := range c.config.codecs {
		if handles(codec, mt) {
			return codec
		}
	}
	if handles(JSON{}, mt) {
		return JSON{}
	}
	return nil
}

// mainCodec is what encodes values when the request names no type.
func (c *Client) mainCodec() Codec {
	if len(c.config.codecs) > 0 {
		return c.config.codecs[0]
	}
	return JSON{}
}

// marshal has a codec encode.
func marshal(codec Codec, v any) (data []byte, err error) {
	defer recovered.Codec(&err, codec, "encoding", v)
	return codec.Marshal(v)
}

// unmarshal has a codec decode.
func unmarshal(codec Codec, data []byte, v any) (err error) {
	defer recovered.Codec(&err, codec, "decoding into", v)
	return codec.Unmarshal(data, v)
}

// handles reports whether a codec is for mt, by its name or by a structured
// suffix (RFC 6839).
func handles(codec Codec, mt header.MediaType) bool {
	if _, ok := codec.(JSON); ok { // without the slice
		return isType(mt, "application/json")
	}
	return slices.ContainsFunc(codec.MediaTypes(), func(t string) bool { return isType(mt, t) })
}

func isType(mt header.MediaType, t string) bool {
	typ, subtype, _ := strings.Cut(t, "/")
	if header.EqualFold(typ, mt.Type) && header.EqualFold(subtype, mt.Subtype) {
		return true
	}
	suffix := mt.Suffix()
	return suffix != "" && header.EqualFold(typ, "application") && header.EqualFold(subtype, suffix)
}

// acceptOfCodecs is the Accept field of a typed call: what the codecs read, and
// then anything.
func (c *Client) acceptOfCodecs() string {
	if len(c.config.codecs) == 0 {
		return "application/json, */*;q=0.5"
	}
	var types []string
	for _, codec := range c.Codecs() {
		for _, t := range codec.MediaTypes() {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	return strings.Join(types, ", ") + ", */*;q=0.5"
}
