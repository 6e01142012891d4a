package godwit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/codings"
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
	req.decodes = true
}

// guardFrom is how large a decoded body may be whatever its ratio.
const guardFrom = 8 << 20

// decodeBody is phase Decode: it removes gzip and deflate.
func (b *builtins) decodeBody(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		resp, err := next(ctx, req)
		if err != nil || !req.decodes || req.Header.Get("Accept-Encoding") != builtinEncodings || !resp.Header.Has("Content-Encoding") {
			return resp, err
		}
		if bodiless(req.Method, resp.Status) || resp.ContentLength == 0 || resp.Upgraded() != nil {
			return resp, nil
		}
		return b.decoded(req, resp)
	}
}

// decoded removes content codings in reverse order of their application
// (RFC 9110 §8.4).
func (b *builtins) decoded(req *Request, resp *Response) (*Response, error) {
	names := header.SplitList(strings.ToLower(resp.Header.Joined("Content-Encoding")))
	names = slices.DeleteFunc(names, func(c string) bool { return c == "identity" })
	layers := make([]codings.Coding, 0, len(names))
	for _, name := range names {
		switch name {
		case "gzip", "x-gzip":
			layers = append(layers, codings.Gzip())
		case "deflate":
			layers = append(layers, codings.Deflate())
		default:
			return resp, nil // not ours: whoever asked for it decodes it
		}
	}
	if len(layers) == 0 {
		return resp, nil // identity
	}
	if len(layers) > codings.MaxLayers {
		resp.Discard()
		return nil, opError(engine.OpReceive, &engine.ProtocolError{Reason: fmt.Sprintf("%d content codings on top of each other", len(layers))})
	}
	resp.Body = codings.NewBody(resp.Body, layers, codings.Limits{
		Ratio: b.decodeRatio.For(req), From: guardFrom, Err: ErrBodyTooLarge, RatioOption: "godwit.MaxDecodeRatio",
	})
	for _, name := range slices.Backward(names) {
		resp.Decoded = append(resp.Decoded, name)
	}
	resp.Header = resp.Header.View()
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	return resp, nil
}
