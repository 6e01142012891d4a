package godwit_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

func compress(coding string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "deflate":
		w, _ = flate.NewWriter(&b, 6)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func encoded(coding string, body []byte) *mock.Response {
	return mock.Bytes(200, "text/plain", body).WithHeader("Content-Encoding", coding)
}

func TestDecompress(t *testing.T) {
	text := []byte(strings.Repeat("godwits fly far. ", 1000))
	for name, answer := range map[string]*mock.Response{
		"gzip":          encoded("gzip", compress("gzip", text)),
		"x-gzip":        encoded("X-GZip", compress("gzip", text)),
		"deflate, zlib": encoded("deflate", compress("zlib", text)),
		"deflate, raw":  encoded("deflate", compress("deflate", text)),
		"two":           encoded("deflate, gzip", compress("gzip", compress("zlib", text))),
		"identity":      encoded("identity, gzip", compress("gzip", text)),
		"members":       encoded("gzip", append(compress("gzip", text[:1000]), compress("gzip", text[1000:])...)),
	} {
		c, eng := client(t, answers(answer))
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
		if err != nil || !bytes.Equal(resp.Bytes(), text) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.Header.Has("Content-Encoding") || resp.Header.Has("Content-Length") || resp.ContentLength != -1 || len(resp.Decoded) == 0 {
			t.Errorf("%s: header %s, length %d, decoded %v", name, resp.Header, resp.ContentLength, resp.Decoded)
		}
		if wire := resp.Call().WireHeader(); !wire.Has("Content-Encoding") || !wire.Has("Content-Length") {
			t.Errorf("%s: wire header %s", name, wire)
		}
		eng.AssertBodiesClosed(t)
	}
}

func TestDecompressNot(t *testing.T) {
	zipped := compress("gzip", []byte("x"))
	do := func(answer mock.Handler, method string, opts ...godwit.Option) *godwit.Response {
		t.Helper()
		c, _ := client(t, answers(answer))
		resp, err := c.Do(t.Context(), godwit.NewRequest(method, base, opts...))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for name, resp := range map[string]*godwit.Response{
		"switched off":     do(encoded("gzip", zipped), "GET", godwit.Decompress(false)),
		"asked by hand":    do(encoded("gzip", zipped), "GET", godwit.Header("Accept-Encoding", "gzip")),
		"a range":          do(encoded("gzip", zipped), "GET", godwit.Header("Range", "bytes=0-5")),
		"unknown coding":   do(encoded("br", zipped), "GET"),
		"unknown in lists": do(encoded("br, gzip", zipped), "GET"),
	} {
		if !bytes.Equal(resp.Bytes(), zipped) || !resp.Header.Has("Content-Encoding") || len(resp.Decoded) > 0 {
			t.Errorf("%s: decoded", name)
		}
	}
	if resp := do(encoded("gzip", zipped), "HEAD"); len(resp.Bytes()) != 0 || resp.ContentLength != int64(len(zipped)) || !resp.Header.Has("Content-Encoding") {
		t.Errorf("HEAD: %v %d", resp.Header, resp.ContentLength)
	}
	if resp := do(encoded("gzip", nil), "GET"); len(resp.Bytes()) != 0 {
		t.Error("empty body")
	}
	if resp := do(encoded("gzip", nil).WithLength(-1), "GET"); len(resp.Bytes()) != 0 {
		t.Error("empty body of unknown length")
	}
}

func TestDecompressErrors(t *testing.T) {
	text := []byte(strings.Repeat("godwits fly far. ", 1000))
	for name, row := range map[string]struct {
		answer *mock.Response
		op     godwit.Op
		is     error
	}{
		"cut gzip":         {encoded("gzip", compress("gzip", text)[:40]), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut head":         {encoded("gzip", compress("gzip", text)[:5]), engine.OpDecode, io.ErrUnexpectedEOF},
		"cut checksum":     {encoded("gzip", compress("gzip", text)[:len(compress("gzip", text))-3]), engine.OpDecode, io.ErrUnexpectedEOF},
		"not gzip":         {encoded("gzip", text), engine.OpDecode, gzip.ErrHeader},
		"bad checksum":     {encoded("deflate", append(compress("zlib", text)[:len(compress("zlib", text))-4], 0, 0, 0, 0)), engine.OpDecode, zlib.ErrChecksum},
		"garbage behind":   {encoded("deflate", append(compress("zlib", text), "garbage"...)), engine.OpDecode, nil},
		"cut connection":   {encoded("gzip", compress("gzip", text)).WithTruncation(40), engine.OpReceive, io.ErrUnexpectedEOF},
		"too many codings": {encoded("gzip,gzip,gzip,gzip,gzip", compress("gzip", text)), engine.OpReceive, nil},
	} {
		c, eng := client(t, answers(row.answer))
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
		ge, ok := errors.AsType[*godwit.Error](err)
		if !ok || ge.Op != row.op || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v", name, err)
		}
		eng.AssertBodiesClosed(t)
	}
}

func TestBombGuard(t *testing.T) {
	bomb := compress("gzip", make([]byte, 20<<20))
	c, eng := client(t, answers(mock.Always(encoded("gzip", bomb))))
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "MaxDecodeRatio") {
		t.Errorf("buffered: %v", err)
	}
	err = c.Stream(t.Context(), godwit.NewRequest("GET", base), func(r *godwit.Response) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})
	if !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Errorf("streamed: %v", err)
	}
	if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.MaxDecodeRatio(2000))); err != nil || len(resp.Bytes()) != 20<<20 {
		t.Errorf("allowed: %v", err)
	}
	_, err = c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.MaxDecodeRatio(2000), godwit.MaxBody(1<<20)))
	if !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "MaxBody") {
		t.Errorf("MaxBody holds after decoding: %v", err)
	}
	eng.AssertBodiesClosed(t)
}

