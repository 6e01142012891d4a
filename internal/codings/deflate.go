package codings

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"sync"
)

// Gzip is the coding "gzip" (RFC 1952), with any number of members.
func Gzip() Coding { return Coding{"gzip", openGzip} }

// Deflate is the coding "deflate": the zlib format (RFC 1950), or the raw
// deflate stream (RFC 1951) that some servers call so.
func Deflate() Coding { return Coding{"deflate", openDeflate} }

var gzips, zlibs, flates sync.Pool

func openGzip(r io.Reader) (io.Reader, error) {
	if z, ok := gzips.Get().(*gzip.Reader); ok {
		if err := z.Reset(r); err != nil {
			return nil, err
		}
		return &pooled{z, &gzips}, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return &pooled{z, &gzips}, nil
}

func openDeflate(r io.Reader) (io.Reader, error) {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReader(r)
	}
	if head, _ := b.Peek(2); isZlib(head) {
		if z, ok := zlibs.Get().(io.ReadCloser); ok {
			if err := z.(zlib.Resetter).Reset(b, nil); err != nil {
				return nil, err
			}
			return &pooled{z, &zlibs}, nil
		}
		z, err := zlib.NewReader(b)
		if err != nil {
			return nil, err
		}
		return &pooled{z, &zlibs}, nil
	}
	if z, ok := flates.Get().(io.ReadCloser); ok {
		if err := z.(flate.Resetter).Reset(b, nil); err != nil {
			return nil, err
		}
		return &pooled{z, &flates}, nil
	}
	return &pooled{flate.NewReader(b), &flates}, nil
}

// isZlib tells a zlib head (RFC 1950 §2.2) from raw deflate.
func isZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&0x0f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0
}

// pooled is a decoder that Close gives back for the next stream; nobody reads it
// after that.
type pooled struct {
	io.Reader
	pool *sync.Pool
}

func (p *pooled) Close() error {
	if p.Reader != nil {
		p.pool.Put(p.Reader)
		p.Reader = nil
	}
	return nil
}
