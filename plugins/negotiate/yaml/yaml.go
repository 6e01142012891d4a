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
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Codec reads the first document of a stream. Its zero value is ready to use.
//
// The parser is not made for hostile data: its time grows faster than its input.
// So a document is looked over before, and what would take long is an error that
// names the limit.
type Codec struct {
	// Strict refuses mapping keys without a field.
	Strict bool
	// MaxBytes limits what is decoded; 0 = 1 MiB, negative = by the client alone.
	MaxBytes int64
	// MaxDepth limits the nesting; 0 = 100.
	MaxDepth int
	// MaxEntries limits the entries of one block mapping; 0 = 5,000. The time to
	// read a mapping grows by the square of them.
	MaxEntries int
	// MaxTokens limits the keys, values and marks (such as ":", "-" and ",") of a
	// stream; 0 = 100,000.
	MaxTokens int
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
	err := c.decode(data, v)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if _, ok := errors.AsType[yaml.Error](err); ok {
		return &plainError{err}
	}
	return err
}

func (c Codec) decode(data []byte, v any) (err error) {
	defer recovered.Codec(&err, c, "decoding into", v)
	if err := c.check(data); err != nil {
		return err
	}
	var opts []yaml.DecodeOption
	if c.Strict {
		opts = append(opts, yaml.Strict())
	}
	return yaml.NewDecoder(bytes.NewReader(data), opts...).Decode(v)
}

// plainError is an error of the library without the lines of the document that it
// quotes: they can be as long as the document, and take time by the square of
// that to put together.
type plainError struct{ err error }

func (e *plainError) Error() string { return yaml.FormatError(e.err, false, false) }

// Unwrap returns the library's own error.
func (e *plainError) Unwrap() error { return e.err }
