package encoding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// inMemory is the largest body that is compressed before it is sent: its length
// is known then, and it stays as it is if it does not get smaller. Larger ones
// are compressed on their way, each time they are sent.
const inMemory = 1 << 20

// encode gives a request's body its content codings.
func (i *installed) encode(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if names := i.compress.For(req); len(names) > 0 {
		if err := i.compressBody(req, names); err != nil {
			return nil, buildError(err)
		}
	}
	return next(ctx, req)
}

func (i *installed) compressBody(req *godwit.Request, names []string) error {
	body := req.Content()
	if body == nil || !i.wants(req, body) {
		return nil
	}
	codecs, err := i.plugin.encoders(names)
	if err != nil || len(codecs) == 0 {
		return err
	}
	encoded, err := wrap(body, codecs)
	if err != nil || encoded == nil {
		return err
	}
	req.Body = encoded
	req.Header.Del("Content-Length")
	var applied []string
	for _, c := range codecs {
		applied = append(applied, c.Name)
	}
	req.Header.Set(contentEncoding, strings.Join(applied, ", "))
	return nil
}

// encoders returns the codecs of a list of codings, without identity.
func (p *Plugin) encoders(names []string) ([]*Codec, error) {
	var list []*Codec
	for _, name := range names {
		if strings.EqualFold(name, identity) {
			continue
		}
		c := p.codecs[strings.ToLower(name)]
		if c == nil || c.NewWriter == nil {
			return nil, fmt.Errorf("Compress %q: no codec encodes that; there are %s", name, p.names())
		}
		list = append(list, c)
	}
	return list, nil
}

// final are fields that speak of the body as it is: one that has them is not
// changed.
var final = []string{contentEncoding, "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Content-MD5"}

// wants reports whether a body is to be compressed, by its fields, size and type.
func (i *installed) wants(req *godwit.Request, body content.Content) bool {
	if slices.ContainsFunc(final, req.Header.Has) {
		return false
	}
	if n := body.ContentLength(); n == 0 || n > 0 && n < i.min.For(req) {
		return false
	}
	types := i.types.For(req)
	mt, ok := header.ContentType(req.Header)
	if types == nil {
		return ok && mt.IsText()
	}
	return slices.ContainsFunc(types, func(pattern string) bool { return pattern == "*" || ok && mt.Matches(pattern) })
}

// wrap returns the encoded body, nil if that is not worth it. It can be sent as
// often as the body itself and keeps its trailers.
func wrap(body content.Content, codecs []*Codec) (content.Content, error) {
	trailers, _ := body.(content.Trailerer)
	var out content.Content
	data, known := content.BytesOf(body)
	if known && len(data) <= inMemory && trailers == nil {
		var b bytes.Buffer
		if err := encodeTo(&b, bytes.NewReader(data), codecs); err != nil {
			return nil, err
		}
		if b.Len() >= len(data) {
			return nil, nil
		}
		out = content.Bytes(b.Bytes(), body.ContentType())
	} else {
		out = content.Writer(func(ctx context.Context, w io.Writer) error {
			r, err := body.Open(ctx)
			if err != nil {
				return err
			}
			defer r.Close()
			return encodeTo(w, exactly(r, body.ContentLength()), codecs)
		}, body.ContentType(), -1)
	}
	if !body.Replayable() {
		out = content.Once(out)
	}
	if trailers != nil {
		out = content.WithTrailers(out, trailers.TrailerNames(), trailers.Trailers)
	}
	return out, nil
}

// What is wrong with a body that is not as long as its ContentLength: encoded it
// has no length any more that the engine could compare.
var (
	errShort = errors.New("request body is shorter than its ContentLength")
	errLong  = errors.New("request body is longer than its ContentLength")
)

// exactly returns a reader of r that fails if r has not just length bytes; r
// itself if that is negative.
func exactly(r io.Reader, length int64) io.Reader {
	if length < 0 {
		return r
	}
	return &exact{r, length}
}

type exact struct {
	io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, errLong
	case err == io.EOF && e.left > 0:
		return n, errShort
	}
	return n, err
}

// encodeTo writes r to w through the codecs, the first one first.
func encodeTo(w io.Writer, r io.Reader, codecs []*Codec) error {
	stack := make([]io.WriteCloser, len(codecs))
	for i, c := range slices.Backward(codecs) {
		e, err := c.NewWriter(w)
		if err != nil {
			return fmt.Errorf("content coding %s: %w", c.Name, err)
		}
		stack[i], w = e, e
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	for _, e := range stack {
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}
