package cio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// TestCrowd sends many different requests from 64 goroutines, some of which are
// cancelled or leave the body unread; every answer must belong to its request,
// and nothing may be left open.
func TestCrowd(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			var open atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if r.Header.Get("Drop") != "" {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Id", r.Header.Get("Id"))
				for range 1 + len(b)%3 {
					w.Write([]byte(r.Header.Get("Id")))
				}
				w.Write(b)
			}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // cancelled handshakes
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed, http.StateHijacked:
					open.Add(-1)
				}
			}
			config := cio.Config{MaxConnectionsPerRoute: 16}
			if secure {
				s.StartTLS()
				config.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
			} else {
				s.Start()
			}
			defer s.Close()
			e := newEngine(t, config)
			u := mustURL(t, s.URL)
			var wg sync.WaitGroup
			for g := range 64 {
				wg.Go(func() {
					for i := range 25 {
						if err := crowdCall(t.Context(), e, &engine.Request{Method: "POST", URL: u}, fmt.Sprintf("<%d/%d>", g, i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if st := e.Stats(); st.Open != st.Idle || st.Open > 16 || st.Waiting != 0 {
				t.Errorf("%+v", st)
			}
			e.Close()
			eventually(t, "the server has no connections", func() bool { return open.Load() == 0 })
		})
	}
}

func crowdCall(ctx context.Context, e *cio.Engine, req *engine.Request, id string) error {
	body := bytes.Repeat([]byte("x"), rand.IntN(100_000))
	req.Header = header.New("Id", id)
	switch rand.IntN(3) {
	case 0:
		req.Body = content.Bytes(body, "")
	case 1:
		req.Body = streamed(string(body), int64(len(body)))
	case 2:
		req.Body = streamed(string(body), -1)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fate := rand.IntN(8)
	switch fate {
	case 0:
		go cancel()
	case 1:
		req.Header.Add("Drop", "1")
	}
	resp, err := e.Execute(ctx, req)
	switch {
	case err != nil && fate <= 1:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", id, err)
	}
	defer resp.Body.Close()
	if fate == 2 {
		return nil // unread
	}
	got, err := io.ReadAll(resp.Body)
	if fate == 0 && err != nil {
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: cancelled, but %w", id, err)
		}
		return nil
	}
	want := string(bytes.Repeat([]byte(id), 1+len(body)%3)) + string(body)
	if err != nil || string(got) != want || resp.Header.Get("Id") != id {
		return fmt.Errorf("%s: id %s, %d bytes of %d, %w", id, resp.Header.Get("Id"), len(got), len(want), err)
	}
	return nil
}

func TestGoHook(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.take(len("5\r\nhello\r\n0\r\n\r\n"))
		c.send(ok)
		c.rest()
	})
	var started atomic.Int32
	e := newEngine(t, cio.Config{Go: func(f func()) { started.Add(1); go f() }})
	mustFetch(t, e, p.post(streamed("hello", -1)))
	if started.Load() == 0 {
		t.Error("the body's goroutine was not started by Config.Go")
	}
}

func TestTrace(t *testing.T) {
	p := newPeer(t, answering("HTTP/1.1 103 E\r\nLink: x\r\n\r\n"+ok))
	e := newEngine(t, cio.Config{})
	for i := range 2 {
		var events []string
		note := func(s string) { events = append(events, s) }
		req := p.get()
		req.Trace = &engine.Trace{
			PoolWait: func(route string) { note("wait") },
			GotConn: func(g engine.GotConn) {
				note(fmt.Sprint("conn ", g.Reused, g.Local != nil, g.Remote.String() == p.url.Host))
			},
			ConnectStart:  func(string, string) { note("connect") },
			ConnectDone:   func(string, string, error) { note("connected") },
			WroteHeader:   func() { note("head") },
			WroteRequest:  func(err error) { note(fmt.Sprint("request ", err)) },
			Informational: func(status int, h header.Header) error { note(fmt.Sprint(status, h.Get("Link"))); return nil },
			FirstByte:     func() { note("byte") },
			PutIdle:       func(err error) { note(fmt.Sprint("idle ", err)) },
		}
		mustFetch(t, e, req)
		want := "[wait connect connected conn false true true head request <nil> byte 103x idle <nil>]"
		if i == 1 {
			want = "[wait conn true true true head request <nil> byte 103x idle <nil>]"
		}
		if got := fmt.Sprint(events); got != want {
			t.Errorf("events\n%s\nwant\n%s", got, want)
		}
	}
}

func TestInformationalErrorEndsTheExchange(t *testing.T) {
	p := newPeer(t, answering("HTTP/1.1 103 E\r\n\r\n"+ok))
	e := newEngine(t, cio.Config{})
	req := p.get()
	req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return errSource }}
	if _, err := e.Execute(t.Context(), req); !errors.Is(err, errSource) {
		t.Errorf("error = %v", err)
	}
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}
