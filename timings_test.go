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
	"github.com/godwit-go/godwit/header"
)

// dialled is the mock engine with the hooks of an engine that makes connections:
// words of a script are calls, numbers milliseconds. Then its head is there.
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
		"wrote":   func() { hook.WroteRequest(nil) },
		"failed":  func() { hook.WroteRequest(broken) },
		"byte":    func() { hook.FirstByte() },
		"interim": func() { hook.Informational(103, header.Header{}) },
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
		{"stale", "https:", "ask 1 reused 2 ask 4 dial 8 dialled shake 16 shaken got", 7, 0, 8, 16},
		{"bounded before it asks", "https:", "1 ask 2 dial 4 dialled shake 8 shaken got", 3, 0, 4, 8},
		{"another engine's turn", "https:", "ask lookup 1 found dial 2 dialled shake 4 broken ask 8 got", 15, 0, 0, 0},
		{"wordless", "http:", "", 0, 0, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := timed(t, row.url, row.script, 0)
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

// timed sends a request whose engine follows the script, and reads a body that
// takes as long as told. The phases must leave no time out.
func timed(t *testing.T, url, script string, body time.Duration) godwit.Timings {
	t.Helper()
	c := godwit.New(godwit.WithEngineInstance(dialled{mock.New(mock.OK("ok")), script}))
	defer c.Close()
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", url+"//example.org/", godwit.Timed()))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(body)
	if err := resp.Close(); err != nil {
		t.Error(err)
	}
	m := resp.Call().Timings()
	wantWhole(t, m)
	return m
}

// wantWhole checks that the phases together are Total.
func wantWhole(t *testing.T, m godwit.Timings) {
	t.Helper()
	if sum := m.Queue + m.DNS + m.Connect + m.TLS + m.Send + m.FirstByte + m.Body; sum != m.Total {
		t.Errorf("the phases are %v of %v: %+v", sum, m.Total, m)
	}
}

// TestPhasesOfExchange: whatever comes first, the end of the request or the answer,
// and however often.
func TestPhasesOfExchange(t *testing.T) {
	const body = 1000
	for _, row := range []struct {
		name, script           string
		send, firstByte, after time.Duration
	}{
		{"simple", "got 1 wrote 2 byte 4", 1, 2, 4 + body},
		{"early hints", "got 1 wrote 2 byte interim 4 interim 8", 1, 14, body},
		{"100 Continue", "got 1 byte interim 2 wrote 4", 3, 4, body},
		{"100 Continue and early hints", "got 1 byte interim 2 interim 4 wrote 8", 7, 8, body},
		{"answered before it was written", "got 1 byte 2", 1, 0, 2 + body},
		{"written after the answer", "got 1 byte 2 wrote 4", 1, 0, 6 + body},
		{"broken off", "got 1 failed 2 byte 4", 1, 2, 4 + body},
		{"written on a dead connection", "reused 1 wrote 2 ask 4 got 8 byte 16", 8, 0, 16 + body},
		{"answered on another connection", "got 1 wrote 2 byte 4 ask 8 got 16 wrote 32", 16, 32, body},
		{"the engine tells of no byte", "got 1 wrote 2", 1, 2, body},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := timed(t, "http:", row.script, body*time.Millisecond)
				got, want := [3]time.Duration{m.Send, m.FirstByte, m.Body}, [3]time.Duration{row.send, row.firstByte, row.after}
				for i := range want {
					want[i] *= time.Millisecond
				}
				if got != want {
					t.Errorf("send, first byte, body are %v, want %v", got, want)
				}
			})
		})
	}
}

// TestTimedWaits: the waits that are hard to see are in the phase where they belong,
// on engines that know the events.
func TestTimedWaits(t *testing.T) {
	hinted, answered, wrote := make(chan bool, 1), make(chan time.Time, 1), make(chan bool, 1)
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			http.NewResponseController(w).EnableFullDuplex()
			http.NewResponseController(w).Flush()
			io.Copy(io.Discard, r.Body) // until the client gives up
		case "/":
			<-wrote // the hook does not wait for the answer
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
			<-hinted
			answered <- time.Now()
		}
	}, func(t *testing.T, c *godwit.Client, url string) {
		open := func(path string, opts ...godwit.Option) (*godwit.Response, godwit.Timings) {
			resp, err := c.Open(t.Context(), godwit.NewRequest("POST", url+path, append(opts, godwit.Timed())...))
			if err != nil {
				t.Fatal(err)
			}
			return resp, resp.Call().Timings()
		}
		end := func(resp *godwit.Response) godwit.Timings {
			resp.Close()
			m := resp.Call().Timings()
			wantWhole(t, m)
			return m
		}
		body, unwritten := io.Pipe()
		early, m := open("/early", godwit.Body(body))
		if m.Send <= 0 || m.FirstByte != 0 {
			t.Errorf("answered before the request was written: %+v", m)
		}
		sending := make(chan bool, 1)
		next := godwit.Async(t.Context(), func(ctx context.Context) (*godwit.Response, error) {
			return c.Open(ctx, godwit.NewRequest("GET", url, godwit.Timed(),
				godwit.Trace(&engine.Trace{WroteRequest: func(error) { wrote <- true }}),
				godwit.On(func(context.Context, godwit.Sending) { sending <- true })))
		})
		<-sending // whether it waits by now or not, what is checked holds
		freed := time.Now()
		end(early)
		unwritten.Close()
		resp, err := next.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m := end(resp); m.Start.Add(m.Queue).Before(freed) {
			t.Errorf("had to wait for a place until %v: %+v", freed, m)
		}
		hints, _ := open("/hints", godwit.Trace(&engine.Trace{Informational: func(int, header.Header) error {
			hinted <- true
			return nil
		}}))
		if m := end(hints); m.Start.Add(m.Total - m.Body).Before(<-answered) {
			t.Errorf("answered after early hints: %+v", m)
		}
	}, godwit.EngineConfig(func(cfg *engine.Config) { cfg.MaxConcurrent = 1 }))
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
