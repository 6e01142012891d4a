package godwit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
)

const (
	// sourceAtOnce is how much of a source is read before the request that
	// carries it is sent.
	sourceAtOnce = 1 << 20
	// sourcePatience is how long the request waits for a connection while its
	// source holds one.
	sourcePatience = 30 * time.Second
)

// URL is a body that is fetched from another URL when the request is sent: a
// copy from server to server through this process. c fetches it (nil =
// [Default]); a status outside 2xx fails the send. The body's type goes by the
// URL's extension. It can be sent again, which fetches again.
//
// The source is asked before the request takes a connection of its own, also if
// the body stands in a wrapper of package content or is a part of a multipart
// body. Up to 1 MiB is read first, so that one connection is enough for both; what
// is larger streams, with its length unknown. Then two connections are in use at
// once, more if several parts stream: if the pool has no further one for 30
// seconds, and no [PoolTimeout] says otherwise, the call fails with that.
func URL(c *Client, rawURL string, opts ...Option) content.Content {
	return &urlContent{c, NewRequest("GET", rawURL, append(opts[:len(opts):len(opts)], ExpectSuccess(true), DropBody(false))...)}
}

type urlContent struct {
	client  *Client
	request *Request
}

func (u *urlContent) ContentType() string {
	known := ""
	if u.request.URL != nil {
		known = content.TypeByExtension(path.Ext(u.request.URL.Path))
	}
	return cmp.Or(known, "application/octet-stream")
}

func (u *urlContent) ContentLength() int64 { return -1 }
func (u *urlContent) Replayable() bool     { return true }

// Open fetches the source. What a call opens by itself, it opens when it has a
// connection or is about to take one, which the source must not wait for in turn.
func (u *urlContent) Open(ctx context.Context) (io.ReadCloser, error) {
	return u.open(ctx, CallFrom(ctx) != nil)
}

// open fetches the source; bound says that something waits which holds a
// connection.
func (u *urlContent) open(ctx context.Context, bound bool) (io.ReadCloser, error) {
	req := u.request
	if bound {
		req = req.Clone()
		u.client.or().boundPool(req)
	}
	resp, err := u.client.Open(ctx, req)
	if err != nil {
		return nil, sourceError(err)
	}
	return resp.Body, nil
}

// boundPool bounds how long req waits for a connection while its call holds
// another one.
func (c *Client) boundPool(req *Request) {
	if !engine.Limited(c.builtin.pool.For(req)) && c.Supports(engine.PoolTimeout) {
		req.With(PoolTimeout(sourcePatience))
	}
}

// preparer is a content of package content that may be made of others, or know
// that it cannot be sent: see there.
type preparer interface {
	content.Content
	Prepare(each func(content.Content) (content.Content, error)) (content.Content, error)
}

// sources makes a body ready before its request takes a connection.
type sources struct {
	ctx     context.Context
	streams []*sourceStream
}

// prepare returns c with what was fetched in the stead of each URL in it.
func (s *sources) prepare(c content.Content) (content.Content, error) {
	switch c := c.(type) {
	case *urlContent:
		return s.fetch(c)
	case preparer:
		return c.Prepare(s.prepare)
	}
	return c, nil
}

// leave closes the streams that nobody has opened.
func (s *sources) leave() {
	for _, stream := range s.streams {
		stream.leave()
	}
}

func sourceError(err error) error { return fmt.Errorf("body from a URL: %w", err) }

// fetch returns the source as a body. If it is not all in memory it streams.
func (s *sources) fetch(u *urlContent) (content.Content, error) {
	body, err := u.open(s.ctx, len(s.streams) > 0)
	if err != nil {
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(body, sourceAtOnce+1))
	if err != nil || len(head) <= sourceAtOnce {
		body.Close()
		if err != nil {
			return nil, sourceError(err)
		}
		return content.Bytes(head, u.ContentType()), nil
	}
	stream := &sourceStream{urlContent: u, Reader: io.MultiReader(bytes.NewReader(head), body), Closer: body}
	s.streams = append(s.streams, stream)
	return stream, nil
}

// sourceStream is a source that is open already; opened again, it is fetched
// again.
type sourceStream struct {
	*urlContent
	io.Reader
	io.Closer
	taken atomic.Bool
}

func (s *sourceStream) Open(ctx context.Context) (io.ReadCloser, error) {
	if s.taken.Swap(true) {
		return s.urlContent.Open(ctx)
	}
	return struct {
		io.Reader
		io.Closer
	}{s.Reader, s.Closer}, nil
}

// leave closes what nobody has opened.
func (s *sourceStream) leave() {
	if !s.taken.Swap(true) {
		s.Close()
	}
}
