package content

import (
	"context"
	"io"
	"os"
)

// Progress returns c with f called as it is sent: with the number of bytes taken
// so far and the total, -1 if that is not known. f runs in the goroutine that
// sends, after each read or write; it starts from the beginning when the body is
// sent again. For an empty body it is called once with 0.
//
// What f counts has been taken by the engine, not by the server. Files still go
// out by sendfile, in steps of 1 MiB; a body in memory no longer shows as one.
func Progress(c Content, f func(sent, total int64)) Content {
	return keepTrailers(progress{c, f}, c)
}

type progress struct {
	Content
	f func(sent, total int64)
}

func (c progress) Prepare(each func(Content) (Content, error)) (out Content, err error) {
	c.Content, err = each(c.Content)
	return c, err
}

func (c progress) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := c.Content.Open(ctx)
	if err != nil || c.f == nil {
		return r, err
	}
	return &progressReader{r: r, f: c.f, total: c.ContentLength()}, nil
}

type progressReader struct {
	r     io.ReadCloser
	f     func(sent, total int64)
	sent  int64
	total int64
	told  bool // f was called
}

var _ io.WriterTo = (*progressReader)(nil)

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.tell(p.sent + int64(n))
	}
	p.end(err)
	return n, err
}

func (p *progressReader) WriteTo(w io.Writer) (int64, error) {
	start := p.sent
	cw := &countingWriter{w: w, wrote: func(n int64) { p.tell(start + n) }}
	var err error
	switch r := p.r.(type) {
	case *os.File: // its WriteTo would go past the counting in one step
		_, err = cw.ReadFrom(r)
	case io.WriterTo:
		_, err = r.WriteTo(cw)
	default:
		// Hides ReadFrom, which would fill its own buffer before f hears of it.
		_, err = io.Copy(struct{ io.Writer }{cw}, r)
	}
	if err == nil {
		p.end(io.EOF)
	}
	return cw.n, err
}

func (p *progressReader) tell(sent int64) {
	p.sent = sent
	p.told = true
	p.f(sent, p.total)
}

func (p *progressReader) end(err error) {
	if err == io.EOF && !p.told {
		p.tell(0)
	}
}

func (p *progressReader) Close() error { return p.r.Close() }
