package encoding_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/encoding"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const (
	url   = "http://example.org/"
	usual = "gzip,deflate,br,zstd"
)

var text = []byte(strings.Repeat("godwits fly far. ", 1000))

// pack applies codings by the plugin's own codecs, the first one first.
func pack(t testing.TB, data []byte, codings ...string) []byte {
	t.Helper()
	for _, name := range codings {
		codec := map[string]encoding.Codec{"gzip": encoding.Gzip(), "deflate": encoding.Deflate(), "br": encoding.Brotli(), "zstd": encoding.Zstd()}[name]
		var b bytes.Buffer
		w, err := codec.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	return data
}

func client(t testing.TB, config encoding.Config, h mock.Handler, opts ...godwit.ClientOption) (*godwit.Client, *mock.Engine) {
	t.Helper()
	eng := mock.New(mock.Always(h))
	c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng), godwit.Install(encoding.New(config))}, opts...)...)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := c.Join(context.Background()); err != nil {
			t.Error(err)
		}
		eng.AssertBodiesClosed(t)
		eng.Close()
	})
	return c, eng
}

func encoded(coding string, body []byte) *mock.Response {
	return mock.Bytes(200, "text/plain", body).WithHeader("Content-Encoding", coding)
}

func do(t testing.TB, c *godwit.Client, method string, opts ...godwit.Option) *godwit.Response {
	t.Helper()
	resp, err := c.Do(t.Context(), godwit.NewRequest(method, url, opts...))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestDecode(t *testing.T) {
	for name, row := range map[string]struct {
		field   string
		body    []byte
		decoded string
	}{
		"gzip":           {"gzip", pack(t, text, "gzip"), "gzip"},
		"x-gzip":         {"X-GZip", pack(t, text, "gzip"), "x-gzip"},
		"deflate":        {"deflate", pack(t, text, "deflate"), "deflate"},
		"raw deflate":    {"deflate", rawDeflate(text), "deflate"},
		"br":             {"br", pack(t, text, "br"), "br"},
		"zstd":           {"zstd", pack(t, text, "zstd"), "zstd"},
		"zstd, frames":   {"zstd", append(pack(t, text[:99], "zstd"), pack(t, text[99:], "zstd")...), "zstd"},
		"list":           {"br, gzip", pack(t, text, "br", "gzip"), "gzip br"},
		"list of fours":  {"gzip, zstd ,br,deflate", pack(t, text, "gzip", "zstd", "br", "deflate"), "deflate br zstd gzip"},
		"identity":       {"identity, zstd", pack(t, text, "zstd"), "zstd"},
		"empty, br":      {"br", pack(t, nil, "br"), "br"},
		"empty, zstd":    {"zstd", pack(t, nil, "zstd"), "zstd"},
		"empty elements": {", gzip,,", pack(t, text, "gzip"), "gzip"},
	} {
		for _, length := range []int64{int64(len(row.body)), -1} {
			c, _ := client(t, encoding.Config{}, encoded(row.field, row.body).WithLength(length))
			resp := do(t, c, "GET")
			want := text
			if strings.HasPrefix(name, "empty, ") {
				want = nil
			}
			if !bytes.Equal(resp.Bytes(), want) || strings.Join(resp.Decoded, " ") != row.decoded {
				t.Errorf("%s: %d bytes, decoded %v", name, len(resp.Bytes()), resp.Decoded)
			}
			if resp.Header.Has("Content-Encoding") || resp.Header.Has("Content-Length") || resp.ContentLength != -1 {
				t.Errorf("%s: header %s, length %d", name, resp.Header, resp.ContentLength)
			}
			if wire := resp.Call().WireHeader(); wire.Get("Content-Encoding") != row.field {
				t.Errorf("%s: wire header %s", name, wire)
			}
		}
	}
	twoFields := encoded("br", pack(t, text, "br", "gzip")).WithHeader("Content-Encoding", "gzip")
	c, _ := client(t, encoding.Config{}, twoFields)
	if resp := do(t, c, "GET"); !bytes.Equal(resp.Bytes(), text) {
		t.Error("codings in two fields")
	}
}

func TestNotDecoded(t *testing.T) {
	br := pack(t, text, "br")
	for name, row := range map[string]struct {
		answer *mock.Response
		method string
		opts   []godwit.Option
		body   []byte
		asked  string
	}{
		"asked by hand":            {encoded("br", br), "GET", []godwit.Option{godwit.Header("Accept-Encoding", "br")}, br, "br"},
		"by hand as client does":   {encoded("br", br), "GET", []godwit.Option{godwit.Header("Accept-Encoding", "gzip, deflate")}, br, "gzip, deflate"},
		"by hand as plugin does":   {encoded("br", br), "GET", []godwit.Option{godwit.Header("Accept-Encoding", "gzip, deflate, br, zstd")}, br, "gzip, deflate, br, zstd"},
		"Decompress(false)":        {encoded("br", br), "GET", []godwit.Option{godwit.Decompress(false)}, br, ""},
		"Accept of nothing":        {encoded("br", br), "GET", []godwit.Option{encoding.Accept()}, br, ""},
		"a range":                  {encoded("br", br), "GET", []godwit.Option{godwit.Header("Range", "bytes=0-5")}, br, ""},
		"206 all the same":         {&mock.Response{Status: 206, Header: header.New("Content-Encoding", "br"), Body: br}, "GET", nil, br, usual},
		"not asked for":            {encoded("br", br), "GET", []godwit.Option{encoding.Accept("gzip")}, br, "gzip"},
		"asked for with weight 0":  {encoded("br", br), "GET", []godwit.Option{encoding.Accept("gzip", "br;q=0")}, br, "gzip,br;q=0"},
		"unknown coding":           {encoded("pack200-gzip", br), "GET", nil, br, usual},
		"unknown coding in a list": {encoded("br, pack200-gzip", br), "GET", nil, br, usual},
		"identity":                 {encoded("identity", text), "GET", nil, text, usual},
		"HEAD":                     {encoded("br", br), "HEAD", nil, nil, ""},
		"empty":                    {encoded("br", nil), "GET", nil, nil, usual},
		"204":                      {mock.Status(204).WithHeader("Content-Encoding", "br"), "GET", nil, nil, usual},
		"304":                      {mock.Status(304).WithHeader("Content-Encoding", "br"), "GET", nil, nil, usual},
	} {
		c, eng := client(t, encoding.Config{}, row.answer)
		resp := do(t, c, row.method, row.opts...)
		if got := strings.ReplaceAll(eng.Requests()[0].Header.Get("Accept-Encoding"), ", ", ","); got != strings.ReplaceAll(row.asked, ", ", ",") {
			t.Errorf("%s: asked for %q", name, got)
		}
		if name == "identity" {
			if !bytes.Equal(resp.Bytes(), text) || len(resp.Decoded) > 0 {
				t.Errorf("%s: %d bytes, decoded %v", name, len(resp.Bytes()), resp.Decoded)
			}
			continue
		}
		if !bytes.Equal(resp.Bytes(), row.body) || len(resp.Decoded) > 0 || !resp.Header.Has("Content-Encoding") {
			t.Errorf("%s: %d bytes, decoded %v, header %s", name, len(resp.Bytes()), resp.Decoded, resp.Header)
		}
		if row.method == "HEAD" && resp.ContentLength != int64(len(br)) {
			t.Errorf("HEAD: length %d", resp.ContentLength)
		}
	}
	// Of unknown length and empty after all: nothing to decode, no error.
	c, _ := client(t, encoding.Config{}, encoded("br", nil).WithLength(-1))
	if resp := do(t, c, "GET"); len(resp.Bytes()) != 0 {
		t.Error("empty body of unknown length")
	}
}

// TestChangedOnTheWay: a field that another plugin changed is not the plugin's.
func TestChangedOnTheWay(t *testing.T) {
	br := pack(t, text, "br")
	c, _ := client(t, encoding.Config{}, encoded("br", br), godwit.Intercept(godwit.SendState,
		func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			req = req.Clone()
			req.Header.Set("Accept-Encoding", "br")
			return next(ctx, req)
		}))
	if resp := do(t, c, "GET"); !bytes.Equal(resp.Bytes(), br) {
		t.Error("decoded")
	}
}

