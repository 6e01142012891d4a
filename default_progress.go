package godwit

import (
	"context"
	"io"

	"github.com/godwit-go/godwit/content"
)

// ProgressFunc is told how many bytes of a body have passed, and how many there
// are in all, -1 if unknown. It is called in the goroutine that moves them and
// must not block; once, with 0, for an empty body.
type ProgressFunc func(done, total int64)

var (
	uploadProgress   = NewSetting[ProgressFunc]("OnUpload", nil)
	downloadProgress = NewSetting[ProgressFunc]("OnDownload", nil)
)

// OnUpload reports the progress of the request's body, before compression. A
// body sent again starts again from 0; nil switches it off.
func OnUpload(f ProgressFunc) Option { return uploadProgress.Set(f) }

// OnDownload reports the progress of the response's body, after decoding; nil
// switches it off.
func OnDownload(f ProgressFunc) Option { return downloadProgress.Set(f) }

// countUpload wraps the content.
func (b *builtins) countUpload(req *Request) {
	f := b.onUpload.For(req)
	if f == nil {
		return
	}
	if c := req.Content(); c != nil {
		req.Body = content.Progress(c, f)
	} else {
		f(0, 0)
	}
}

// layers is phase Body: it strips a byte order mark and counts what is left.
func (b *builtins) layers(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		resp, err := next(ctx, req)
		if err != nil || resp.Upgraded() != nil {
			return resp, err
		}
		b.stripBOM(req, resp)
		if f := b.onDownload.For(req); f != nil {
			countDownload(req, resp, f)
		}
		return resp, nil
	}
}

func countDownload(req *Request, resp *Response, f ProgressFunc) {
	total := resp.ContentLength
	if total == 0 || bodiless(req.Method, resp.Status) {
		f(0, 0)
		return
	}
	resp.WrapBody(func(body io.ReadCloser) io.ReadCloser {
		return &progressBody{ReadCloser: body, report: f, total: total}
	})
}

type progressBody struct {
	io.ReadCloser
	report      ProgressFunc
	done, total int64
	ended       bool
}

func (b *progressBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.add(n)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

func (b *progressBody) add(n int) {
	if n > 0 {
		b.done += int64(n)
		b.report(b.done, b.total)
	}
}

// end reports a body that turned out to be empty.
func (b *progressBody) end() {
	if !b.ended && b.done == 0 {
		b.report(0, b.total)
	}
	b.ended = true
}

func (b *progressBody) WriteTo(w io.Writer) (int64, error) {
	n, err := copyBody(countingWriter{w, b}, b.ReadCloser)
	if err == nil {
		b.end()
	}
	return n, err
}

type countingWriter struct {
	w    io.Writer
	body *progressBody
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.body.add(n)
	return n, err
}