func TestCharsets(t *testing.T) {
	ctx := t.Context()
	answer := func(contentType, body string) *godwit.Client {
		c, _ := client(t, answers(mock.Bytes(200, contentType, []byte(body))))
		return c
	}
	for name, row := range map[string]struct {
		contentType, body, want string
		opts                    []godwit.Option
	}{
		"utf-8":              {"text/plain; charset=UTF-8", "grün", "grün", nil},
		"latin-1":            {"text/plain; charset=iso-8859-1", "gr\xfcn", "grün", nil},
		"a WHATWG label":     {"text/plain; charset=\"latin1\"", "\x80", "€", nil},
		"none":               {"text/plain", "grün", "grün", nil},
		"default":            {"text/plain", "gr\xfcn", "grün", []godwit.Option{godwit.DefaultCharset("", "windows-1252")}},
		"utf-8 BOM":          {"text/plain; charset=latin1", "\xef\xbb\xbfgrün", "grün", nil},
		"utf-16 BOM":         {"text/plain", "\xff\xfea\x00", "a", nil},
		"utf-16, removed":    {"text/plain", "\xff\xfeh\x00i\x00", "hi", []godwit.Option{godwit.RemoveBOM(true)}},
		"utf-32, removed":    {"text/plain", "\xff\xfe\x00\x00h\x00\x00\x00", "h", []godwit.Option{godwit.RemoveBOM(true)}},
		"utf-16be BOM":       {"text/plain", "\xfe\xff\x00a", "a", nil},
		"shift_jis":          {"text/html; charset=Shift_JIS", "\x82\xa0", "あ", nil},
		"invalid":            {"text/plain", "a\xffb", "a\uFFFDb", nil},
		"us-ascii, 8 bit":    {"text/plain; charset=us-ascii", "caf\xe9", "café", nil},
		"unusual media type": {"application/x; charset=latin1", "\xe4", "ä", nil},
	} {
		if got, err := godwit.Get[string](ctx, answer(row.contentType, row.body), base, row.opts...); err != nil || got != row.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err := godwit.Get[string](ctx, answer("text/plain; charset=klingon", "x"), base)
	if ce, ok := errors.AsType[*godwit.UnknownCharsetError](err); !ok || ce.Label != "klingon" {
		t.Errorf("unknown charset: %v", err)
	}
	if c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.DefaultCharset("replacement", "")); c.Err() == nil {
		t.Error("a charset that is never written passes New")
	}
	if c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.DefaultCharset("klingon", "")); c.Err() == nil {
		t.Error("unknown default charset is accepted")
	}
}