// TestByHand: what the client's own fields ask for is sent, and comes, as it is.
func TestByHand(t *testing.T) {
	for _, field := range []string{"gzip, deflate", "gzip,deflate", "gzip"} {
		packed := pack(t, text, "gzip")
		c, eng := client(t, encoding.Config{}, encoded("gzip", packed), godwit.Header("Accept-Encoding", field))
		resp := do(t, c, "GET")
		if got := eng.Requests()[0].Header.Get("Accept-Encoding"); got != field || !bytes.Equal(resp.Bytes(), packed) || len(resp.Decoded) > 0 {
			t.Errorf("%q: asked for %q, %d bytes, decoded %v", field, got, len(resp.Bytes()), resp.Decoded)
		}
	}
}

func TestAccept(t *testing.T) {
	for name, row := range map[string]struct {
		config encoding.Config
		opts   []godwit.Option
		want   string
	}{
		"default":             {encoding.Config{}, nil, "gzip, deflate, br, zstd"},
		"config":              {encoding.Config{Accept: []string{"br", "gzip; q=0.80", "identity;q=0"}}, nil, "br, gzip;q=0.8, identity;q=0"},
		"star":                {encoding.Config{Accept: []string{"zstd", "*;q=0"}}, nil, "zstd, *;q=0"},
		"request over config": {encoding.Config{Accept: []string{"br"}}, []godwit.Option{encoding.Accept("zstd;q=0.5")}, "zstd;q=0.5"},
		"codecs":              {encoding.Config{Codecs: []encoding.Codec{encoding.Zstd(), encoding.Gzip()}}, nil, "zstd, gzip"},
		"as the client asks":  {encoding.Config{Accept: []string{"gzip", "deflate"}}, nil, "gzip,deflate"},
		"q of three decimals": {encoding.Config{Accept: []string{"gzip;q=0.123"}}, nil, "gzip;q=0.123"},
	} {
		c, eng := client(t, row.config, mock.OK(""))
		do(t, c, "GET", row.opts...)
		if got := eng.Requests()[0].Header.Get("Accept-Encoding"); got != row.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	// What the client would ask for itself is decoded once, by the plugin.
	c, _ := client(t, encoding.Config{Accept: []string{"gzip", "deflate"}, MaxSize: 10}, encoded("gzip", pack(t, text, "gzip")))
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "encoding.MaxSize") {
		t.Errorf("the client decoded by itself: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, row := range map[string]struct {
		config encoding.Config
		says   string
	}{
		"unknown accept":   {encoding.Config{Accept: []string{"bzip2"}}, `"bzip2"`},
		"star":             {encoding.Config{Accept: []string{"*"}}, `"*"`},
		"list in one":      {encoding.Config{Accept: []string{"gzip, br"}}, "one coding"},
		"bad weight":       {encoding.Config{Accept: []string{"gzip;q=2"}}, "one coding"},
		"unknown compress": {encoding.Config{Compress: []string{"bzip2"}}, `"bzip2"`},
		"ratio":            {encoding.Config{MaxRatio: -1}, "MaxRatio"},
		"no name":          {encoding.Config{Codecs: []encoding.Codec{{NewReader: encoding.Gzip().NewReader}}}, "token"},
		"identity":         {encoding.Config{Codecs: []encoding.Codec{{Name: "Identity", NewReader: encoding.Gzip().NewReader}}}, "taken"},
		"no functions":     {encoding.Config{Codecs: []encoding.Codec{{Name: "x"}}}, "neither"},
	} {
		c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.Install(encoding.New(row.config)))
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	for name, opt := range map[string]godwit.Option{
		"accept": encoding.Accept("bzip2"), "compress": encoding.Compress("bzip2"), "ratio": encoding.MaxRatio(0),
	} {
		c, eng := client(t, encoding.Config{}, mock.OK(""))
		_, err := c.Do(t.Context(), godwit.NewRequest("POST", url, godwit.Body(string(text)), opt))
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || len(eng.Requests()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	cut := func(coding string, n int) []byte { b := pack(t, text, coding); return b[:len(b)-n] }
	for name, row := range map[string]struct {
		answer *mock.Response
		op     godwit.Op
		is     error
	}{
		"cut gzip":         {encoded("gzip", cut("gzip", 1)), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut deflate":      {encoded("deflate", cut("deflate", 1)), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut br":           {encoded("br", cut("br", 1)), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut zstd":         {encoded("zstd", cut("zstd", 1)), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut zstd head":    {encoded("zstd", pack(t, text, "zstd")[:3]), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut br at once":   {encoded("br", pack(t, text, "br")[:1]), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut inside":       {encoded("br, zstd", pack(t, cut("br", 1), "zstd")), engine.OpDecode, io.ErrUnexpectedEOF},
		"not br":           {encoded("br", []byte("\xff\xff\xff\xff\xff")), engine.OpDecode, nil},
		"not zstd":         {encoded("zstd", text), engine.OpDecode, nil},
		"garbage, br":      {encoded("br", append(pack(t, text, "br"), "garbage"...)), engine.OpDecode, nil},
		"garbage, zstd":    {encoded("zstd", append(pack(t, text, "zstd"), "garbage"...)), engine.OpDecode, nil},
		"large window":     {encoded("zstd", []byte("\x28\xb5\x2f\xfd\x00\x78\x01\x00\x00")), engine.OpDecode, nil},
		"cut connection":   {encoded("br", pack(t, text, "br")).WithTruncation(20), engine.OpReceive, io.ErrUnexpectedEOF},
		"too many codings": {encoded("br,br,br,br,br", text), engine.OpReceive, nil},
	} {
		c, _ := client(t, encoding.Config{}, row.answer)
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
		ge, ok := errors.AsType[*godwit.Error](err)
		if !ok || ge.Op != row.op || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGuard(t *testing.T) {
	zeros := make([]byte, 9<<20)
	half := append(make([]byte, 1<<20), text...)
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		bomb := pack(t, zeros, coding)
		c, _ := client(t, encoding.Config{}, encoded(coding, bomb))
		read := func(opts ...godwit.Option) (n int64, err error) {
			err = c.Stream(t.Context(), godwit.NewRequest("GET", url, opts...), func(r *godwit.Response) error {
				n, err = io.Copy(io.Discard, r.Body)
				return err
			})
			return n, err
		}
		if n, err := read(); !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "encoding.MaxRatio") || n > 9<<20 {
			t.Errorf("%s, ratio: %d, %v", coding, n, err)
		}
		if n, err := read(encoding.MaxRatio(1 << 40)); err != nil || n != 9<<20 {
			t.Errorf("%s, any ratio: %d, %v", coding, n, err)
		}
		if n, err := read(encoding.MaxRatio(1<<40), encoding.MaxSize(1<<20)); !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "encoding.MaxSize") || n > 2<<20 {
			t.Errorf("%s, size: %d, %v", coding, n, err)
		}
		// What is below 8 MiB may have any ratio.
		c, _ = client(t, encoding.Config{}, encoded(coding, pack(t, half, coding)))
		if resp := do(t, c, "GET"); len(resp.Bytes()) != len(half) {
			t.Errorf("%s: %d bytes", coding, len(resp.Bytes()))
		}
		// Nested: the outer layer is small, what it holds is not.
		c, _ = client(t, encoding.Config{MaxSize: 1 << 20}, encoded(coding+", gzip", pack(t, bomb, "gzip")))
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, godwit.ErrBodyTooLarge) {
			t.Errorf("%s, nested: %v", coding, err)
		}
	}
	c, _ := client(t, encoding.Config{MaxSize: 10}, encoded("br", pack(t, text, "br")))
	if resp := do(t, c, "GET", encoding.MaxSize(-1)); !bytes.Equal(resp.Bytes(), text) {
		t.Error("no limit")
	}
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.MaxBody(1000), encoding.MaxSize(-1))); !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "MaxBody") {
		t.Errorf("MaxBody: %v", err)
	}
}

// TestUserCodec: a codec of one's own, closed when its body is closed.
func TestUserCodec(t *testing.T) {
	var mu sync.Mutex
	closed := 0
	rot := encoding.Codec{
		Name: "ROT13", Aliases: []string{"x-rot"},
		NewReader: func(r io.Reader) (io.Reader, error) {
			return &rotReader{r, func() { mu.Lock(); closed++; mu.Unlock() }}, nil
		},
		NewWriter: func(w io.Writer) (io.WriteCloser, error) { return rotWriter{w}, nil },
	}
	c, eng := client(t, encoding.Config{Codecs: []encoding.Codec{encoding.Gzip(), rot}}, encoded("x-rot, gzip", pack(t, []byte("Tbqjvg"), "gzip")))
	if resp := do(t, c, "POST", encoding.Compress("rot13"), encoding.MinSize(0), encoding.Types("*"), godwit.Body(content3(t))); resp.Text() != "Godwit" || closed != 1 {
		t.Errorf("%q, closed %d times", resp.Text(), closed)
	}
	if r := eng.Requests()[0]; r.Header.Get("Accept-Encoding") != "gzip, rot13" || r.Text() != "nop" || r.Header.Get("Content-Encoding") != "rot13" {
		t.Errorf("%s, %q", r.Header, r.Text())
	}
}

// TestEngineDecodes: an engine whose platform decodes shows no Content-Encoding.
func TestEngineDecodes(t *testing.T) {
	platform := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Uncompressed: true, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
	})
	c := godwit.New(godwit.WithEngine(nethttp.Config{Preconfigured: platform}), godwit.Install(encoding.New(encoding.Config{})))
	defer c.Close()
	if resp := do(t, c, "GET"); !bytes.Equal(resp.Bytes(), text) || len(resp.Decoded) > 0 {
		t.Errorf("%d bytes, decoded %v", len(resp.Bytes()), resp.Decoded)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestServers: the codings over real sockets, from many goroutines.
func TestServers(t *testing.T) {
	packed := make(map[string][]byte)
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		packed[coding] = pack(t, text, coding)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := decodeStd(r)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		coding := r.URL.Query().Get("coding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), coding) {
			http.Error(w, "not asked for", http.StatusNotAcceptable)
			return
		}
		w.Header().Set("Content-Encoding", coding)
		if !bytes.Equal(body, text) {
			coding = "" // makes the client fail
		}
		w.Write(packed[coding])
	}))
	defer server.Close()
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		c := godwit.New(godwit.WithEngine(factory), godwit.Install(encoding.New(encoding.Config{Compress: []string{"gzip"}})))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
					got, err := godwit.Post[[]byte](t.Context(), c, server.URL, string(text), godwit.Param("coding", coding))
					if err != nil || !bytes.Equal(got, text) {
						t.Errorf("%s, %s: %d bytes, %v", name, coding, len(got), err)
					}
				}
			})
		}
		wg.Wait()
		c.Close()
	}
}
