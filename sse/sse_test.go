package sse_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/sse"
)

// quick makes reconnects take no time.
var quick = sse.Backoff(0, 0)

// resuming is a server that has five events, gives two at a time, and ends with
// 204. It goes on after the id that it is told.
func resuming(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Cache-Control") != "no-cache" || string(body) != r.URL.Query().Get("body") {
		http.Error(w, fmt.Sprintf("%v %q", r.Header, body), http.StatusBadRequest)
		return
	}
	next := 1
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		fmt.Sscan(id, &next)
		next++
	}
	if next > 5 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for i := next; i <= min(5, next+1); i++ {
		fmt.Fprintf(w, "id: %d\ndata: %s %d\n\n", i, r.Method, i)
	}
	io.WriteString(w, "id: 99\ndata: cut off\n")
}

func TestResumesOnEveryEngine(t *testing.T) {
	everyengine.Run(t, resuming, func(t *testing.T, c *godwit.Client, base string) {
		for _, tt := range []struct {
			name string
			opts []godwit.Option
			want string
		}{
			{"GET", nil, "GET 1[1] GET 2[2] GET 3[3] GET 4[4] GET 5[5]"},
			{"seeded", []godwit.Option{sse.LastEventID("3")}, "GET 4[4] GET 5[5]"},
			{"seeded by hand", []godwit.Option{godwit.Header("Last-Event-ID", "4")}, "GET 5[5]"},
			{"at the end already", []godwit.Option{sse.LastEventID("5")}, ""},
			{"POST", []godwit.Option{sse.Method("POST"), godwit.Body("xyz"), godwit.Param("body", "xyz")}, "POST 1[1] POST 2[2] POST 3[3] POST 4[4] POST 5[5]"},
			{"once", []godwit.Option{sse.Reconnect(false)}, "GET 1[1] GET 2[2]"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				seq := sse.Events(t.Context(), c, base, append(tt.opts, quick)...)
				for range 2 { // it can be used again
					if got, err := collect(seq); got != tt.want || err != nil {
						t.Errorf("%s, %v\nwant %s", got, err, tt.want)
					}
				}
			})
		}
	})
}

type price struct {
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

func TestTyped(t *testing.T) {
	everyengine.Run(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "id: 1\nevent: price\ndata: {\"name\":\"tea\",\ndata: \"cents\":250}\n\ndata: [DONE]\n\ndata: {\"cents\":1}\n\n")
	}, func(t *testing.T, c *godwit.Client, base string) {
		var got []sse.Typed[price]
		var bad error
		for ev, err := range sse.EventsOf[price](t.Context(), c, base, sse.Reconnect(false)) {
			if err != nil {
				bad = err
			}
			got = append(got, ev)
		}
		want := []sse.Typed[price]{
			{Event: sse.Event{Type: "price", Data: "{\"name\":\"tea\",\n\"cents\":250}", LastEventID: "1"}, Value: price{"tea", 250}},
			{Event: sse.Event{Type: "message", Data: "[DONE]", LastEventID: "1"}},
			{Event: sse.Event{Type: "message", Data: `{"cents":1}`, LastEventID: "1"}, Value: price{"", 1}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		de, ok := errors.AsType[*godwit.DecodeError](bad)
		if !ok || reason(bad) != sse.BadData || de.Type != "sse_test.price" || de.Snippet != `"[DONE]"` {
			t.Errorf("error %v", bad)
		}
		for ev, err := range sse.EventsOf[string](t.Context(), c, base) {
			if err != nil || ev.Value != ev.Data {
				t.Errorf("%q, %v", ev.Value, err)
			}
			break
		}
		for ev, err := range sse.EventsOf[[]byte](t.Context(), c, base) {
			if err != nil || string(ev.Value) != ev.Data {
				t.Errorf("%q, %v", ev.Value, err)
			}
			break
		}
		for _, err := range sse.EventsOf[price](t.Context(), c, base, sse.DataType("application/cbor"), sse.Reconnect(false)) {
			if reason(err) != sse.BadData || !strings.Contains(err.Error(), `no codec for Content-Type "application/cbor"`) {
				t.Errorf("without a codec: %v", err)
			}
			break
		}
	})
}

// upper is a codec that is not JSON's.
type upper struct{}

func (upper) MediaTypes() []string        { return []string{"application/json"} }
func (upper) Marshal(any) ([]byte, error) { return nil, errors.New("no") }
func (upper) Unmarshal(data []byte, v any) error {
	*v.(*price) = price{Name: strings.ToUpper(string(data))}
	return nil
}

func TestTypedByTheClientsCodec(t *testing.T) {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(streamed("data: tea\n\n"))), godwit.WithCodec(upper{}), sse.Reconnect(false))
	defer c.Close()
	n := 0
	for ev, err := range sse.EventsOf[price](t.Context(), c, url) {
		if n++; err != nil || ev.Value.Name != "TEA" {
			t.Errorf("%v, %v", ev, err)
		}
	}
	if n != 1 {
		t.Errorf("%d events: the client's Reconnect(false) does not count", n)
	}
}

