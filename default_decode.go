package godwit

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

var (
	decompress     = NewSetting("Decompress", true)
	maxDecodeRatio = NewSetting[int64]("MaxDecodeRatio", 200).Check(func(n int64) error {
		if n <= 0 {
			return fmt.Errorf("MaxDecodeRatio(%d): the ratio is more than zero", n)
		}
		return nil
	})
)

// Decompress says whether the client asks for gzip and deflate and decodes them;
// the default is true. A body is decoded only if the client itself added
// Accept-Encoding, so that a request which sets that field gets what it asked
// for.
func Decompress(decode bool) Option { return decompress.Set(decode) }

// MaxDecodeRatio limits how much larger a decoded body may be than what came
// over the wire, once it is over 8 MiB; the default is 200. A body that grows
// further fails with [ErrBodyTooLarge]. MaxBody holds as well.
func MaxDecodeRatio(n int64) Option { return maxDecodeRatio.Set(n) }

const builtinEncodings = "gzip, deflate"

// addAcceptEncoding asks for codings, as net/http does: not for HEAD, whose body
// never comes, and not for ranges, which count encoded bytes.
func (b *builtins) addAcceptEncoding(req *Request) {
	if !b.decompress.For(req) || req.Method == "HEAD" || req.Method == "CONNECT" || req.Header.Has("Accept-Encoding") ||
		req.Header.Has("Range") || req.without("Accept-Encoding") || b.upgrade.For(req) != "" {
		return
	}
	req.Header.Add("Accept-Encoding", builtinEncodings)
	req.encodings = builtinEncodings
}

// decodeBody is phase Decode: it removes gzip and deflate, in reverse order of
// their application (RFC 9110 §8.4).
func (b *builtins) decodeBody(ctx context.Context, req *Request, next Handler) (*Response, error) {
	resp, err := next(ctx, req)
	if err != nil || req.encodings == "" || req.Header.Get("Accept-Encoding") != req.encodings || !resp.Header.Has("Content-Encoding") {
		return resp, err
	}
	if bodiless(req.Method, resp.Status) || resp.ContentLength == 0 || resp.upgraded != nil {
		return resp, nil
	}
	codings := header.SplitList(strings.ToLower(resp.Header.Joined("Content-Encoding")))
	codings = slices.DeleteFunc(codings, func(c string) bool { return c == "identity" })
	for _, c := range codings {
		if c != "gzip" && c != "x-gzip" && c != "deflate" {
			return resp, nil // not ours: whoever asked for it decodes it
		}
	}
	if len(codings) > 4 {
		resp.Discard()
		return nil, opError(engine.OpReceive, &engine.ProtocolError{Reason: fmt.Sprintf("%d content codings on top of each other", len(codings))})
	}
	decoded := &decodedBody{wire: &countingReader{r: resp.Body}, closer: resp.Body, ratio: b.decodeRatio.For(req)}
	var layer io.Reader = decoded.wire
	for _, c := range slices.Backward(codings) {
		layer = &decoder{coding: c, src: layer}
		resp.Decoded = append(resp.Decoded, c)
	}
	decoded.top = layer
	resp.Body = decoded
	resp.Header = resp.Header.View()
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	return resp, nil
}

// decodedBody is a decoded body under the bomb guard.
type decodedBody struct {
	wire   *countingReader
	top    io.Reader
	closer io.Closer
	ratio  int64
	out    int64
}

const guardFrom = 8 << 20

func (b *decodedBody) Read(p []byte) (int, error) {
	n, err := b.top.Read(p)
	b.out += int64(n)
	if b.out > guardFrom && b.out/max(b.wire.n, 1) > b.ratio {
		return n, opError(engine.OpDecode, fmt.Errorf("%w: %d bytes decode to more than %d times as many (see godwit.MaxDecodeRatio)", ErrBodyTooLarge, b.wire.n, b.ratio))
	}
	return n, err
}

func (b *decodedBody) Close() error { return b.closer.Close() }

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// decoder removes one coding. It starts with the first read, so that an empty
// body stays empty and a head alone costs nothing.
type decoder struct {
	coding string
	src    io.Reader
	buf    *bufio.Reader
	r      io.Reader
	err    error
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.r == nil {
		if d.err = d.start(); d.err != nil {
			return 0, d.err
		}
	}
	n, err := d.r.Read(p)
	if err == io.EOF {
		err = d.atEnd()
	}
	if err != nil {
		d.err = d.wrap(err)
	}
	return n, d.err
}

func (d *decoder) start() (err error) {
	d.buf = bufio.NewReader(d.src)
	first, err := d.buf.Peek(2)
	if len(first) == 0 {
		if err == io.EOF {
			return io.EOF
		}
		return d.wrap(err)
	}
	switch {
	case d.coding != "deflate":
		d.r, err = gzip.NewReader(d.buf)
	case isZlib(first):
		d.r, err = zlib.NewReader(d.buf)
	default: // what some servers call deflate lacks the zlib wrapper
		d.r = flate.NewReader(d.buf)
	}
	return d.wrap(err)
}

// isZlib tells a zlib head (RFC 1950 §2.2) from raw deflate.
func isZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&0x0f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0
}

// atEnd reads on to the real end of the body: the connection is released there,
// and a body cut in its framing shows.
func (d *decoder) atEnd() error {
	n, err := io.Copy(io.Discard, io.LimitReader(d.buf, 1<<16))
	switch {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("%d bytes after the end of the data", n)
	}
	return io.EOF
}

// wrap gives errors of the data their phase; those of the connection have one.
func (d *decoder) wrap(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if _, ok := errors.AsType[*engine.OpError](err); ok {
		return err
	}
	return opError(engine.OpDecode, fmt.Errorf("content coding %s: %w", d.coding, err))
}
