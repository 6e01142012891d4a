package godwit

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// checkTrailers refuses trailer names that cannot be sent; the fields themselves
// are known only when the body has been read, and checked there.
func checkTrailers(t content.Trailerer) (*trailered, error) {
	for _, name := range t.TrailerNames() {
		if !header.ValidName(name) {
			return nil, buildErrorf("trailer field name %q is no token", name)
		}
	}
	return &trailered{Trailerer: t}, nil
}

// trailered is a body whose end is an error if its trailer fields cannot be sent,
// so that no engine completes such a message.
type trailered struct {
	content.Trailerer
	fields header.Header
}

// Trailers returns the fields that were checked.
func (t *trailered) Trailers() header.Header { return t.fields }

func (t *trailered) Open(ctx context.Context) (io.ReadCloser, error) {
	body, err := t.Trailerer.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &trailerReader{body, t}, nil
}

func (t *trailered) check() error {
	t.fields = t.Trailerer.Trailers()
	names := t.TrailerNames()
	for name, value := range t.fields.All() {
		if !slices.ContainsFunc(names, func(n string) bool { return header.EqualFold(n, name) }) {
			return opError(engine.OpSend, fmt.Errorf("trailer field %q was not announced", name))
		}
		if err := checkField(name, value); err != nil {
			return opError(engine.OpSend, fmt.Errorf("trailer: %w", err))
		}
	}
	return nil
}

type trailerReader struct {
	io.ReadCloser
	body *trailered
}

func (r *trailerReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		if bad := r.body.check(); bad != nil {
			return n, bad
		}
	}
	return n, err
}