func TestSendCharset(t *testing.T) {
	ctx := t.Context()
	for name, row := range map[string]struct {
		body              string
		opts              []godwit.Option
		wantType, want    string
		wantAcceptCharset string
	}{
		"default":        {"ü", nil, "text/plain; charset=utf-8", "ü", ""},
		"utf-8 alone":    {"ü", []godwit.Option{godwit.AcceptCharset("utf-8")}, "text/plain; charset=utf-8", "ü", ""},
		"with spaces":    {"ü", []godwit.Option{godwit.DefaultCharset(" iso-8859-1\t", " utf-8 ")}, "text/plain; charset=iso-8859-1", "\xfc", ""},
		"latin-1":        {"ü", []godwit.Option{godwit.DefaultCharset("iso-8859-1", "")}, "text/plain; charset=iso-8859-1", "\xfc", ""},
		"by the type":    {"ü", []godwit.Option{godwit.ContentType("text/csv; charset=latin1")}, "text/csv; charset=latin1", "\xfc", ""},
		"type without":   {"ü", []godwit.Option{godwit.ContentType("text/csv")}, "text/csv; charset=utf-8", "ü", ""},
		"not text":       {"{}", []godwit.Option{godwit.ContentType("application/json")}, "application/json", "{}", ""},
		"by weight":      {"ü", []godwit.Option{godwit.AcceptCharset("utf-16le;q=0.5", "iso-8859-1;q=0.755555")}, "text/plain; charset=iso-8859-1", "\xfc", "iso-8859-1;q=0.756, utf-16le;q=0.5"},
		"without weight": {"ü", []godwit.Option{godwit.AcceptCharset("utf-8;q=1", "windows-1252", "iso-8859-2")}, "text/plain; charset=iso-8859-2", "\xfc", "iso-8859-2, windows-1252, utf-8;q=1"},
	} {
		c, eng := client(t, answers(mock.OK("")))
		if _, err := godwit.Post[string](ctx, c, base, row.body, row.opts...); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := eng.Requests()[0]
		if r.Header.Get("Content-Type") != row.wantType || r.Text() != row.want || r.Header.Get("Accept-Charset") != row.wantAcceptCharset {
			t.Errorf("%s: %q %q, Accept-Charset %q", name, r.Header.Get("Content-Type"), r.Text(), r.Header.Get("Accept-Charset"))
		}
	}
	c, _ := client(t, nil)
	if _, err := godwit.Post[string](ctx, c, base, "あ", godwit.DefaultCharset("latin1", "")); err == nil {
		t.Error("text that does not fit its charset is sent")
	}
	for _, bad := range []string{"utf-8;q=2", "utf-8;q=-1", "utf-8;x", "klingon"} {
		if _, err := godwit.Get[string](ctx, c, base, godwit.AcceptCharset(bad)); err == nil {
			t.Errorf("AcceptCharset(%q) is accepted", bad)
		}
	}
}

