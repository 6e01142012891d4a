package mock

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Request is a request as the engine was given it, with its body. It is safe
// for concurrent use.
type Request struct {
	// Request is a copy; its own Body and Trailer are not to be used.
	*engine.Request

	timeouts engine.Timeouts
	stream   io.Reader

	mu      sync.Mutex // guards what follows
	body    []byte
	trailer header.Header
}

// Body returns the request's body; of a [Streaming] exchange, what was read of
// it so far. It must not be changed.
func (r *Request) Body() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.body)
}

// Text returns the request's body as a string.
func (r *Request) Text() string { return string(r.Body()) }

// JSON decodes the request's body into v.
func (r *Request) JSON(v any) error { return json.Unmarshal(r.Body(), v) }

// Trailer returns the trailer fields that followed the body.
func (r *Request) Trailer() header.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trailer.View()
}

// Reader reads the body: as the sender yields it in a [Streaming] exchange,
// otherwise from what is here. It belongs to one goroutine.
func (r *Request) Reader() io.Reader {
	if r.stream != nil {
		return r.stream
	}
	return bytes.NewReader(r.Body())
}

// snapshot copies what the sender may change after the exchange.
func snapshot(req *engine.Request) *engine.Request {
	c := *req
	u := *req.URL
	c.URL, c.Header = &u, req.Header.Clone()
	c.TrailerNames = slices.Clone(req.TrailerNames)
	return &c
}

func (r *Request) keep(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = append(r.body, p...)
}

func (r *Request) keepTrailer(h header.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trailer = h.Clone()
}
