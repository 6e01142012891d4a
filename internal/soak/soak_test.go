// Package soak_test lets a crowd of goroutines send requests by the client and
// cio through servers and a proxy that fail in every way, and checks of each call
// that it ends, in the right result or in a typed error, and of all together
// that nothing is mixed up and nothing is left.
//
//	go test ./internal/soak -soak             1,000,000 requests
//	go test ./internal/soak -seed 42          the choices of an earlier run
//	go test ./internal/soak -requests 5000
package soak_test

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

var (
	long     = flag.Bool("soak", false, "send 1,000,000 requests")
	requests = flag.Int("requests", defaultRequests, "how many requests to send")
	seed     = flag.Uint64("seed", 0, "seed of all random choices; 0 = a new one")
)

func TestMain(m *testing.M) { flag.Parse(); leakcheck.Main(m) }

const (
	crowd = 64
	// patience is what a call gets that nothing holds up. It is far more than any
	// needs, so that a call that runs into it was stuck.
	patience = 60 * time.Second
)

// soak is one run.
type soak struct {
	t      *testing.T
	client *godwit.Client
	plain  *server
	secure *server
	proxy  *proxy

	next     atomic.Int64
	total    int64
	seed     uint64
	opened   atomic.Int64 // request bodies
	closed   atomic.Int64
	failures atomic.Int64

	mu    sync.Mutex // guards tally
	tally map[string]int
}

