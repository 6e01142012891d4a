package auth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

// issuer is a server that takes one token at a time, and refreshes it.
type issuer struct {
	mu       sync.Mutex
	n        int // the token in force is "t<n>"
	refused  int
	accepted int
}

func (s *issuer) handle(_ context.Context, r *mock.Request) *mock.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") == fmt.Sprintf("Bearer t%d", s.n) {
		s.accepted++
		return mock.OK("in")
	}
	s.refused++
	return unauthorized(`Bearer error="invalid_token"`)
}

func (s *issuer) renew() auth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return auth.Token{Access: fmt.Sprintf("t%d", s.n), Refresh: fmt.Sprintf("r%d", s.n)}
}

// TestThousandRefusals: 1,000 requests refused at once make one refresh, and all
// are sent again once.
func TestThousandRefusals(t *testing.T) {
	const calls = 1000
	synctest.Test(t, func(t *testing.T) {
		server := &issuer{n: 5}
		var refreshes, loads atomic.Int32
		eng := serve(server.handle)
		c := client(t, eng, auth.Bearer{
			Load: func(context.Context) (auth.Token, error) {
				loads.Add(1)
				time.Sleep(time.Second) // virtual
				return auth.Token{Access: "t0", Refresh: "r0"}, nil
			},
			Refresh: func(_ context.Context, old auth.Token) (auth.Token, error) {
				refreshes.Add(1)
				if old.Refresh != "r0" {
					t.Errorf("refreshed %v", old)
				}
				time.Sleep(time.Second)
				return server.renew(), nil
			},
		})
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || resp.Text() != "in" {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		wg.Wait()
		if loads.Load() != 1 || refreshes.Load() != 1 || server.refused != calls || server.accepted != calls {
			t.Errorf("%d loads, %d refreshes, %d refused, %d replayed", loads.Load(), refreshes.Load(), server.refused, server.accepted)
		}
	})
}

// TestLateRefusal: a request that was sent with the token before the last is
// sent again with the last, without a refresh.
func TestLateRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuer{n: 1}
		slow := make(chan struct{})
		eng := serve(func(ctx context.Context, r *mock.Request) *mock.Response {
			resp := server.handle(ctx, r)
			if r.URL.Path == "/slow" && r.Header.Get("Authorization") == "Bearer t0" {
				<-slow
			}
			return resp
		})
		var refreshes int
		c := client(t, eng, auth.Bearer{Token: "t0", Refresh: func(context.Context, auth.Token) (auth.Token, error) {
			refreshes++
			return auth.Token{Access: "t1"}, nil
		}})
		done := make(chan *godwit.Response)
		go func() { r, _ := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/slow")); done <- r }()
		synctest.Wait()
		get(t, c, url)
		close(slow)
		if r := <-done; r == nil || r.Text() != "in" || refreshes != 1 {
			t.Errorf("%v after %d refreshes", r, refreshes)
		}
	})
}

