package stdhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/stdhttp"
)

// patience bounds what should take no time at all.
const patience = 10 * time.Second

func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustRead(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body after %d bytes: %v", len(b), err)
	}
	return string(b)
}

// closing is a body that tells of its Close.
type closing struct {
	io.Reader
	closed chan struct{}
}

func newClosing(r io.Reader) *closing { return &closing{r, make(chan struct{}, 100)} }

func (c *closing) Close() error {
	c.closed <- struct{}{}
	return nil
}

func (c *closing) wantClosed(t *testing.T) {
	t.Helper()
	within(t, "Close of the request's body", c.closed)
	if n := len(c.closed); n > 0 {
		t.Errorf("the body was closed %d times more", n)
	}
}

// hanging is a server that answers nothing until the test ends; entered tells of
// each request.
func hanging(t *testing.T) (s *httptest.Server, entered chan struct{}) {
	entered = make(chan struct{}, 10)
	end := make(chan struct{})
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	return s, entered
}

func TestContextEndsTheExchange(t *testing.T) {
	why := errors.New("the user left")
	for _, tc := range []struct {
		name string
		end  func(context.Context) (context.Context, func())
		want error
	}{
		{"canceled", func(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) }, context.Canceled},
		{"cause", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(why) }
		}, why},
		{"deadline", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			return ctx, func() { _ = cancel; <-ctx.Done() }
		}, context.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, rt http.RoundTripper) {
				s, entered := hanging(t)
				body := newClosing(strings.NewReader("x"))
				r := newRequest(t, "POST", s.URL, body)
				ctx, end := tc.end(r.Context())
				done := make(chan error, 1)
				go func() {
					_, err := rt.RoundTrip(r.WithContext(ctx))
					done <- err
				}()
				within(t, "the request", entered)
				end()
				if err := within(t, "RoundTrip's end", done); err != tc.want {
					t.Errorf("error %v, want %v itself", err, tc.want)
				}
				body.wantClosed(t)
			})
		})
	}
}

func TestContextEndedBefore(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		body := newClosing(strings.NewReader("x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := rt.RoundTrip(newRequest(t, "POST", "http://127.0.0.1:1/", body).WithContext(ctx))
		if err != context.Canceled {
			t.Errorf("error %v, want context.Canceled", err)
		}
		body.wantClosed(t)
	})
}

// streaming answers with a head and half a body, and then hangs.
func streaming(t *testing.T) *httptest.Server {
	end := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	return s
}

func TestContextEndsTheBody(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		r := newRequest(t, "GET", streaming(t).URL, nil)
		ctx, cancel := context.WithCancel(r.Context())
		resp, err := rt.RoundTrip(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.ReadAll(resp.Body); err != context.Canceled {
			t.Errorf("read: %v, want context.Canceled", err)
		}
	})
}

func TestCancelChannel(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		t.Run("head", func(t *testing.T) {
			s, entered := hanging(t)
			r := newRequest(t, "GET", s.URL, nil)
			cancel := make(chan struct{})
			//lint:ignore SA1019 it is to be honoured
			r.Cancel = cancel
			done := make(chan error, 1)
			go func() {
				_, err := rt.RoundTrip(r)
				done <- err
			}()
			within(t, "the request", entered)
			close(cancel)
			if err := within(t, "RoundTrip's end", done); err == nil || !strings.Contains(err.Error(), "net/http: request canceled") {
				t.Errorf("error %v", err)
			}
		})
		t.Run("body", func(t *testing.T) {
			r := newRequest(t, "GET", streaming(t).URL, nil)
			cancel := make(chan struct{})
			//lint:ignore SA1019 it is to be honoured
			r.Cancel = cancel
			resp, err := rt.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			close(cancel)
			if _, err := io.ReadAll(resp.Body); err == nil || !strings.Contains(err.Error(), "net/http: request canceled") {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestClientTimeout(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		c := &http.Client{Transport: rt, Timeout: 50 * time.Millisecond}
		t.Run("head", func(t *testing.T) {
			s, _ := hanging(t)
			_, err := c.Get(s.URL)
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v is no timeout", err)
			}
		})
		t.Run("body", func(t *testing.T) {
			resp, err := c.Get(streaming(t).URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
				t.Errorf("error %v is no timeout", err)
			}
		})
	})
}

func TestTimeoutsOfTheClient(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			s, _ := hanging(t)
			rt := stdhttp.Transport(newClient(t, e, godwit.Timeout(50*time.Millisecond)))
			_, err := rt.RoundTrip(newRequest(t, "GET", s.URL, nil))
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v is no timeout", err)
			}
			if te, ok := errors.AsType[*godwit.TimeoutError](err); !ok || te.Kind != engine.KindRequest {
				t.Errorf("error %v, want the client's own", err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		t.Run("refused", func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			l.Close()
			_, err = (&http.Client{Transport: rt}).Get("http://" + address)
			if class(err) != "refused" || strings.Count(err.Error(), "http://") != 1 {
				t.Errorf("error %v", err)
			}
			if _, ok := errors.AsType[*net.OpError](err); !ok {
				t.Errorf("error %v is no *net.OpError", err)
			}
			if _, ok := errors.AsType[*godwit.Error](err); !ok {
				t.Errorf("error %v is no *godwit.Error", err)
			}
		})
		t.Run("unknown CA", func(t *testing.T) {
			s := httptest.NewUnstartedServer(nil)
			s.Config.ErrorLog = quiet
			s.StartTLS()
			defer s.Close()
			_, err := rt.RoundTrip(newRequest(t, "GET", s.URL, nil))
			if err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("client closed", func(t *testing.T) {
		c := godwit.New()
		c.Close()
		body := newClosing(strings.NewReader("x"))
		_, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "POST", "http://127.0.0.1:1", body))
		if !errors.Is(err, godwit.ErrClientClosed) {
			t.Errorf("error %v", err)
		}
		body.wantClosed(t)
	})
	t.Run("unsupported", func(t *testing.T) {
		body := newClosing(strings.NewReader("x"))
		r := newRequest(t, "POST", "http://127.0.0.1:1", body)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "a b")
		_, err := stdhttp.Transport(newClient(t, engines[0])).RoundTrip(r)
		if err == nil {
			t.Error("no error")
		}
		body.wantClosed(t)
	})
}
