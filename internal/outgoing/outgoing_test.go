package outgoing_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/outgoing"
	"github.com/godwit-go/godwit/internal/recovered"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// source is a content of a test.
type source struct {
	content.Content
	length int64
	open   func(context.Context) (io.ReadCloser, error)
}

func (source) ContentType() string                               { return "" }
func (s source) ContentLength() int64                            { return s.length }
func (source) Replayable() bool                                  { return true }
func (s source) Open(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx) }
func reads(length int64, f func(p []byte) (int, error)) source {
	return opens(length, &reader{read: f})
}
func opens(length int64, r io.ReadCloser) source {
	return source{length: length, open: func(context.Context) (io.ReadCloser, error) { return r, nil }}
}

type reader struct {
	read   func(p []byte) (int, error)
	closed int
}

func (r *reader) Read(p []byte) (int, error) { return r.read(p) }
func (r *reader) Close() error               { r.closed++; return nil }

func TestRead(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		body  content.Content
		want  string
		fault string // part of it; "" = none
		cause error
	}{
		{name: "memory", body: content.Text("text"), want: "text"},
		{name: "stream", body: content.Reader(strings.NewReader("flow"), "", -1), want: "flow"},
		{name: "announced", body: content.Reader(strings.NewReader("flow"), "", 4), want: "flow"},
		{name: "none", want: ""},
		{name: "shorter", body: content.Reader(strings.NewReader("flow"), "", 5), want: "flow", fault: "announces 5 bytes and yields 4"},
		{name: "longer by one read more", body: content.Reader(iotest.OneByteReader(strings.NewReader("flow")), "", 3), want: "flo", fault: "announces 3 bytes and yields 4"},
		{name: "longer", body: content.Reader(strings.NewReader("flow"), "", 3), want: "", fault: "announces 3 bytes and yields 4"},
		{name: "fails", body: reads(-1, func(p []byte) (int, error) { return copy(p, "abc"), broken }), want: "abc", fault: "broken", cause: broken},
		{name: "cannot be opened", body: source{length: -1, open: func(context.Context) (io.ReadCloser, error) { return nil, broken }}, fault: "broken", cause: broken},
		{name: "panics", body: reads(-1, func([]byte) (int, error) { panic(broken) }), fault: "the request's body panicked", cause: broken},
		{name: "counts too much", body: reads(-1, func(p []byte) (int, error) { return len(p) + 1, nil }), fault: "for a buffer of"},
		{name: "counts too much, announced", body: reads(1<<20, func(p []byte) (int, error) { return len(p) + 1, nil }), fault: "for a buffer of"},
		{name: "counts below 0", body: reads(-1, func([]byte) (int, error) { return -1, nil }), fault: "returned -1 for a buffer of"},
		{name: "no progress", body: reads(-1, func([]byte) (int, error) { return 0, nil }), fault: "the request's body", cause: io.ErrNoProgress},
		{name: "exits", body: reads(-1, func([]byte) (int, error) { runtime.Goexit(); return 0, nil }), fault: "Goexit", cause: recovered.ErrExited},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := outgoing.New(t.Context(), tc.body, nil)
			defer b.Stop()
			got, err := io.ReadAll(b)
			if string(got) != tc.want || (err != nil) != (tc.fault != "") || err != b.Fault() {
				t.Errorf("%q, %v; fault %v", got, err, b.Fault())
			}
			if err != nil && (!strings.Contains(err.Error(), tc.fault) || tc.cause != nil && !errors.Is(err, tc.cause)) {
				t.Errorf("error %q, want %q", err, tc.fault)
			}
		})
	}
}

// TestClosePanics: the transport, in whose goroutine it is, gets an error.
func TestClosePanics(t *testing.T) {
	b := outgoing.New(t.Context(), opens(-1, shutPanics{strings.NewReader("text")}), nil)
	if _, err := io.ReadAll(b); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if err := b.Close(); (err != nil) != want || err != nil && !strings.Contains(err.Error(), "panicked: shut") {
			t.Errorf("Close %d: %v", i+1, err)
		}
	}
	if b.Fault() == nil {
		t.Error("no fault")
	}
}

// shutPanics is a reader whose Close panics.
type shutPanics struct{ io.Reader }

func (shutPanics) Close() error { panic("shut") }

func TestTrailer(t *testing.T) {
	own := func(h header.Header) *engine.Request {
		return &engine.Request{TrailerNames: []string{"x-sum"}, Trailer: func() header.Header { return h }}
	}
	panicking := own(header.Header{})
	panicking.Trailer = func() header.Header { panic("boom") }
	for _, tc := range []struct {
		name  string
		req   *engine.Request
		want  map[string][]string
		fault string
	}{
		{name: "own", req: own(header.New("x-sum", "1", "X-Sum", "2", "x-more", "3")), want: map[string][]string{"X-Sum": {"1", "2"}, "X-More": {"3"}}},
		{name: "of the content", req: &engine.Request{Body: content.WithTrailers(content.Text("x"), []string{"A"}, func() header.Header { return header.New("A", "b") })},
			want: map[string][]string{"A": {"b"}}},
		{name: "not allowed", req: own(header.New("content-length", "5")), want: map[string][]string{"X-Sum": nil}, fault: `"content-length"`},
		{name: "no name", req: own(header.New("a b", "5")), want: map[string][]string{"X-Sum": nil}, fault: `"a b"`},
		{name: "no value", req: own(header.New("a", "5\n6")), want: map[string][]string{"X-Sum": nil}, fault: `"a"`},
		{name: "panics", req: panicking, want: map[string][]string{"X-Sum": nil}, fault: "the request's Trailer panicked: boom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trailer := outgoing.TrailerOf(tc.req)
			b := outgoing.New(t.Context(), tc.req.Body, trailer)
			defer b.Stop()
			_, err := io.ReadAll(b)
			if (err != nil) != (tc.fault != "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("error %v, want %q", err, tc.fault)
			}
			if diff := cmp.Diff(tc.want, trailer.Fields); diff != "" {
				t.Error(diff)
			}
		})
	}
	if outgoing.TrailerOf(&engine.Request{TrailerNames: []string{"A"}}) != nil {
		t.Error("names alone are a trailer section")
	}
}

