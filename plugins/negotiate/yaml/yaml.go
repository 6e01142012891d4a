// Package yaml is the codec for YAML (RFC 9512), by github.com/goccy/go-yaml.
//
//	c := godwit.New(godwit.WithCodec(yaml.Codec{}))
//	c = godwit.New(godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{yaml.Codec{}}})))
//
// Struct tags are `yaml`, else `json`.
package yaml

import (
	"bytes"
	"cmp"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"

	"github.com/godwit-go/godwit"
)

// Codec reads the first document of a stream. Its zero value is ready to use.
type Codec struct {
	// Strict refuses mapping keys without a field.
	Strict bool
	// MaxBytes limits what is decoded; 0 = 1 MiB, negative = by the client alone.
	// The parser is not made for hostile data: its time can grow faster than its
	// input.
	MaxBytes int64
	// MaxDepth limits the nesting; 0 = 100.
	MaxDepth int
	// MaxNodes limits the size of a document with all aliases expanded, which can
	// be exponential in its length (RFC 9512 §4); 0 = 100,000 nodes more than it
	// has bytes.
	MaxNodes int
}

var _ godwit.Codec = Codec{}

// MediaTypes implements [godwit.Codec]; the first stands for +yaml types, too.
func (Codec) MediaTypes() []string {
	return []string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
}

// Marshal implements [godwit.Codec].
func (Codec) Marshal(v any) ([]byte, error) { return yaml.MarshalWithOptions(v) }

// Unmarshal implements [godwit.Codec].
func (c Codec) Unmarshal(data []byte, v any) error {
	limit := cmp.Or(c.MaxBytes, 1<<20)
	if limit > 0 && int64(len(data)) > limit {
		return fmt.Errorf("%w: %d bytes to decode, the codec's limit is %d (see its MaxBytes)", godwit.ErrBodyTooLarge, len(data), limit)
	}
	if err := c.check(data); err != nil {
		return err
	}
	var opts []yaml.DecodeOption
	if c.Strict {
		opts = append(opts, yaml.Strict())
	}
	err := yaml.NewDecoder(bytes.NewReader(data), opts...).Decode(v)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
