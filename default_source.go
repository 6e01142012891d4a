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
// The source is asked before the request takes a connection of its own. Up to 1
// MiB is read first, so that one connection is enough for both; what is larger
// streams, with its length unknown. Then two connections are in use at once: if
// the pool has no second one for 30 seconds, and no [PoolTimeout] says
// otherwise, the call fails with that.
func URL(c *Client, rawURL string, opts ...Option) content.Content {
	return &urlContent{c, NewRequest("GET", rawURL, append(opts[:len(opts):len(opts)], ExpectSuccess(true))...)}
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

func (u *urlContent) Open(ctx context.Context) (io.ReadCloser, error) {
	resp, err := u.client.Open(ctx, u.request)
	if err != nil {
		return nil, sourceError(err)
	}
	return resp.Body, nil
}

func sourceError(err error) error { return fmt.Errorf("body from a URL: %w", err) }

// fetch returns the source as a body. If it is not all in memory it streams, and
// whoever asked for it leaves the stream in the end.
func (u *urlContent) fetch(ctx context.Context) (content.Content, *sourceStream, error) {
	body, err := u.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	head, err := io.ReadAll(io.LimitReader(body, sourceAtOnce+1))
	if err != nil || len(head) <= sourceAtOnce {
		body.Close()
		if err != nil {
			return nil, nil, sourceError(err)
		}
		return content.Bytes(head, u.ContentType()), nil, nil
	}
	stream := &sourceStream{urlContent: u, Reader: io.MultiReader(bytes.NewReader(head), body), Closer: body}
	return stream, stream, nil
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