func TestRemoveBOM(t *testing.T) {
	for _, bom := range []string{"\xef\xbb\xbf", "\xfe\xff", "\xff\xfe", "\x00\x00\xfe\xff", "\xff\xfe\x00\x00", ""} {
		c, _ := client(t, answers(mock.Always(mock.Bytes(200, "x/y", []byte(bom+"ab")))))
		if got, err := godwit.Get[[]byte](t.Context(), c, base, godwit.RemoveBOM(true)); err != nil || string(got) != "ab" {
			t.Errorf("%q removed: %q, %v", bom, got, err)
		}
		if got, err := godwit.Get[[]byte](t.Context(), c, base); err != nil || string(got) != bom+"ab" {
			t.Errorf("%q kept: %q, %v", bom, got, err)
		}
	}
	c, _ := client(t, answers(mock.Bytes(200, "application/json", []byte("\xef\xbb\xbf{\"id\":1}"))))
	if u, err := godwit.Get[user](t.Context(), c, base); err != nil || u.ID != 1 {
		t.Errorf("JSON with a BOM: %v, %v", u, err)
	}
}

func TestProgress(t *testing.T) {
	ctx := t.Context()
	var up, down []int64
	note := func(list *[]int64) godwit.ProgressFunc {
		return func(done, total int64) { *list = append(*list, done, total) }
	}
	last := func(list []int64) (done, total int64) {
		if len(list) < 2 {
			return -9, -9
		}
		return list[len(list)-2], list[len(list)-1]
	}
	c, eng := client(t, answers(mock.Always(mock.OK("12345"))), godwit.OnUpload(note(&up)), godwit.OnDownload(note(&down)))
	if _, err := godwit.Post[string](ctx, c, base, "abc"); err != nil || eng.Requests()[0].Text() != "abc" {
		t.Fatal(err)
	}
	if d, n := last(up); d != 3 || n != 3 {
		t.Errorf("upload %v", up)
	}
	if d, n := last(down); d != 5 || n != 5 {
		t.Errorf("download %v", down)
	}
	up, down = nil, nil
	if _, err := godwit.Get[string](ctx, c, base, godwit.OnDownload(nil)); err != nil || down != nil {
		t.Errorf("switched off: %v, %v", down, err)
	}
	if len(up) != 2 || up[0] != 0 {
		t.Errorf("no body to send: %v", up)
	}
	empty, _ := client(t, answers(mock.Always(mock.OK(""))))
	if _, err := godwit.Get[string](ctx, empty, base, godwit.OnDownload(note(&down))); err != nil || len(down) != 2 || down[0] != 0 {
		t.Errorf("empty body: %v, %v", down, err)
	}
	down = nil
	zipped, _ := client(t, answers(encoded("gzip", compress("gzip", []byte("123456789")))))
	err := zipped.Stream(ctx, godwit.NewRequest("GET", base, godwit.OnDownload(note(&down))), func(r *godwit.Response) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})
	if d, n := last(down); err != nil || d != 9 || n != -1 {
		t.Errorf("decoded: %v, %v", down, err)
	}
	var _ context.Context = ctx
}

// TestAsNone: of no interest is a body however long, broken or gone.
func TestAsNone(t *testing.T) {
	endless := mock.Stream(func(ctx context.Context, w io.Writer) error {
		for ctx.Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	for name, row := range map[string]struct {
		answer mock.Handler
		closed bool
	}{
		"endless": {endless, false}, "broken": {mock.OK("0123456789").WithReset(4), false}, "stalled": {mock.OK("0123456789").WithStall(2), false}, "closed": {mock.OK("x"), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			eng := mock.New(row.answer)
			defer eng.Close()
			c := godwit.New(godwit.WithEngineInstance(eng))
			defer c.Close()
			resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
			if err != nil {
				t.Fatal(err)
			}
			if row.closed {
				resp.Close()
			}
			if _, err := godwit.As[godwit.None](t.Context(), resp); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			<-resp.Call().Done()
			eng.AssertBodiesClosed(t)
		})
	}
	c, _ := client(t, answers(mock.OK("7")))
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := godwit.As[godwit.None](t.Context(), resp); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "7" {
		t.Errorf("after None: %q, %v", b, err)
	}
}
