package encoding_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/codings"
	"github.com/godwit-go/godwit/plugins/encoding"
)

func rawDeflate(data []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// decodeStd reads a request's body with the standard library.
func decodeStd(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return nil, errors.New("body is not gzip")
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func rot(p []byte) {
	for i, c := range p {
		switch {
		case 'a' <= c && c <= 'z':
			p[i] = 'a' + (c-'a'+13)%26
		case 'A' <= c && c <= 'Z':
			p[i] = 'A' + (c-'A'+13)%26
		}
	}
}

type rotReader struct {
	r     io.Reader
	close func()
}

func (r *rotReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	rot(p[:n])
	return n, err
}

func (r *rotReader) Close() error { r.close(); return nil }

type rotWriter struct{ w io.Writer }

func (w rotWriter) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	rot(p)
	return w.w.Write(p)
}

func (rotWriter) Close() error { return nil }

// content3 is a body of three bytes that is not in memory.
func content3(testing.TB) content.Content {
	return content.Opener(func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("abc")), nil
	}, "", 3)
}

func decodeWith(t *testing.T, field string, data []byte) []byte {
	t.Helper()
	var list []codings.Coding
	for name := range header.List(field) {
		codec := map[string]encoding.Codec{"gzip": encoding.Gzip(), "deflate": encoding.Deflate(), "br": encoding.Brotli(), "zstd": encoding.Zstd()}[name]
		list = append(list, codings.Coding{Name: name, Open: codec.NewReader})
	}
	b := codings.NewBody(io.NopCloser(bytes.NewReader(data)), list, codings.Limits{})
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil {
		t.Errorf("%s: %v", field, err)
	}
	return got
}

func TestCompress(t *testing.T) {
	large := bytes.Repeat(text, 100)
	stream := func(data []byte) content.Content {
		return content.Opener(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, "text/csv", -1)
	}
	random := make([]byte, 2000)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	with := func(names ...string) []godwit.Option { return []godwit.Option{encoding.Compress(names...)} }
	for name, row := range map[string]struct {
		body  any
		opts  []godwit.Option
		field string // Content-Encoding sent
		sized bool   // with a length
	}{
		"gzip":                {string(text), with("gzip"), "gzip", true},
		"deflate":             {string(text), with("deflate"), "deflate", true},
		"br":                  {string(text), with("br"), "br", true},
		"zstd":                {string(text), with("zstd"), "zstd", true},
		"list":                {string(text), with("br", "identity", "GZIP"), "br, gzip", true},
		"large":               {string(large), with("zstd"), "zstd", false},
		"stream":              {stream(text), with("br", "gzip"), "br, gzip", false},
		"reader":              {io.MultiReader(bytes.NewReader(text)), append(with("gzip"), godwit.ContentType("application/json")), "gzip", false},
		"JSON of a value":     {map[string]string{"text": string(text)}, with("gzip"), "gzip", true},
		"length by hand":      {string(text), append(with("gzip"), godwit.Header("Content-Length", "17000")), "gzip", true},
		"off":                 {string(text), with(), "", true},
		"identity":            {string(text), with("identity"), "", true},
		"small":               {string(text[:1023]), with("gzip"), "", true},
		"just large enough":   {string(text[:1024]), with("gzip"), "gzip", true},
		"small, told to":      {string(text[:100]), append(with("gzip"), encoding.MinSize(0)), "gzip", true},
		"gets larger":         {random, append(with("gzip"), encoding.Types("*")), "", true},
		"no text":             {content.Bytes(text, "image/png"), with("gzip"), "", true},
		"no text, told to":    {content.Bytes(text, "image/png"), append(with("gzip"), encoding.Types("text/*", "image/*")), "gzip", true},
		"no type":             {content.Bytes(text, ""), with("gzip"), "", true},
		"no type, told to":    {content.Bytes(text, ""), append(with("gzip"), encoding.Types("*")), "gzip", true},
		"form":                {content.FormPairs("text", string(text)), with("gzip"), "gzip", true},
		"encoded by hand":     {string(text), append(with("gzip"), godwit.Header("Content-Encoding", "br")), "br by hand", true},
		"digest by hand":      {string(text), append(with("gzip"), godwit.Header("Content-Digest", "sha-256=:AA==:")), "", true},
		"part of a body":      {string(text), append(with("gzip"), godwit.Header("Content-Range", "bytes 0-16999/17000")), "", true},
		"empty":               {content.Empty, append(with("gzip"), encoding.MinSize(0), encoding.Types("*")), "", true},
		"no body":             {nil, with("gzip"), "", true},
		"trailers, in memory": {content.WithTrailers(content.Text(string(text)), []string{"X-T"}, func() header.Header { return header.New("X-T", "1") }), with("gzip"), "gzip", false},
	} {
		c, eng := client(t, encoding.Config{}, mock.OK(""))
		opts := row.opts
		if row.body != nil {
			opts = append(opts, godwit.Body(row.body))
		}
		do(t, c, "POST", opts...)
		plain, eng2 := client(t, encoding.Config{}, mock.OK(""))
		if _, isReader := row.body.(io.Reader); !isReader && row.body != nil {
			do(t, plain, "POST", godwit.Body(row.body))
		}
		sent := eng.Requests()[0]
		field := sent.Header.Get("Content-Encoding")
		if field != strings.TrimSuffix(row.field, " by hand") {
			t.Errorf("%s: Content-Encoding %q", name, field)
			continue
		}
		if row.body == nil {
			continue
		}
		if length := sent.Request.Body.ContentLength(); (length >= 0) != row.sized {
			t.Errorf("%s: length %d", name, length)
		}
		want := text
		if len(eng2.Requests()) > 0 {
			want = eng2.Requests()[0].Body()
		}
		got := sent.Body()
		if field != "" && !strings.HasSuffix(row.field, " by hand") {
			if len(got) >= len(want) {
				t.Errorf("%s: %d bytes became %d", name, len(want), len(got))
			}
			got = decodeWith(t, field, got)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
		if strings.HasPrefix(name, "trailers") && sent.Trailer().Get("X-T") != "1" {
			t.Errorf("%s: trailer %s", name, sent.Trailer())
		}
	}
}

// TestCompressedIsSentAgain: a compressed body is as replayable as it was; a
// redirect to GET loses it with its field.
func TestCompressedIsSentAgain(t *testing.T) {
	large := bytes.Repeat(text, 100)
	for name, body := range map[string]any{"memory": text, "stream": large} {
		eng := mock.NewT(t, mock.Redirect("/2"), mock.Redirect("/3"), mock.OK("done"))
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(encoding.New(encoding.Config{Compress: []string{"br"}, Types: []string{"*"}})))
		do(t, c, "PUT", godwit.Body(body))
		for i, r := range eng.Requests() {
			if got := decodeWith(t, r.Header.Get("Content-Encoding"), r.Body()); !bytes.Equal(got, body.([]byte)) {
				t.Errorf("%s, send %d: %d bytes", name, i+1, len(got))
			}
		}
		c.Close()
	}
	eng := mock.NewT(t, mock.Redirect("/2"))
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(encoding.New(encoding.Config{Compress: []string{"br"}})))
	defer c.Close()
	once := godwit.Body(content.Once(content.Text(string(text))))
	if _, err := c.Do(t.Context(), godwit.NewRequest("PUT", url, once)); !errors.Is(err, godwit.ErrNotReplayable) {
		t.Errorf("once: %v", err)
	}
	eng = mock.NewT(t, mock.Status(303).WithHeader("Location", "/2"), mock.OK(""))
	c2 := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(encoding.New(encoding.Config{Compress: []string{"br"}})))
	defer c2.Close()
	do(t, c2, "POST", godwit.Body(string(text)))
	if r := eng.Requests()[1]; r.Header.Has("Content-Encoding") || len(r.Body()) > 0 {
		t.Errorf("after 303: %s", r.Header)
	}
}

