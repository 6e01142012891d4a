package godwit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"reflect"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// transform is phase TransformDefault: it makes content of what no plugin has.
func (b *builtins) transform(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		b.defaultContentType(req)
		c, err := b.contentOf(CallFrom(ctx).client, req)
		if err != nil {
			return nil, err
		}
		switch c.(type) {
		case *urlContent, preparer:
			return b.sendPrepared(ctx, req, c, next)
		}
		if err := b.setContent(req, c); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// sendPrepared is transform for what may have to be fetched first, or may be known
// to be unsendable.
func (b *builtins) sendPrepared(ctx context.Context, req *Request, c content.Content, next Handler) (*Response, error) {
	s := sources{ctx: ctx}
	defer s.leave()
	c, err := s.prepare(c)
	if err != nil {
		if _, fetched := errors.AsType[*Error](err); !fetched {
			err = opError(opBuild, err)
		}
		return nil, err
	}
	if len(s.streams) > 0 {
		CallFrom(ctx).client.boundPool(req)
	}
	if err := b.setContent(req, c); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// setContent makes c the request's body.
func (b *builtins) setContent(req *Request, c content.Content) error {
	req.Body = nil
	if c != nil {
		req.Body = c
		if err := setContentType(req, c.ContentType()); err != nil {
			return err
		}
	}
	b.countUpload(req) // as given by the caller, whatever compression makes of it
	return nil
}

// setContentType moves the content's type into the header; a type given there by
// hand wins, but for a multipart's boundary, which only the content knows.
func setContentType(req *Request, own string) error {
	if own == "" {
		return nil
	}
	given, ok := req.Header.Lookup("Content-Type")
	if !ok {
		req.Header.Add("Content-Type", own)
		return nil
	}
	mine, _ := header.ParseMediaType(own)
	theirs, _ := header.ParseMediaType(given)
	if mine.Type != "multipart" || theirs.Type != "multipart" {
		return nil
	}
	switch theirs.Param("boundary") {
	case "":
		req.Header.Set("Content-Type", own)
	case mine.Param("boundary"):
	default:
		return buildErrorf("Content-Type %q: the body's boundary is %q; leave the boundary to the body", given, mine.Param("boundary"))
	}
	return nil
}

// defaultContentType applies the client's Content-Type to values that have no
// type of their own; a body that has one keeps it, and without a body there is
// nothing to label.
func (b *builtins) defaultContentType(req *Request) {
	given := b.defaults.Header.Get("Content-Type")
	if given == "" || req.Header.Has("Content-Type") {
		return
	}
	switch req.Body.(type) {
	case nil, content.Content, url.Values, None, *None, *os.File, json.RawMessage:
		return
	}
	req.Header.Add("Content-Type", given)
}

func (b *builtins) contentOf(c *Client, req *Request) (content.Content, error) {
	switch body := req.Body.(type) {
	case nil:
		return nil, nil
	case content.Content:
		return body, nil
	case string:
		return b.textContent(req, body)
	case []byte:
		return content.Bytes(body, "application/octet-stream"), nil
	case json.RawMessage:
		return content.Bytes(body, "application/json"), nil
	case url.Values:
		return content.Form(body), nil
	case *os.File:
		if body == nil {
			return nil, buildErrorf("body is a nil *os.File")
		}
		return content.OSFile(body), nil
	case *bytes.Buffer:
		if body == nil {
			return nil, nil
		}
		return content.Bytes(body.Bytes(), "application/octet-stream"), nil
	case *readerBody:
		return body.asContent(givenLength(req)), nil
	case section:
		if isNil(body) {
			return nil, buildErrorf("body is a nil %T", body)
		}
		return sectionContent(body), nil
	case io.Reader:
		if isNil(body) {
			return nil, buildErrorf("body is a nil %T", body)
		}
		return content.Reader(body, "application/octet-stream", givenLength(req)), nil
	case None, *None:
		return nil, nil
	case func(context.Context) (io.ReadCloser, error):
		return content.Opener(body, "application/octet-stream", -1), nil
	case func(context.Context, io.Writer) error:
		return content.Writer(body, "application/octet-stream", -1), nil
	}
	return encodeByCodec(c, req)
}

// givenLength returns the Content-Length given by hand, -1 if there is none.
func givenLength(req *Request) int64 {
	if n, ok, err := header.ContentLength(req.Header); ok && err == nil {
		return n
	}
	return -1
}

// isNil reports whether x is a pointer without anything behind it.
func isNil(x any) bool {
	v := reflect.ValueOf(x)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// section is a reader whose rest can be read again: *bytes.Reader,
// *strings.Reader.
type section interface {
	io.ReaderAt
	Len() int
	Size() int64
}

func sectionContent(s section) content.Content {
	rest := int64(s.Len())
	start := s.Size() - rest
	return content.Opener(func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(s, start, rest)), nil
	}, "application/octet-stream", rest)
}

// encodeByCodec encodes a value by the codec for its Content-Type, or by the
// client's first if none is given.
func encodeByCodec(c *Client, req *Request) (content.Content, error) {
	given := req.Header.Get("Content-Type")
	codec := c.mainCodec()
	contentType := codec.MediaTypes()[0]
	var mt header.MediaType
	if given != "" {
		var ok bool
		if mt, ok = header.ParseMediaType(given); ok {
			codec = c.codecFor(mt)
		}
		if !ok || codec == nil {
			return nil, buildErrorf("body of type %T: no codec for Content-Type %q; add one with godwit.WithCodec, or give the body as bytes or content.Content", req.Body, given)
		}
		contentType = given
	}
	data, err := marshal(codec, req.Body)
	if err == nil {
		data, err = inCharsetOf(mt, data)
	}
	if err != nil {
		return nil, buildErrorf("body of type %T as %s: %w", req.Body, contentType, err)
	}
	return content.Bytes(data, contentType), nil
}