// TestRelease: leaving the loop, cancelling and closing give the connection back
// at once, while the server still sends.
func TestRelease(t *testing.T) {
	for name, eng := range map[string]godwit.ClientOption{
		"cio": godwit.WithEngine(cio.Config{}), "nethttp": godwit.WithEngine(nethttp.Config{}),
	} {
		for how, leave := range map[string]func(c *godwit.Client, cancel func()) (next bool){
			"break":         func(*godwit.Client, func()) bool { return false },
			"cancel":        func(_ *godwit.Client, cancel func()) bool { cancel(); return true },
			"Client.Cancel": func(c *godwit.Client, _ func()) bool { c.Cancel(); return true },
			"cancel beside": func(_ *godwit.Client, cancel func()) bool { time.AfterFunc(5*time.Millisecond, cancel); return true },
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				leakcheck.Goroutines(t)
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(w, "data: a\n\n")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				listener := leakcheck.Listen(server.Listener)
				server.Listener = listener
				server.Start()
				defer server.Close()
				c := godwit.New(eng)
				defer c.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				events := 0
				var last error
				for _, err := range sse.Events(ctx, c, server.URL) {
					if last = err; err != nil {
						continue
					}
					if events++; !leave(c, cancel) {
						break
					}
				}
				if events != 1 || how != "break" && (reason(last) != sse.Cancelled || !errors.Is(last, context.Canceled)) {
					t.Errorf("%d events, then %v", events, last)
				}
				listener.WaitClosed(t)
				if err := c.Join(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestAsTheyCome: each event is there when it was sent, compressed or not.
func TestAsTheyCome(t *testing.T) {
	for name, eng := range map[string]godwit.ClientOption{
		"cio": godwit.WithEngine(cio.Config{}), "nethttp": godwit.WithEngine(nethttp.Config{}),
	} {
		for _, coding := range []string{"identity", "gzip"} {
			t.Run(name+"/"+coding, func(t *testing.T) {
				next := make(chan struct{})
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					out, flush := io.Writer(w), func() {}
					if coding == "gzip" {
						w.Header().Set("Content-Encoding", "gzip")
						z := gzip.NewWriter(w)
						out, flush = z, func() { z.Flush() }
					}
					for i := range 20 {
						fmt.Fprintf(out, "data: %d\r\r", i)
						flush()
						w.(http.Flusher).Flush()
						select {
						case <-next:
						case <-r.Context().Done():
						}
					}
				}))
				defer server.Close()
				c := godwit.New(eng)
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				want := 0
				for ev, err := range sse.Events(ctx, c, server.URL, godwit.Timeout(10*time.Second), sse.Reconnect(false)) {
					if err != nil || ev.Data != fmt.Sprint(want) {
						t.Fatalf("event %q, %v", ev.Data, err)
					}
					want++
					if want == 20 {
						break
					}
					next <- struct{}{}
				}
				if want != 20 {
					t.Errorf("%d events", want)
				}
			})
		}
	}
}

// TestBodies: what can be sent again is, and what cannot is a clear error, not a
// request without a body.
func TestBodies(t *testing.T) {
	reader := func() io.Reader { return bufio.NewReader(strings.NewReader("once")) }
	for _, tt := range []struct {
		name     string
		body     any
		handlers []mock.Handler
		want     string
		bodies   string
	}{
		{"text", "again", list(streamed("data: a\n\n"), streamed("data: b\n\n"), gone), "a b", "again again again"},
		{"a value", price{"tea", 1}, list(streamed("data: a\n\n"), gone), "a", `{"name":"tea","cents":1} {"name":"tea","cents":1}`},
		{"a writer", content.Writer(func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "written"); return err }, "a/b", -1),
			list(streamed("data: a\n\n"), gone), "a", "written written"},
		{"a reader", reader(), list(streamed("data: a\n\n"), gone), "a !" + string(sse.BodyNotReplayable), "once"},
		{"a reader, no events", reader(), list(streamed(""), gone), "!" + string(sse.BodyNotReplayable), "once"},
		{"a reader, connection refused", reader(), list(mock.Streaming(mock.Refused()), streamed("data: a\n\n")), "a !" + string(sse.BodyNotReplayable), "once"},
		{"a reader, reset", reader(), list(mock.Reset(), gone), "!" + string(sse.BodyNotReplayable), "once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.handlers, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				got, err := collect(sse.Events(t.Context(), c, url, sse.Method("POST"), godwit.Body(tt.body)))
				if got != tt.want || strings.Contains(tt.want, "!") != errors.Is(err, godwit.ErrNotReplayable) {
					t.Errorf("%s, %v\nwant %s", got, err, tt.want)
				}
				var bodies []string
				for _, r := range eng.Requests() {
					if b := r.Text(); b != "" {
						bodies = append(bodies, b)
					}
				}
				if got := strings.Join(bodies, " "); got != tt.bodies {
					t.Errorf("bodies %s, want %s", got, tt.bodies)
				}
			})
		})
	}
}