// TestUploadProgress: progress counts what the caller gave.
func TestUploadProgress(t *testing.T) {
	c, _ := client(t, encoding.Config{Compress: []string{"gzip"}}, mock.OK(""))
	var done, total int64
	do(t, c, "POST", godwit.Body(string(text)), godwit.OnUpload(func(d, n int64) { done, total = d, n }))
	if done != int64(len(text)) || total != int64(len(text)) {
		t.Errorf("%d of %d", done, total)
	}
}

func TestBodyFails(t *testing.T) {
	broken := errors.New("disk on fire")
	body := content.Opener(func(context.Context) (io.ReadCloser, error) { return nil, broken }, "text/plain", -1)
	c, _ := client(t, encoding.Config{Compress: []string{"zstd"}}, mock.OK(""))
	_, err := c.Do(t.Context(), godwit.NewRequest("POST", url, godwit.Body(body)))
	if ge, ok := errors.AsType[*godwit.Error](err); !ok || !errors.Is(err, broken) || ge.Op != engine.OpSend {
		t.Errorf("%v", err)
	}
}

// TestBodyLength: a body that is not as long as it says fails, though its encoded
// form has no length.
func TestBodyLength(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}, "mock": nil} {
		for length, want := range map[int64]string{4999: "longer than its ContentLength", 5000: "", 5001: "shorter than its ContentLength", -1: ""} {
			opts := []godwit.ClientOption{godwit.Install(encoding.New(encoding.Config{Compress: []string{"gzip"}}))}
			if factory != nil {
				opts = append(opts, godwit.WithEngine(factory))
			} else {
				opts = append(opts, godwit.WithEngineInstance(mock.Serve(mock.OK(""))))
			}
			c := godwit.New(opts...)
			body := content.Opener(func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(make([]byte, 5000))), nil
			}, "text/plain", length)
			_, err := c.Do(t.Context(), godwit.NewRequest("PUT", server.URL, godwit.Body(body)))
			if want == "" && err != nil {
				t.Errorf("%s, length %d: %v", name, length, err)
			}
			if ge, ok := errors.AsType[*godwit.Error](err); want != "" && (!ok || ge.Op != engine.OpSend || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, length %d: %v", name, length, err)
			}
			c.Close()
			if err := c.Join(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// FuzzDecode: whatever comes over the wire as any of the codings, decoding ends
// without a panic, yields no more than the guard allows, and fails only with an
// error that names its phase.
func FuzzDecode(f *testing.F) {
	all := []encoding.Codec{encoding.Gzip(), encoding.Deflate(), encoding.Brotli(), encoding.Zstd()}
	for i, c := range all {
		f.Add(pack(f, text, c.Name), uint8(i))
		f.Add(pack(f, make([]byte, 1<<20), c.Name), uint8(i))
		f.Add(pack(f, text, c.Name, "gzip"), uint8(i|4))
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		const limit = 100_000
		list := []codings.Coding{{Name: "x", Open: all[which&3].NewReader}}
		if which&4 != 0 {
			list = append(list, codings.Coding{Name: "y", Open: all[which>>3&3].NewReader})
		}
		b := codings.NewBody(io.NopCloser(bytes.NewReader(data)), list, codings.Limits{Max: limit, Err: godwit.ErrBodyTooLarge})
		defer b.Close()
		n, err := io.Copy(io.Discard, b)
		if n > limit+64<<10 {
			t.Errorf("%d bytes came out of %d", n, len(data))
		}
		if _, ok := errors.AsType[*engine.OpError](err); err != nil && !ok {
			t.Errorf("error without a phase: %v", err)
		}
	})
}