// TestTrailerEachTime: every reading of the content asks for the fields, once.
func TestTrailerEachTime(t *testing.T) {
	asked := 0
	trailer := outgoing.TrailerOf(&engine.Request{Trailer: func() header.Header { asked++; return header.Header{} }})
	for n := 1; n <= 2; n++ {
		b := outgoing.New(t.Context(), content.Text("x"), trailer)
		for range 3 {
			if _, err := io.ReadAll(b); err != nil {
				t.Fatal(err)
			}
		}
		b.Stop()
		if asked != n {
			t.Errorf("asked %d times after %d readings", asked, n)
		}
	}
}

// TestEndsWhileReading: a read returns when the exchange ends, and the content is
// closed once; what it yields later is lost.
func TestEndsWhileReading(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(b *outgoing.Body, cancel context.CancelFunc)
	}{
		{"context", func(_ *outgoing.Body, cancel context.CancelFunc) { cancel() }},
		{"stop", func(b *outgoing.Body, _ context.CancelFunc) { b.Stop() }},
		{"close", func(b *outgoing.Body, _ context.CancelFunc) { b.Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				release := make(chan struct{})
				r := &reader{read: func(p []byte) (int, error) { <-release; return copy(p, "late"), io.EOF }}
				b := outgoing.New(ctx, opens(-1, r), nil)
				done := make(chan error, 1)
				p := make([]byte, 4)
				go func() {
					_, err := b.Read(p)
					done <- err
				}()
				synctest.Wait()
				if !b.Begun() || !b.Fresh() {
					t.Errorf("before the first byte: begun %v, fresh %v", b.Begun(), b.Fresh())
				}
				tc.end(b, cancel)
				if err := <-done; err != outgoing.ErrStopped {
					t.Errorf("Read: %v", err)
				}
				close(release)
				synctest.Wait()
				b.Stop()
				if r.closed != 1 || string(p) != "\x00\x00\x00\x00" || b.Fault() != nil || b.Fresh() {
					t.Errorf("closed %d times, read %q, fault %v, fresh %v", r.closed, p, b.Fault(), b.Fresh())
				}
				if _, err := b.Read(p); err != outgoing.ErrStopped {
					t.Errorf("Read after the end: %v", err)
				}
			})
		})
	}
}

// TestEndsWhileOpening: a content whose Open takes too long is closed when it is
// open at last.
func TestEndsWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		r := &reader{}
		b := outgoing.New(ctx, source{length: -1, open: func(context.Context) (io.ReadCloser, error) { <-release; return r, nil }}, nil)
		done := make(chan error, 1)
		go func() { done <- b.Open() }()
		synctest.Wait()
		cancel()
		if err := <-done; err != outgoing.ErrStopped {
			t.Errorf("Open: %v", err)
		}
		close(release)
		synctest.Wait()
		if r.closed != 1 || b.Fault() != nil {
			t.Errorf("closed %d times, fault %v", r.closed, b.Fault())
		}
	})
}

func TestOpen(t *testing.T) {
	broken := errors.New("broken")
	opened := 0
	b := outgoing.New(t.Context(), source{length: -1, open: func(context.Context) (io.ReadCloser, error) {
		opened++
		return io.NopCloser(strings.NewReader("x")), nil
	}}, nil)
	defer b.Stop()
	if b.Begun() || !b.Blocks() {
		t.Errorf("at first: begun %v, blocks %v", b.Begun(), b.Blocks())
	}
	if err := b.Open(); err != nil || !b.Begun() || !b.Fresh() {
		t.Errorf("%v; begun %v, fresh %v", err, b.Begun(), b.Fresh())
	}
	if text, err := io.ReadAll(b); string(text) != "x" || err != nil || opened != 1 {
		t.Errorf("%q, %v, opened %d times", text, err, opened)
	}
	fails := outgoing.New(t.Context(), source{open: func(context.Context) (io.ReadCloser, error) { return nil, broken }}, nil)
	if err := fails.Open(); err != broken || fails.Fault() != broken {
		t.Errorf("%v, fault %v", err, fails.Fault())
	}
	for _, c := range []content.Content{nil, content.Text("x")} {
		if b := outgoing.New(t.Context(), c, nil); b.Blocks() || b.Open() != nil || b.Begun() {
			t.Errorf("%v is opened though that can wait", c)
		}
	}
}
