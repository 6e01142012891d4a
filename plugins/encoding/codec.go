package encoding

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/godwit-go/godwit/internal/codings"
	"github.com/klauspost/compress/zstd"
)

// Codec is one content coding. Its functions are called by many goroutines at
// once; what they return belongs to one.
type Codec struct {
	// Name is the coding's name in Accept-Encoding and Content-Encoding.
	Name string
	// Aliases are other names that responses may have for it.
	Aliases []string
	// NewReader returns the decoder of r, which has at least one byte. It must
	// report a stream that ends early by io.ErrUnexpectedEOF, bound its own
	// memory, and yield data as it comes in. If it is an io.Closer it is closed
	// once, when nobody reads from it any more. nil = responses are not decoded.
	NewReader func(r io.Reader) (io.Reader, error)
	// NewWriter returns an encoder to w; closing it must not close w. nil =
	// requests can't have the coding.
	NewWriter func(w io.Writer) (io.WriteCloser, error)
}

// Gzip is "gzip" (RFC 1952), alias "x-gzip".
func Gzip() Codec {
	return Codec{
		Name: "gzip", Aliases: []string{"x-gzip"}, NewReader: codings.Gzip().Open,
		NewWriter: reuse(&gzipWriters, func(w io.Writer) (encoder, error) { return gzip.NewWriter(w), nil }),
	}
}

// Deflate is "deflate": the zlib format (RFC 1950); raw deflate, which some
// servers call so, is decoded as well.
func Deflate() Codec {
	return Codec{
		Name: "deflate", NewReader: codings.Deflate().Open,
		NewWriter: reuse(&zlibWriters, func(w io.Writer) (encoder, error) { return zlib.NewWriter(w), nil }),
	}
}

// Brotli is "br" (RFC 7932), encoded at level 5. Its window is at most 16 MiB.
func Brotli() Codec {
	return Codec{
		Name: "br",
		NewReader: func(r io.Reader) (io.Reader, error) {
			if b, ok := brotliReaders.Get().(*brotli.Reader); ok {
				return &brotliReader{b}, b.Reset(r)
			}
			return &brotliReader{brotli.NewReader(r)}, nil
		},
		NewWriter: reuse(&brotliWriters, func(w io.Writer) (encoder, error) { return brotli.NewWriterLevel(w, 5), nil }),
	}
}

// zstdWindow is the largest window that a decoder has to have for this coding,
// and so the largest that it allocates (RFC 9659 §3).
const zstdWindow = 8 << 20

// Zstd is "zstd" (RFC 8878) with a window of at most 8 MiB (RFC 9659), which
// bounds its memory. It uses no goroutines.
func Zstd() Codec {
	return Codec{
		Name: "zstd",
		NewReader: func(r io.Reader) (io.Reader, error) {
			if z, ok := zstdReaders.Get().(*zstd.Decoder); ok {
				return &zstdReader{z}, z.Reset(r)
			}
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, err
			}
			return &zstdReader{z}, nil
		},
		NewWriter: reuse(&zstdWriters, func(w io.Writer) (encoder, error) {
			return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow/2))
		}),
	}
}

// Decoders and encoders are large and hold no state between streams.
var (
	brotliReaders, zstdReaders                           sync.Pool
	gzipWriters, zlibWriters, brotliWriters, zstdWriters sync.Pool
)

type brotliReader struct{ *brotli.Reader }

func (r *brotliReader) Close() error {
	brotliReaders.Put(r.Reader)
	return nil
}

type zstdReader struct{ *zstd.Decoder }

func (r *zstdReader) Close() error {
	if r.Reset(nil) == nil {
		zstdReaders.Put(r.Decoder)
	}
	return nil
}

type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// reuse makes a NewWriter whose encoders are used again once they were closed
// without an error; others are dropped.
func reuse(pool *sync.Pool, create func(io.Writer) (encoder, error)) func(io.Writer) (io.WriteCloser, error) {
	return func(w io.Writer) (io.WriteCloser, error) {
		if e, ok := pool.Get().(encoder); ok {
			e.Reset(w)
			return &pooledWriter{e, pool}, nil
		}
		e, err := create(w)
		if err != nil {
			return nil, err
		}
		return &pooledWriter{e, pool}, nil
	}
}

type pooledWriter struct {
	encoder
	pool *sync.Pool
}

func (w *pooledWriter) Close() error {
	err := w.encoder.Close()
	if err == nil {
		w.encoder.Reset(io.Discard)
		w.pool.Put(w.encoder)
	}
	return err
}
