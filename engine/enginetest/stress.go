package enginetest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func stressTests() []test {
	return []test{
		{name: "NoMixups", run: func(t *T) { t.stress(t.engine(), t.realServer(nil)) }},
		{name: "NoMixupsTLS", needs: engine.TLSConfig, run: stressTLS},
		{name: "NoMixupsWithLimits", needs: engine.ConnectionLimits, run: func(t *T) {
			t.stress(t.engine(func(c *engine.Config) { c.MaxConnections, c.MaxConnectionsPerRoute = 4, 4 }), t.realServer(nil))
		}},
		{name: "FaultyServer", run: stressFaults},
		{name: "ManyEngines", run: stressEngines},
	}
}

// realServer starts the standard library's server: it answers with a body that
// is made of the request's id, or of the request's body. tlsConfig is nil for a
// plain one.
func (t *T) realServer(tlsConfig *tls.Config) string {
	t.Helper()
	inner, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := leakcheck.Listen(inner)
	srv := &http.Server{Handler: http.HandlerFunc(answerByID), TLSConfig: tlsConfig, ErrorLog: quietLog()}
	if t.s.bridged() {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if tlsConfig == nil {
			srv.Serve(l)
		} else {
			srv.ServeTLS(l, "", "")
		}
	})
	t.onServerEnd(func() {
		l.WaitClosed(t)
		srv.Close()
		serving.Wait()
	})
	if tlsConfig == nil {
		return "http://" + l.Addr().String()
	}
	return "https://" + l.Addr().String()
}

func answerByID(w http.ResponseWriter, r *http.Request) {
	id, size := r.URL.Query().Get("id"), 0
	size, _ = strconv.Atoi(r.URL.Query().Get("size"))
	w.Header().Set("X-Id", id)
	if r.Method == "POST" {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Write(b)
		return
	}
	if size%2 == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	io.WriteString(w, idBody(id, size))
}

// idBody is a body of size bytes that says whose it is.
func idBody(id string, size int) string {
	word := "<" + id + ">"
	return strings.Repeat(word, size/len(word)+1)[:size]
}

// stress runs 64 goroutines with random sizes, methods and cancellations.
func (t *T) stress(e engine.Engine, url string) {
	t.Helper()
	var ids, succeeded atomic.Int64
	var wg sync.WaitGroup
	for worker := range 64 {
		random := rand.New(rand.NewPCG(uint64(worker), 42))
		wg.Go(func() {
			for range 20 {
				if t.stressOne(e, url, itoa(int(ids.Add(1))), random) {
					succeeded.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := succeeded.Load(); n < 64*20/2 {
		t.Errorf("%d of %d requests succeeded; at most a quarter is cancelled", n, 64*20)
	}
	t.get(e, url+"?id=last&size=10", 200, idBody("last", 10))
}

// stressOne runs one request; it reports success and fails the test for an
// answer that is not its own, or an error that nobody caused.
func (t *T) stressOne(e engine.Engine, url, id string, random *rand.Rand) bool {
	size := random.IntN(20_000)
	req := t.request("GET", url+"?id="+id+"&size="+itoa(size))
	want := idBody(id, size)
	switch random.IntN(4) {
	case 0:
		req.Method, req.Body = "POST", stream(want)
	case 1:
		req.Method, req.Body = "POST", inMemory(want)
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	cancels, leaves := random.IntN(8) == 0, random.IntN(8) == 0
	if cancels {
		defer time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, cancel).Stop()
	}
	resp, err := e.Execute(ctx, req)
	var got []byte
	if err == nil {
		defer resp.Body.Close()
		if resp.Status != 200 || resp.Header.Get("X-Id") != id {
			t.Errorf("request %s got status %d, X-Id %q", id, resp.Status, resp.Header.Get("X-Id"))
		}
		if leaves {
			return true
		}
		got, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		if !cancels || !errors.Is(err, context.Canceled) {
			t.Errorf("request %s (cancelled: %v): %v", id, cancels, err)
		}
		return false
	}
	if string(got) != want {
		t.Errorf("request %s got %s, want %s", id, cut(string(got)), cut(want))
	}
	return true
}

func stressTLS(t *T) {
	ca := t.authority()
	t.stress(t.engine(ca.trust()), t.realServer(ca.serverConfig()))
}

// stressFaults: a server that breaks off in every state; each request ends in
// its own answer or in an error that says what happened.
func stressFaults(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		random := rand.New(rand.NewPCG(uint64(c.N), 7))
		for {
			r := c.request()
			answer := response(r.Target, "X-Target: "+r.Target)
			if random.IntN(2) == 0 {
				answer = "HTTP/1.1 200 OK\r\nX-Target: " + r.Target + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
					strconv.FormatInt(int64(len(r.Target)), 16) + "\r\n" + r.Target + "\r\n0\r\n\r\n"
			}
			switch random.IntN(6) {
			case 0:
				c.write(answer[:random.IntN(len(answer))])
				c.end()
				return
			case 1:
				c.write(answer[:random.IntN(len(answer))])
				c.reset()
				return
			case 2:
				c.write(answer, "garbage")
			case 3:
				c.write(answer)
				c.end()
				return
			default:
				c.write(answer)
			}
		}
	})
	var wg sync.WaitGroup
	var succeeded atomic.Int32
	for worker := range 32 {
		wg.Go(func() {
			for i := range 30 {
				if t.faulty(e, s.URL, "/"+itoa(worker)+"/"+itoa(i)) {
					succeeded.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if succeeded.Load() == 0 {
		t.Error("no request succeeded")
	}
}

func (t *T) faulty(e engine.Engine, url, target string) bool {
	resp, err := e.Execute(t.ctx, t.request("GET", url+target))
	var got []byte
	if err == nil {
		defer resp.Body.Close()
		if id := resp.Header.Get("X-Target"); id != target {
			t.Errorf("%s got the answer to %s", target, id)
		}
		got, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		if string(got) != target {
			t.Errorf("%s got body %q", target, got)
		}
		return true
	}
	if _, ok := errors.AsType[*engine.OpError](err); !ok {
		t.Errorf("%s: error %v (%T) is no *engine.OpError", target, err, err)
	}
	if !strings.HasPrefix(target, string(got)) {
		t.Errorf("%s got %q before the error %v", target, got, err)
	}
	return false
}

func stressEngines(t *T) {
	url := t.realServer(nil)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 20 {
				e, err := t.s.make(t.s.base(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				id := itoa(worker*100 + i)
				resp, err := e.Execute(t.ctx, t.request("GET", url+"?id="+id+"&size=100"))
				if err != nil {
					t.Error(err)
				} else if b, err := io.ReadAll(resp.Body); string(b) != idBody(id, 100) || err != nil {
					t.Errorf("request %s: %q, %v", id, b, err)
				} else {
					resp.Body.Close()
				}
				e.Close()
			}
		})
	}
	wg.Wait()
}