// TestBadRefreshes: what a refresh does wrong meets those who wait for it, and
// nobody after them.
func TestBadRefreshes(t *testing.T) {
	boom := errors.New("boom")
	for name, row := range map[string]struct {
		bad  func(context.Context) (auth.Token, error)
		fine func(resp *godwit.Response, err error) bool
	}{
		"fails": {func(context.Context) (auth.Token, error) { return auth.Token{}, boom }, func(_ *godwit.Response, err error) bool { return errors.Is(err, boom) }},
		"panics": {func(context.Context) (auth.Token, error) { panic("boom") }, func(_ *godwit.Response, err error) bool {
			return err != nil && strings.Contains(err.Error(), "panic: boom")
		}},
		"exits": {func(context.Context) (auth.Token, error) { runtime.Goexit(); return auth.Token{}, nil }, func(_ *godwit.Response, err error) bool { return err != nil }},
		"hangs": {func(ctx context.Context) (auth.Token, error) { <-ctx.Done(); return auth.Token{}, ctx.Err() }, func(_ *godwit.Response, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"deaf": {func(context.Context) (auth.Token, error) {
			time.Sleep(time.Hour)
			return auth.Token{Access: "late"}, nil
		}, func(_ *godwit.Response, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"no token": {func(context.Context) (auth.Token, error) { return auth.Token{}, nil }, func(r *godwit.Response, err error) bool {
			return err == nil && r.Status == 401 && r.Text() == "refused"
		}},
		"old token": {func(context.Context) (auth.Token, error) { return auth.Token{Access: "t0"}, nil }, func(r *godwit.Response, err error) bool { return err == nil && r.Status == 401 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &issuer{n: 1}
				var good atomic.Bool
				tokens := new(auth.Tokens)
				var calls atomic.Int32
				c := client(t, serve(server.handle), auth.Bearer{
					Tokens: tokens,
					Load:   func(context.Context) (auth.Token, error) { return auth.Token{Access: "t0"}, nil },
					Refresh: func(ctx context.Context, _ auth.Token) (auth.Token, error) {
						calls.Add(1)
						if good.Load() {
							return auth.Token{Access: "t1"}, nil
						}
						time.Sleep(time.Second)
						return row.bad(ctx)
					},
				})
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !row.fine(resp, err) {
							t.Errorf("%v, %v", resp, err)
						}
					})
				}
				wg.Wait()
				if calls.Load() != 1 {
					t.Errorf("%d refreshes", calls.Load())
				}
				good.Store(true)
				if resp := get(t, c, url); resp.Text() != "in" {
					t.Errorf("afterwards: %v", resp)
				}
				time.Sleep(2 * time.Hour) // the deaf one comes back
				if got := tokens.Get().Access; got != "t1" {
					t.Errorf("token %q", got)
				}
			})
		})
	}
}

func TestFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := client(t, serve((&issuer{n: 0}).handle), auth.Bearer{Load: func(context.Context) (auth.Token, error) {
			switch n++; n {
			case 1:
				return auth.Token{}, errors.ErrUnsupported
			case 2:
				return auth.Token{}, nil
			}
			return auth.Token{Access: "t0"}, nil
		}})
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		// No token: sent without, and loaded again when the server asks.
		if resp := get(t, c, url); resp.Status != 200 || n != 3 {
			t.Errorf("%v after %d loads", resp.Status, n)
		}
	})
}

// TestCancelledCaller: whoever gives up does not end the refresh of the others,
// and even one that nobody waits for is finished: the old token may be gone.
func TestCancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuer{n: 1}
		tokens := new(auth.Tokens)
		var refreshes int
		c := client(t, serve(server.handle), auth.Bearer{Token: "t0", Tokens: tokens, Refresh: func(ctx context.Context, _ auth.Token) (auth.Token, error) {
			refreshes++
			select {
			case <-time.After(5 * time.Second):
				return server.renew(), nil
			case <-ctx.Done():
				return auth.Token{}, ctx.Err()
			}
		}})
		first, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			if _, err := c.Do(first, godwit.NewRequest("GET", url)); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
				t.Errorf("cancelled: %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || resp.Text() != "in" {
				t.Errorf("the other: %v, %v", resp, err)
			}
		})
		wg.Wait()
		server.renew() // the token is no longer taken
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.Timeout(time.Second))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("timed out: %v", err)
		}
		time.Sleep(5 * time.Second)
		if got := tokens.Get().Access; got != "t4" || refreshes != 2 {
			t.Errorf("token %q after %d refreshes", got, refreshes)
		}
	})
}