// TestBodyAndNoConnection: a connection that cannot be made leaves a body that comes
// once as it is, but for nethttp, which opens bodies before.
func TestBodyAndNoConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		engine engine.Factory
		want   string
	}{
		"cio":     {cio.Config{}, "once"},
		"nethttp": {nethttp.Config{}, "!" + string(sse.BodyNotReplayable)},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "data: %s\n\n", body)
			}))
			start := sync.OnceFunc(func() {
				server.Listener.Close()
				var err error
				if server.Listener, err = net.Listen("unix", socket); err != nil {
					t.Error(err)
				}
				server.Start()
			})
			defer server.Close()
			defer start()
			c := godwit.New(godwit.WithEngine(tt.engine), godwit.UnixSocket(socket))
			defer c.Close()
			got, err := "", error(nil)
			for ev, e := range sse.Events(t.Context(), c, url, sse.Method("POST"), quick,
				godwit.Body(bufio.NewReader(strings.NewReader("once"))), godwit.On(func(context.Context, sse.Reconnecting) { start() })) {
				if got, err = ev.Data, e; e != nil {
					got = "!" + string(reason(e))
				}
				break
			}
			if got != tt.want {
				t.Errorf("%s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestBodyOfALiteral: a request that was not made by NewRequest keeps its reader,
// too.
func TestBodyOfALiteral(t *testing.T) {
	bubble(t, list(streamed("data: a\n\n"), gone), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		req := godwit.NewRequest("POST", url)
		req.Body = bufio.NewReader(strings.NewReader("once"))
		if got, err := collect(sse.Send(t.Context(), c, req)); got != "a !"+string(sse.BodyNotReplayable) || len(eng.Requests()) != 1 {
			t.Errorf("%s, %v, %d requests", got, err, len(eng.Requests()))
		}
	})
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client []godwit.ClientOption
		opts   []godwit.Option
		want   string
	}{
		{"defaults", nil, nil, "GET text/event-stream|no-cache|"},
		{"own fields", nil, []godwit.Option{godwit.Accept("text/event-stream, */*"), godwit.Header("Cache-Control", "no-store")}, "GET text/event-stream, */*|no-store|"},
		{"the client's defaults", []godwit.ClientOption{godwit.Accept("application/json")}, nil, "GET text/event-stream|no-cache|"},
		{"id with blanks", nil, []godwit.Option{sse.LastEventID(" a b\t")}, "GET text/event-stream|no-cache|a b"},
		{"id in UTF-8", nil, []godwit.Option{sse.LastEventID("…")}, "GET text/event-stream|no-cache|…"},
		{"method", nil, []godwit.Option{sse.Method("QUERY")}, "QUERY text/event-stream|no-cache|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eng := mock.NewT(t, gone)
			c := godwit.New(append(tt.client, godwit.WithEngineInstance(eng))...)
			defer c.Close()
			if got, err := collect(sse.Events(t.Context(), c, url, tt.opts...)); got != "" || err != nil {
				t.Fatalf("%s, %v", got, err)
			}
			r := eng.Requests()[0]
			h := r.Header
			if got := r.Method + " " + h.Joined("Accept") + "|" + h.Joined("Cache-Control") + "|" + h.Joined("Last-Event-ID"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]godwit.Option{
		"LastEventID with CR": sse.LastEventID("a\rb"), "with LF": sse.LastEventID("a\nb"), "with NUL": sse.LastEventID("\x00"),
		"Method": sse.Method("G T"), "MaxAttempts": sse.MaxAttempts(0), "MaxLine": sse.MaxLine(0), "MaxEvent": sse.MaxEvent(-1),
		"Backoff": sse.Backoff(-1, 0), "Backoff upside down": sse.Backoff(2, 1), "MaxRetry": sse.MaxRetry(-1),
		"RetryStatus 200": sse.RetryStatus(200), "RetryStatus": sse.RetryStatus(1000), "DataType": sse.DataType("json"),
	} {
		t.Run(name, func(t *testing.T) {
			eng := mock.NewT(t)
			c := godwit.New(godwit.WithEngineInstance(eng))
			defer c.Close()
			got, err := collect(sse.Events(t.Context(), c, url, o))
			if got != "!"+string(sse.BadRequest) || !strings.Contains(err.Error(), "sse."+strings.Fields(name)[0]) && !strings.HasPrefix(name, "with") {
				t.Errorf("%s, %v", got, err)
			}
			if godwit.New(godwit.WithEngineInstance(eng), o).Err() == nil {
				t.Error("a client takes it")
			}
			for _, err := range sse.Read(strings.NewReader("data: a\n\n"), o) {
				if err == nil {
					t.Error("Read takes it")
				}
			}
		})
	}
}

func TestNil(t *testing.T) {
	c := godwit.New(godwit.WithEngineInstance(mock.NewT(t)))
	defer c.Close()
	//lint:ignore SA1012 it is what is tested
	if got, err := collect(sse.Events(nil, c, url)); got != "!"+string(sse.BadRequest) {
		t.Errorf("nil context: %v", err)
	}
	if got, err := collect(sse.Send(t.Context(), c, nil)); got != "!"+string(sse.BadRequest) {
		t.Errorf("nil request: %v", err)
	}
}

func TestRead(t *testing.T) {
	body := "id: 1\ndata: a\n\ndata: bcdef\n\ndata: c\n"
	if got, err := collect(sse.Read(strings.NewReader(body))); got != "a[1] bcdef[1]" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := collect(sse.Read(strings.NewReader("data: a\n\n"), sse.LastEventID("7"))); got != "a[7]" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	got, err := collect(sse.Read(strings.NewReader(body), sse.MaxEvent(4)))
	if got != "a[1] !"+string(sse.TooLarge) || !strings.Contains(err.Error(), "sse.MaxEvent") {
		t.Errorf("%s, %v", got, err)
	}
	broken := errors.New("broken")
	got, err = collect(sse.Read(io.MultiReader(strings.NewReader("data: a\n\n"), readerFunc(func([]byte) (int, error) { return 0, broken }))))
	if got != "a !"+string(sse.Disconnected) || !errors.Is(err, broken) {
		t.Errorf("%s, %v", got, err)
	}
	got, err = collect(sse.Read(readerFunc(func([]byte) (int, error) { return 0, nil })))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%s, %v", got, err)
	}
	for ev, err := range sse.Read(strings.NewReader(body)) {
		if ev.Data != "a" || err != nil {
			t.Errorf("%v, %v", ev, err)
		}
		break
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestAllocations: an event costs what its strings cost.
func TestAllocations(t *testing.T) {
	const events = 5000
	var body strings.Builder
	for i := range events {
		fmt.Fprintf(&body, ": comment\nid: %d\nevent: %s\ndata: some text\ndata: and more\n\n", i, []string{"add", "del"}[i%2])
	}
	c := godwit.New(godwit.WithEngine(mock.Config{Handlers: list(mock.Always(streamed(body.String()))), NoHistory: true}), sse.Reconnect(false))
	defer c.Close()
	n := 0
	allocations := testing.AllocsPerRun(3, func() {
		for _, err := range sse.Events(t.Context(), c, url) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 4*events || allocations > 2.1*events {
		t.Errorf("%v allocations an event, %d events", allocations/events, n)
	}
}

// TestRedirect: redirects are the client's, and each reconnect starts at the first
// URL.
func TestRedirect(t *testing.T) {
	var first atomic.Int32
	everyengine.Run(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/there":
			first.Add(1)
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case r.Header.Get("Last-Event-ID") == "1":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "id: 1\ndata: a\n\n")
		}
	}, func(t *testing.T, c *godwit.Client, base string) {
		first.Store(0)
		if got, err := collect(sse.Events(t.Context(), c, base+"/here", quick)); got != "a[1]" || err != nil || first.Load() != 2 {
			t.Errorf("%s, %v, %d", got, err, first.Load())
		}
	})
}

// TestCancelDropsWhatWasRead: after Client.Cancel no event comes that was read
// before.
func TestCancelDropsWhatWasRead(t *testing.T) {
	text := strings.Repeat("data: x\n\n", 100)
	for name, h := range map[string]mock.Handler{"open": lasting(text), "at its end": streamed(text)} {
		bubble(t, list(h), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			n := 0
			var last error
			for _, err := range sse.Events(t.Context(), c, url) {
				if last = err; err == nil {
					n++
					c.Cancel()
				} else if err := c.Join(t.Context()); err != nil { // which waits for loops
					t.Error(err)
				}
			}
			if n != 1 || !errors.Is(last, context.Canceled) {
				t.Errorf("%s: %d events, then %v", name, n, last)
			}
		})
	}
}
