package godwit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// dialled is the mock engine with the hooks of an engine that makes connections:
// words of a script are calls, numbers milliseconds.
type dialled struct {
	*mock.Engine
	script string
}

func (e dialled) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	hook, broken := req.Trace, errors.New("broken")
	calls := map[string]func(){
		"ask":     func() { hook.PoolWait("route") },
		"lookup":  func() { hook.DNSStart("host") },
		"found":   func() { hook.DNSDone(nil, nil) },
		"dial":    func() { hook.ConnectStart("tcp", "address") },
		"dialled": func() { hook.ConnectDone("tcp", "address", nil) },
		"refused": func() { hook.ConnectDone("tcp", "address", broken) },
		"shake":   func() { hook.TLSStart() },
		"shaken":  func() { hook.TLSDone(tls.ConnectionState{}, nil) },
		"broken":  func() { hook.TLSDone(tls.ConnectionState{}, broken) },
		"got":     func() { hook.GotConn(engine.GotConn{}) },
		"reused":  func() { hook.GotConn(engine.GotConn{Reused: true}) },
	}
	for word := range strings.FieldsSeq(e.script) {
		if n, err := strconv.Atoi(word); err == nil {
			time.Sleep(time.Duration(n) * time.Millisecond)
			continue
		}
		calls[word]()
	}
	plain := *req
	plain.Trace = nil
	return e.Engine.Execute(ctx, &plain)
}

// TestPhases: what it takes to get a connection is told once and whole.
func TestPhases(t *testing.T) {
	const direct = "ask 10 lookup 20 found dial 30 dialled "
	for _, row := range []struct {
		name, url, script        string
		queue, dns, connect, tls time.Duration
	}{
		{"http", "http:", direct + "got", 10, 20, 30, 0},
		{"https", "https:", direct + "shake 40 shaken got", 10, 20, 30, 40},
		{"SOCKS", "http:", direct + "5 got", 10, 20, 35, 0},
		{"SOCKS, TLS", "https:", direct + "5 shake 40 shaken got", 10, 20, 35, 40},
		{"SOCKS, name looked up here", "http:", "ask lookup 1 found dial 2 dialled 4 lookup 8 found 16 got", 0, 9, 22, 0},
		{"https proxy", "http:", direct + "shake 40 shaken got", 10, 20, 70, 0},
		{"https proxy, TLS", "https:", direct + "shake 40 shaken 5 shake 50 shaken got", 10, 20, 75, 50},
		{"QUIC", "https:", "ask 10 lookup 20 found dial shake 30 shaken dialled got", 10, 20, 0, 30},
		{"QUIC, second address", "https:", "ask dial shake 10 dial shake 20 shaken dialled broken refused got", 0, 0, 0, 30},
		{"QUIC, second address after the first", "https:", "ask dial shake 10 broken refused dial shake 20 shaken dialled got", 0, 0, 10, 20},
		{"two addresses", "http:", "ask dial 10 dial 20 dialled refused got", 0, 0, 30, 0},
		{"used", "https:", "ask 10 reused", 10, 0, 0, 0},
		{"used, before its own was there", "https:", "ask 1 dial 2 dialled shake 4 reused 8 broken", 7, 0, 0, 0},
		{"stale", "https:", "ask 1 reused 2 ask 4 dial 8 dialled shake 16 shaken got", 4, 0, 8, 16},
		{"another engine's turn", "https:", "ask lookup 1 found dial 2 dialled shake 4 broken ask 8 got", 15, 0, 0, 0},
		{"wordless", "http:", "", 0, 0, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := godwit.New(godwit.WithEngineInstance(dialled{mock.New(mock.OK("ok")), row.script}))
				defer c.Close()
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", row.url+"//example.org/", godwit.Timed()))
				if err != nil {
					t.Fatal(err)
				}
				m := resp.Call().Timings()
				got, want := [4]time.Duration{m.Queue, m.DNS, m.Connect, m.TLS}, [4]time.Duration{row.queue, row.dns, row.connect, row.tls}
				for i := range want {
					want[i] *= time.Millisecond
				}
				if got != want {
					t.Errorf("queue, DNS, connect, TLS are %v, want %v", got, want)
				}
			})
		})
	}
}

// TestTimedTLS: a connection that is used again has the state of its handshake.
func TestTimedTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	defer server.Close()
	trust := godwit.EngineConfig(func(c *engine.Config) { c.TLS = server.Client().Transport.(*http.Transport).TLSClientConfig })
	for name, factory := range testEngines() {
		t.Run(name, func(t *testing.T) {
			c := godwit.New(godwit.WithEngine(factory), trust)
			defer c.Close()
			for i := range 2 {
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", server.URL, godwit.Timed()))
				if err != nil {
					t.Fatal(err)
				}
				m := resp.Call().Timings()
				if fresh := i == 0; m.Reused == fresh || (m.Connect > 0) != fresh || (m.TLS > 0) != fresh || m.Queue+m.DNS+m.Connect+m.TLS > m.Total {
					t.Errorf("request %d: %+v", i, m)
				}
				if m.TLSState == nil || m.TLSState != resp.TLS() {
					t.Errorf("request %d: TLS state %p, the response has %p", i, m.TLSState, resp.TLS())
				}
			}
		})
	}
}