// TestRefreshBySameClient: requests of a refresh are not authenticated, refreshed
// or made to wait for it.
func TestRefreshBySameClient(t *testing.T) {
	server := &issuer{n: 1}
	eng := serve(func(ctx context.Context, r *mock.Request) *mock.Response {
		switch r.URL.Path {
		case "/token":
			if r.Header.Has("Authorization") || r.Header.Has("X-API-Key") {
				t.Errorf("the refresh was sent with %s", r.Header)
			}
			return mock.Text(200, "t1")
		case "/refused":
			return unauthorized("Bearer")
		}
		return server.handle(ctx, r)
	})
	var c *godwit.Client
	path := "http://example.org/token"
	ask := func(ctx context.Context) (auth.Token, error) {
		s, err := godwit.Get[string](ctx, c, path)
		return auth.Token{Access: s}, err
	}
	c = client(t, eng, auth.Bearer{
		Load: func(ctx context.Context) (auth.Token, error) {
			_, err := ask(ctx)
			return auth.Token{Access: "t0"}, err
		},
		Refresh: func(ctx context.Context, _ auth.Token) (auth.Token, error) { return ask(ctx) },
	}, auth.APIKey{Load: func(ctx context.Context) (string, error) { _, err := ask(ctx); return "k", err }})
	if resp := get(t, c, url); resp.Text() != "in" {
		t.Errorf("%v", resp)
	}
	server.renew()
	path = "http://example.org/refused"
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
	if se, ok := errors.AsType[*godwit.StatusError](err); !ok || se.Response.Status != 401 {
		t.Errorf("a refused refresh: %v", err)
	}
}

func TestSetAndClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuer{n: 5}
		tokens := new(auth.Tokens)
		eng := serve(server.handle)
		var loads, refreshes int
		plugin := auth.New(auth.Bearer{
			Tokens: tokens,
			Load:   func(context.Context) (auth.Token, error) { loads++; return auth.Token{Access: "t5"}, nil },
			Refresh: func(context.Context, auth.Token) (auth.Token, error) {
				refreshes++
				time.Sleep(time.Second)
				return auth.Token{Access: "t9"}, nil
			},
		})
		c := clientWith(t, eng, godwit.Install(plugin))
		get(t, c, url)
		tokens.Clear()
		get(t, c, url)
		plugin.Clear()
		get(t, c, url)
		if loads != 3 || refreshes != 0 {
			t.Errorf("%d loads, %d refreshes", loads, refreshes)
		}
		for name, change := range map[string]func(){"set": func() { tokens.Set(auth.Token{Access: "t5"}) }, "clear": tokens.Clear} {
			tokens.Set(auth.Token{Access: "old"})
			done := make(chan *godwit.Response)
			go func() { r, _ := c.Do(t.Context(), godwit.NewRequest("GET", url)); done <- r }()
			synctest.Wait()
			change() // while the refresh runs: what that brings is nobody's any more
			want := tokens.Get()
			r := <-done
			if name == "set" && r.Status != 200 || name == "clear" && r.Status != 401 || tokens.Get() != want {
				t.Errorf("%s: %v, token %v, want %v", name, r.Status, tokens.Get(), want)
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := false
		n := 0
		eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
		c := client(t, eng, auth.TokenFunc(func(context.Context) (auth.Token, error) {
			if fail {
				return auth.Token{}, errors.ErrUnsupported
			}
			n++
			return auth.Token{Access: fmt.Sprint(n), Type: "DPoP", Expiry: time.Now().Add(time.Minute)}, nil
		}))
		get(t, c, url)
		time.Sleep(54 * time.Second)
		get(t, c, url)
		time.Sleep(2 * time.Second) // four seconds before its end it is replaced
		get(t, c, url)
		time.Sleep(56 * time.Second)
		fail = true
		get(t, c, url) // good for a few seconds yet
		time.Sleep(5 * time.Second)
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if diff := cmp.Diff([]string{"DPoP 1", "DPoP 1", "DPoP 2", "DPoP 2"}, sent(eng, "Authorization")); diff != "" {
			t.Error(diff)
		}
	})
}

