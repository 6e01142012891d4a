package negotiate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"slices"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
)

// Q gives a codec its weight in Accept, from 0 to 1, in thousandths. Codecs without it have
// weight 1; one of weight 0 decodes what comes but is not asked for.
func Q(codec godwit.Codec, q float64) godwit.Codec { return &weighted{codec, q} }

type weighted struct {
	godwit.Codec
	q float64
}

// For returns a codec that is for other media types than its own; the first is
// what it writes. Patterns such as "application/*" may follow.
func For(codec godwit.Codec, mediaTypes ...string) godwit.Codec {
	return &retyped{codec, slices.Clone(mediaTypes)}
}

type retyped struct {
	godwit.Codec
	types []string
}

// MediaTypes returns the types given to For.
func (r *retyped) MediaTypes() []string { return r.types }

// Func returns a codec made of a pair of functions, such as those of another JSON
// package. They are called by many goroutines at once.
func Func(marshal func(v any) ([]byte, error), unmarshal func(data []byte, v any) error, mediaTypes ...string) godwit.Codec {
	return &pair{marshal, unmarshal, slices.Clone(mediaTypes)}
}

type pair struct {
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
	types     []string
}

// MediaTypes returns the types given to Func.
func (p *pair) MediaTypes() []string { return p.types }

// Marshal calls the function given to Func.
func (p *pair) Marshal(v any) ([]byte, error) { return p.marshal(v) }

// Unmarshal calls the function given to Func.
func (p *pair) Unmarshal(data []byte, v any) error { return p.unmarshal(data, v) }

// unwrap returns the codec inside of Q and For.
func unwrap(codec godwit.Codec) godwit.Codec {
	for {
		switch c := codec.(type) {
		case *weighted:
			codec = c.Codec
		case *retyped:
			codec = c.Codec
		default:
			return codec
		}
	}
}

// clientKnows reports whether a body is one that the client makes content of by
// itself, whatever its Content-Type.
func clientKnows(body any) bool {
	switch body.(type) {
	case nil, content.Content, string, []byte, json.RawMessage, url.Values, *os.File, *bytes.Buffer, io.Reader, godwit.None, *godwit.None,
		func(context.Context) (io.ReadCloser, error), func(context.Context, io.Writer) error:
		return true
	}
	return false
}
