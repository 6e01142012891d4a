package h2_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest/frametest"
	"github.com/godwit-go/godwit/engine/h2"
)

// priorities is a server that answers each request by "ok" and holds the end of
// the body back until it gets PRIORITY_UPDATE; it tells the priorities it gets.
func priorities(t *testing.T) (*frametest.Server, chan string, *tls.Config) {
	t.Helper()
	got := make(chan string, 10)
	s := serve(t, true, nil)
	config := frametest.Config{TLS: &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}}}
	client := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.NextProtos = nil
	return frametest.Serve(t, config, func(c *frametest.Conn) {
		for {
			switch f := c.Next().(type) {
			case nil:
				return
			case *http2.HeadersFrame:
				got <- c.Fields(f)["priority"]
				c.Headers(f.StreamID, false, ":status", "200")
				c.WriteData(f.StreamID, false, []byte("ok"))
			case *http2.PriorityUpdateFrame:
				got <- "update " + f.Priority
				c.WriteData(f.PrioritizedStreamID, true, nil)
			}
		}
	}), got, client
}

// TestPriority: what is on the wire of the priority that a user of the client
// gives, by both engines.
func TestPriority(t *testing.T) {
	s, got, trust := priorities(t)
	config := h2.Config{TLS: trust, Proxy: engine.NoProxy}
	withDefault := config
	withDefault.Priority = &h2.Priority{Urgency: 6}
	for _, tc := range []struct {
		name    string
		factory engine.Factory
		set     func(r *godwit.Request)
		want    string
	}{
		{"none", config, func(*godwit.Request) {}, ""},
		{"the engine's", withDefault, func(*godwit.Request) {}, "u=6"},
		{"key", withDefault, func(r *godwit.Request) { h2.PriorityKey.Set(&r.Attributes, h2.Priority{Urgency: 1, Incremental: true}) }, "u=1, i"},
		{"field", withDefault, func(r *godwit.Request) { r.Header.Set("Priority", "u=0") }, "u=0"},
		{"handle", withDefault, func(r *godwit.Request) {
			h2.PriorityHandleKey.Set(&r.Attributes, h2.NewPriorityHandle(h2.Priority{Urgency: 2}))
		}, "u=2"},
		{"cio, none", cio.Config{TLS: trust, Proxy: engine.NoProxy}, func(*godwit.Request) {}, ""},
		{"cio, key", cio.Config{TLS: trust, Proxy: engine.NoProxy}, func(r *godwit.Request) {
			h2.PriorityKey.Set(&r.Attributes, h2.DefaultPriority)
		}, "u=3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := godwit.New(godwit.WithEngine(tc.factory))
			defer c.Close()
			req := godwit.NewRequest("GET", s.URL)
			tc.set(req)
			resp, err := c.Open(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Close()
			if p := <-got; p != tc.want {
				t.Errorf("priority %q, want %q", p, tc.want)
			}
		})
	}
}

// TestPriorityHandle: an update of a running request is a PRIORITY_UPDATE frame,
// whatever the client has made of the response; one before and after is none.
func TestPriorityHandle(t *testing.T) {
	s, got, trust := priorities(t)
	for _, factory := range []engine.Factory{
		h2.Config{TLS: trust, Proxy: engine.NoProxy},
		cio.Config{TLS: trust, Proxy: engine.NoProxy},
	} {
		t.Run(factory.Name(), func(t *testing.T) {
			c := godwit.New(godwit.WithEngine(factory))
			defer c.Close()
			handle := h2.NewPriorityHandle(h2.Priority{Urgency: 7})
			handle.Update(h2.Priority{Urgency: 5})
			req := godwit.NewRequest("GET", s.URL)
			h2.PriorityHandleKey.Set(&req.Attributes, handle)
			for _, first := range []string{"u=5", "u=0, i"} { // the second time it is kept
				resp, err := c.Open(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if p := <-got; p != first {
					t.Errorf("priority %q, want %q", p, first)
				}
				handle.Update(h2.Priority{Urgency: 0, Incremental: true})
				select {
				case p := <-got:
					if p != "update u=0, i" {
						t.Errorf("got %q", p)
					}
				case <-time.After(5 * time.Second):
					t.Fatal("no PRIORITY_UPDATE")
				}
				if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				resp.Close()
				handle.Update(h2.Priority{Urgency: 0, Incremental: true}) // nothing runs
			}
			if len(got) > 0 {
				t.Errorf("after the end: %q", <-got)
			}
		})
	}
}