// TestBearerMatrix: what is sent, for tokens that are taken or not.
func TestBearerMatrix(t *testing.T) {
	token := func(s string) func(context.Context) (auth.Token, error) {
		return func(context.Context) (auth.Token, error) { return auth.Token{Access: s}, nil }
	}
	refresh := func(s string) func(context.Context, auth.Token) (auth.Token, error) {
		return func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: s}, nil }
	}
	lazy := func(*godwit.Request) bool { return false }
	for name, row := range map[string]struct {
		bearer    auth.Bearer
		challenge string
		want      []string
	}{
		"valid":                           {auth.Bearer{Load: token("t0")}, "Bearer", []string{"Bearer t0"}},
		"invalid, no refresh":             {auth.Bearer{Load: token("x")}, "Bearer", []string{"Bearer x"}},
		"invalid, refreshed":              {auth.Bearer{Load: token("x"), Refresh: refresh("t0")}, "Bearer", []string{"Bearer x", "Bearer t0"}},
		"invalid, refreshed, invalid":     {auth.Bearer{Load: token("x"), Refresh: refresh("y")}, "Bearer", []string{"Bearer x", "Bearer y"}},
		"other challenge":                 {auth.Bearer{Load: token("x"), Refresh: refresh("t0")}, "Basic", []string{"Bearer x", "Bearer t0"}},
		"no challenge":                    {auth.Bearer{Load: token("x"), Refresh: refresh("t0")}, "", []string{"Bearer x", "Bearer t0"}},
		"other realm":                     {auth.Bearer{Load: token("x"), Refresh: refresh("t0"), Realm: "r"}, `Bearer realm="s"`, []string{"Bearer x"}},
		"asked first":                     {auth.Bearer{Load: token("t0"), SendWithoutRequest: lazy}, "Bearer", []string{"-", "Bearer t0"}},
		"asked first, other challenge":    {auth.Bearer{Load: token("t0"), SendWithoutRequest: lazy}, "Basic", []string{"-"}},
		"asked first, invalid, refreshed": {auth.Bearer{Load: token("x"), SendWithoutRequest: lazy, Refresh: refresh("t0")}, "Bearer", []string{"-", "Bearer x", "Bearer t0"}},
		"nothing to load":                 {auth.Bearer{Refresh: refresh("t0")}, "Bearer", []string{"-", "Bearer t0"}},
		"no cache":                        {auth.Bearer{Load: token("x"), NoCache: true, Refresh: refresh("t0")}, "Bearer", []string{"Bearer x", "Bearer t0"}},
		"no cache, no refresh":            {auth.Bearer{Load: token("x"), NoCache: true}, "Bearer", []string{"Bearer x"}},
	} {
		eng := serve(wants("Bearer t0"))
		if row.challenge != "" {
			eng = serve(wants("Bearer t0", row.challenge))
		}
		resp := get(t, client(t, eng, row.bearer), url)
		if diff := cmp.Diff(row.want, sent(eng, "Authorization")); diff != "" || (resp.Status == 200) != (row.want[len(row.want)-1] == "Bearer t0") {
			t.Errorf("%s: %v %s", name, resp.Status, diff)
		}
	}
}

func TestNoCache(t *testing.T) {
	n := 0
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
	c := client(t, eng, auth.Bearer{NoCache: true, Load: func(context.Context) (auth.Token, error) { n++; return auth.Token{Access: fmt.Sprint(n)}, nil }})
	get(t, c, url)
	get(t, c, url)
	if got := sent(eng, "Authorization"); !slices.Equal(got, []string{"Bearer 1", "Bearer 2"}) {
		t.Errorf("%q", got)
	}
}

// TestStreamedBodyIsRefreshedFor: the refresh is made although the request cannot
// be sent again, so that the next one works.
func TestStreamedBodyIsRefreshedFor(t *testing.T) {
	eng := serve(wants("Bearer t1", "Bearer"))
	c := client(t, eng, auth.Bearer{Token: "t0", Refresh: func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: "t1"}, nil }})
	once := func() (*godwit.Response, error) {
		return c.Do(t.Context(), godwit.NewRequest("POST", url, godwit.Body(onceReader{strings.NewReader("once")})))
	}
	if _, err := once(); !errors.Is(err, godwit.ErrNotReplayable) {
		t.Errorf("%v", err)
	}
	if resp, err := once(); err != nil || resp.Text() != "in" {
		t.Errorf("%v, %v", resp, err)
	}
}

// onceReader hides that a reader can be rewound.
type onceReader struct{ r *strings.Reader }

func (o onceReader) Read(p []byte) (int, error) { return o.r.Read(p) }
