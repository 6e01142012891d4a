package encoding

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/codings"
)

// decode removes the content codings of a response. An engine that decodes by
// itself shows a header without Content-Encoding: nothing is left to do then.
func (i *installed) decode(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	resp, err := next(ctx, req)
	if err != nil || !resp.Header.Has(contentEncoding) {
		return resp, err
	}
	return i.decoded(req, resp)
}

// decoded removes content codings in reverse order of their application
// (RFC 9110 §8.4), if all of them were asked for.
func (i *installed) decoded(req *godwit.Request, resp *godwit.Response) (*godwit.Response, error) {
	a, ok := askedFor.Get(&req.Attributes)
	if !ok || req.Header.Get(acceptEncoding) != a.field || !hasBody(req, resp) {
		return resp, nil
	}
	names := header.SplitList(strings.ToLower(resp.Header.Joined(contentEncoding)))
	names = slices.DeleteFunc(names, func(c string) bool { return c == identity })
	list := make([]codings.Coding, 0, len(names))
	for _, name := range names {
		codec := a.has(i.plugin, name)
		if codec == nil {
			return resp, nil // not ours: whoever asked for it decodes it
		}
		list = append(list, codings.Coding{Name: name, Open: codec.NewReader})
	}
	if len(list) > codings.MaxLayers {
		resp.Discard()
		return nil, &engine.OpError{Op: engine.OpReceive, Err: &engine.ProtocolError{Reason: fmt.Sprintf("%d content codings on top of each other", len(list))}}
	}
	resp.Body = codings.NewBody(resp.Body, list, i.limits(req))
	for _, name := range slices.Backward(names) {
		resp.Decoded = append(resp.Decoded, name)
	}
	resp.Header = resp.Header.View()
	resp.Header.Del(contentEncoding)
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	return resp, nil
}

// hasBody reports whether there can be an encoded body to decode. Parts of a
// body (206) can't be decoded, saved ones are as somebody wants them.
func hasBody(req *godwit.Request, resp *godwit.Response) bool {
	switch {
	case req.Method == "HEAD", resp.ContentLength == 0, resp.Upgraded() != nil, resp.IsSaved():
		return false
	case resp.Status == 204, resp.Status == 206, resp.Status == 304, resp.Status.IsInformational():
		return false
	}
	return true
}

func (i *installed) limits(req *godwit.Request) codings.Limits {
	return codings.Limits{
		Ratio: i.ratio.For(req), From: guardFrom, Max: max(0, i.size.For(req)),
		Err: godwit.ErrBodyTooLarge, RatioOption: "encoding.MaxRatio", MaxOption: "encoding.MaxSize",
	}
}