func TestSoak(t *testing.T) {
	s := &soak{t: t, total: int64(*requests), seed: *seed, tally: make(map[string]int)}
	if *long {
		s.total = 1_000_000
	}
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	t.Logf("-requests %d -seed %d", s.total, s.seed)
	s.plain, s.secure = newServer(t, nil), newServer(t, newCertificate(t))
	s.proxy = newProxy(t, s.plain.addr(), s.seed)
	e := cio.Config{MaxConnectionsPerRoute: crowd - 8, KeepAlive: time.Minute}.New(engine.Config{
		Proxy: engine.NoProxy, TLS: &tls.Config{InsecureSkipVerify: true},
	})
	s.client = godwit.New(godwit.WithEngineInstance(e))
	began := time.Now()
	var wg sync.WaitGroup
	for g := range crowd {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(s.seed, uint64(g)))
			for id := s.next.Add(1); id <= s.total && s.failures.Load() < 20; id = s.next.Add(1) {
				s.call(r, id)
				if id%50_000 == 0 {
					t.Logf("%d after %v", id, time.Since(began).Round(time.Second))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%v, %d connections to the servers, %d to the proxy", time.Since(began).Round(time.Millisecond),
		s.plain.listener.Accepted()+s.secure.listener.Accepted(), s.proxy.listener.Accepted())
	s.mu.Lock()
	for _, what := range slices.Sorted(func(yield func(string) bool) {
		for k := range s.tally {
			if !yield(k) {
				return
			}
		}
	}) {
		t.Logf("%8d %s", s.tally[what], what)
	}
	s.mu.Unlock()
	s.nothingIsLeft(e)
}

func (s *soak) nothingIsLeft(e *cio.Engine) {
	if err := s.client.Join(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	if st := e.Stats(); st.Open != st.Idle || st.Waiting != 0 {
		s.t.Errorf("when all calls had ended: %+v", st)
	}
	s.client.Close()
	e.Close()
	if st := e.Stats(); st.Open != 0 {
		s.t.Errorf("when the engine was closed: %+v", st)
	}
	s.plain.listener.WaitClosed(s.t)
	s.secure.listener.WaitClosed(s.t)
	s.proxy.listener.WaitClosed(s.t)
	if opened, closed := s.opened.Load(), s.closed.Load(); opened != closed {
		s.t.Errorf("%d request bodies were opened, %d closed", opened, closed)
	}
}

// plan is all that was chosen for one call.
type plan struct {
	id       int64
	fate     fate
	method   string
	route    string // "plain", "TLS", "forward", "tunnel"
	size     int    // of the response's body
	upload   int    // of the request's; 0 = none
	way      string // to read: "do", "stream", "abandon", "close"
	cancel   time.Duration
	timeout  time.Duration
	chunked  bool
	inMemory bool
}

func (p *plan) proxied() bool { return p.route == "forward" || p.route == "tunnel" }

func (p *plan) String() string { return fmt.Sprintf("%+v", *p) }

func choose(r *rand.Rand, id int64) *plan {
	p := &plan{id: id, method: "GET", timeout: patience, cancel: -1}
	p.fate = fates[r.IntN(len(fates))]
	if r.IntN(2) == 0 { // half of all goes well at the server
		p.fate = fates[r.IntN(goodFates)]
	}
	p.route = []string{"plain", "plain", "plain", "TLS", "forward", "tunnel"}[r.IntN(6)]
	p.size = r.IntN(500)
	if r.IntN(20) == 0 && !p.fate.small {
		p.size = r.IntN(200_000)
	}
	if r.IntN(3) == 0 {
		p.method = []string{"POST", "PUT"}[r.IntN(2)]
		p.upload = 1 + r.IntN(500)
		if r.IntN(10) == 0 {
			p.upload = r.IntN(200_000)
		}
		p.chunked, p.inMemory = r.IntN(2) == 0, r.IntN(2) == 0
	}
	p.way = []string{"do", "do", "do", "stream", "stream", "abandon", "close"}[r.IntN(7)]
	if p.fate.hangs {
		p.timeout = time.Duration(1+r.IntN(20)) * time.Millisecond
	}
	switch r.IntN(12) {
	case 0:
		p.cancel = time.Duration(r.IntN(3000)) * time.Microsecond
	case 1:
		p.cancel = 0
	}
	return p
}

// call runs one call and judges it.
func (s *soak) call(r *rand.Rand, id int64) {
	p := choose(r, id)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	switch {
	case p.cancel == 0:
		go cancel()
	case p.cancel > 0:
		defer time.AfterFunc(p.cancel, cancel).Stop()
	}
	err := s.send(ctx, p)
	if bad := p.judge(err); bad != "" {
		s.failures.Add(1)
		s.t.Errorf("%s\n%v\n%v", bad, p, err)
	}
	s.count(p, err)
}

func (s *soak) send(ctx context.Context, p *plan) error {
	req := s.request(p)
	switch p.way {
	case "do":
		resp, err := s.client.Do(ctx, req)
		if err != nil {
			return err
		}
		return p.check(resp, resp.Bytes(), true)
	case "stream":
		return s.client.Stream(ctx, req, func(resp *godwit.Response) error {
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			return p.check(resp, body, true)
		})
	}
	resp, err := s.client.Open(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Close()
	part := make([]byte, p.size/2)
	if p.way == "close" {
		part = nil
	}
	switch n, err := io.ReadFull(resp.Body, part); err {
	case nil:
		return p.check(resp, part, false)
	case io.EOF, io.ErrUnexpectedEOF: // ReadFull's own: the body has ended well
		return p.check(resp, part[:n], true)
	default:
		return err
	}
}

func (s *soak) request(p *plan) *godwit.Request {
	base := s.plain.url
	opts := []godwit.Option{
		godwit.Header("Id", key(p.id)), godwit.Header("Fate", p.fate.name), godwit.Header("Size", fmt.Sprint(p.size)),
		godwit.Timeout(p.timeout),
	}
	switch p.route {
	case "TLS":
		base = s.secure.url
	case "forward":
		opts = append(opts, godwit.ProxyBy(engine.FixedProxy(s.proxy.url)))
	case "tunnel":
		base = s.secure.url
		opts = append(opts, godwit.ProxyBy(engine.FixedProxy(s.proxy.url)))
	}
	if p.upload > 0 {
		opts = append(opts, godwit.Body(s.body(p)))
	}
	return godwit.NewRequest(p.method, base, opts...)
}

// body makes a request's body, whose opening and closing is counted.
func (s *soak) body(p *plan) content.Content {
	if p.inMemory {
		return content.Bytes(payload(p.id, p.upload), "")
	}
	length := int64(p.upload)
	if p.chunked {
		length = -1
	}
	return content.Opener(func(context.Context) (io.ReadCloser, error) {
		s.opened.Add(1)
		return &counted{Reader: strings.NewReader(string(payload(p.id, p.upload))), closes: &s.closed}, nil
	}, "application/octet-stream", length)
}

type counted struct {
	io.Reader
	once   sync.Once
	closes *atomic.Int64
}

func (c *counted) Close() error {
	c.once.Do(func() { c.closes.Add(1) })
	return nil
}

// wrong is a result that is not the request's.
type wrong struct{ what string }

func (w *wrong) Error() string { return w.what }

// check compares a response, or the first part of it, with what the server
// sends to this request and no other.
func (p *plan) check(resp *godwit.Response, body []byte, whole bool) error {
	if resp.Status == 502 && p.proxied() && resp.Header.Get("Id") == "" {
		return errProxySaysNo
	}
	if got := resp.Header.Get("Id"); got != key(p.id) {
		return &wrong{fmt.Sprintf("status %v with id %q", resp.Status, got)}
	}
	want := payload(p.id, p.size)
	if p.fate.empty {
		want = nil
	}
	if !whole || p.fate.name == "until-close" && p.proxied() { // its end is any end
		want = want[:min(len(want), len(body))]
	}
	if string(body) != string(want) {
		return &wrong{fmt.Sprintf("a body of %d bytes that begins %.50q is not the one of %d bytes that was sent", len(body), body, len(want))}
	}
	return nil
}

var errProxySaysNo = errors.New("the proxy says no")

// judge returns what is wrong with the end of a call; "" = nothing.
func (p *plan) judge(err error) string {
	if err == nil {
		if !p.fate.good && !p.fate.may && p.way != "abandon" && p.way != "close" {
			return "a response that was never completed was accepted"
		}
		return ""
	}
	if w, ok := errors.AsType[*wrong](err); ok {
		return w.what
	}
	if errors.Is(err, errProxySaysNo) {
		return ""
	}
	e, ok := errors.AsType[*godwit.Error](err)
	switch {
	case !ok || e.Op == "" || e.Err == nil:
		return fmt.Sprintf("an error of type %T", err)
	case errors.Is(err, context.Canceled) && p.cancel < 0:
		return "cancelled by nobody"
	case e.Timeout() && p.timeout == patience:
		return "stuck"
	case p.fate.good && p.method != "POST" && p.cancel < 0 && !p.proxied():
		return "a good response was refused"
	}
	return ""
}

func (s *soak) count(p *plan, err error) {
	what := "right result"
	if e, ok := errors.AsType[*godwit.Error](err); ok {
		what = "error in phase " + string(e.Op)
		switch {
		case errors.Is(err, context.Canceled):
			what = "cancelled"
		case e.Timeout():
			what = "timeout"
		}
	} else if err != nil {
		what = "answer of the proxy's own"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally[p.route+": "+what]++
}

// key is an id as it travels.
func key(id int64) string { return fmt.Sprintf("%015x.", id) }

// payload is the body that belongs to an id.
func payload(id int64, n int) []byte {
	block := key(id)
	return []byte(strings.Repeat(block, n/len(block)+1)[:n])
}

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
