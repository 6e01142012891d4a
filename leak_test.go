package godwit_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// faulty is a TCP server that fails in the way which the request's path names.
type faulty struct {
	listener *leakcheck.Listener
	url      string
	done     sync.WaitGroup
}

// faults are the ways, and whether a GET for them must succeed.
var faults = map[string]bool{
	"ok": true, "chunked": true, "until-close": true, "empty": true, "one-by-one": true,
	"close": false, "reset": false, "garbage": false, "half-head": false, "short": false, "half-chunk": false,
	"reset-in-body": false, "hang": false, "hang-in-head": false, "hang-in-body": false,
}

func newFaulty(t *testing.T, cert *tls.Config) *faulty {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &faulty{listener: leakcheck.Listen(l), url: "http://" + l.Addr().String()}
	var accept net.Listener = s.listener
	if cert != nil {
		accept, s.url = tls.NewListener(s.listener, cert), "https://"+l.Addr().String()
	}
	s.done.Go(func() {
		for {
			conn, err := accept.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { defer conn.Close(); s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.listener.CloseConns()
		s.done.Wait()
	})
	return s
}

func (s *faulty) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		length := 0
		for field := ""; field != "\r\n"; {
			if field, err = r.ReadString('\n'); err != nil {
				return
			}
			fmt.Sscanf(strings.ToLower(field), "content-length: %d", &length)
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		_, path, _ := strings.Cut(line, "/")
		fault, _, _ := strings.Cut(path, " ")
		if !s.answer(conn, r, fault) {
			return
		}
	}
}

// answer reports whether the connection can be used on.
func (s *faulty) answer(conn net.Conn, r *bufio.Reader, fault string) bool {
	say := func(format string, args ...any) { fmt.Fprintf(conn, format, args...) }
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	switch fault {
	case "ok":
		say(head + "0123456789")
		return true
	case "chunked":
		say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n")
		return true
	case "empty":
		say("HTTP/1.1 204 No Content\r\n\r\n")
		return true
	case "one-by-one":
		for _, b := range []byte(head + "0123456789") {
			if _, err := conn.Write([]byte{b}); err != nil {
				return false
			}
		}
		return true
	case "until-close":
		say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789")
	case "reset":
		reset(conn)
	case "garbage":
		say("\x16\x03\x01 no HTTP at all\r\n\r\n")
	case "half-head":
		say("HTTP/1.1 200 OK\r\nContent-Le")
	case "short":
		say(head + "0123")
	case "half-chunk":
		say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n01")
	case "reset-in-body":
		say(head + "0123")
		reset(conn)
	case "hang-in-head":
		say("HTTP/1.1 200 OK\r\nX: ")
		r.ReadByte()
	case "hang-in-body":
		say(head + "0123")
		r.ReadByte()
	case "hang":
		r.ReadByte()
	}
	return false
}

func reset(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := leakcheck.Unwrap(conn).(*net.TCPConn); ok {
		t.SetLinger(0)
		t.Close()
	}
}

// testEngines are the engines that hold the promise of this file.
func testEngines() map[string]engine.Factory {
	return map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}}
}

// TestNothingLeaks: 10,000 calls with every kind of failure leave no goroutine,
// connection or pool slot behind, in the client, the engine and the server.
func TestNothingLeaks(t *testing.T) {
	calls := 10_000
	if raceEnabled || testing.Short() {
		calls = 1_500
	}
	cert := selfSigned(t)
	for name, factory := range testEngines() {
		for _, scheme := range []string{"plain", "TLS"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				leakcheck.Goroutines(t)
				var server *faulty
				if scheme == "TLS" {
					server = newFaulty(t, &tls.Config{Certificates: []tls.Certificate{cert}})
				} else {
					server = newFaulty(t, nil)
				}
				c := godwit.New(godwit.WithEngine(factory), godwit.EngineConfig(func(cfg *engine.Config) {
					cfg.TLS = &tls.Config{InsecureSkipVerify: true}
					cfg.MaxConnectionsPerRoute = 16
				}))
				if err := c.Err(); err != nil {
					t.Fatal(err)
				}
				failAll(t, c, server.url, calls)
				checkPool(t, c)
				c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := c.Join(ctx); err != nil {
					t.Error(err)
				}
				server.listener.WaitClosed(t)
			})
		}
	}
}

// checkPool: every slot is free again.
func checkPool(t *testing.T, c *godwit.Client) {
	t.Helper()
	if e, ok := c.Engine().(*cio.Engine); ok {
		deadline := time.Now().Add(5 * time.Second)
		for s := e.Stats(); s.Open != s.Idle || s.Waiting != 0; s = e.Stats() {
			if time.Now().After(deadline) {
				t.Errorf("pool after all calls: %+v", s)
				return
			}
		}
	}
}

func failAll(t *testing.T, c *godwit.Client, url string, calls int) {
	t.Helper()
	var kinds []string
	for k := range faults {
		kinds = append(kinds, k)
	}
	items := make([]int, calls)
	for i := range items {
		items[i] = i
	}
	_, err := godwit.Parallel(t.Context(), 64, items, func(ctx context.Context, i int) (godwit.None, error) {
		return godwit.None{}, failOnce(ctx, c, url, kinds[i%len(kinds)], i)
	})
	if err != nil {
		lines := strings.SplitN(err.Error(), "\n", 6)
		t.Error(strings.Join(lines[:min(5, len(lines))], "\n"))
	}
}

var errValidator = errors.New("validator")

// failOnce makes one call in one of several ways and checks its outcome.
func failOnce(ctx context.Context, c *godwit.Client, url, fault string, i int) error {
	way := i / len(faults) % 7
	opts := []godwit.Option{godwit.Timeout(5 * time.Second)}
	hangs := strings.HasPrefix(fault, "hang")
	if hangs {
		opts = []godwit.Option{godwit.Timeout(time.Duration(5+rand.IntN(20)) * time.Millisecond)}
	}
	mustFail, cancelled := !faults[fault], false
	req := godwit.NewRequest("GET", url+"/"+fault, opts...)
	var err error
	switch way {
	case 0:
		_, err = c.Do(ctx, req)
	case 1: // a body that must be replayed or refused
		_, err = c.Do(ctx, godwit.NewRequest("POST", url+"/"+fault, append(opts, godwit.Body(strings.Repeat("x", 100)))...))
	case 2: // the body is not read
		err = c.Stream(ctx, req, func(*godwit.Response) error { return nil })
		mustFail = false
		if fault == "close" || fault == "reset" || fault == "garbage" || fault == "half-head" || fault == "hang" || fault == "hang-in-head" {
			mustFail = true
		} else if err != nil && fault != "reset-in-body" && fault != "hang-in-body" {
			return fmt.Errorf("%s, unread: %w", fault, err)
		} else {
			return nil
		}
	case 3: // cancelled in some state
		cctx, cancel := context.WithCancel(ctx)
		stop := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
		_, err = c.Do(cctx, req)
		stop.Stop()
		cancel()
		cancelled = true
	case 4:
		_, err = c.Do(ctx, req.Clone().With(godwit.Validate(func(context.Context, *godwit.Response) error { return errValidator })))
		mustFail = true
	case 5: // opened, partly read, closed
		var resp *godwit.Response
		if resp, err = c.Open(ctx, req); err == nil {
			io.ReadFull(resp.Body, make([]byte, 3))
			resp.Close()
			return nil
		}
	case 6:
		_, err = godwit.Get[int](ctx, c, url+"/"+fault, opts...)
		if fault == "empty" {
			mustFail = true
		}
	}
	switch {
	case err == nil && mustFail && !cancelled:
		return fmt.Errorf("%s, way %d: no error", fault, way)
	case err != nil && !mustFail && !cancelled:
		return fmt.Errorf("%s, way %d: %w", fault, way, err)
	case err != nil && hangs && way == 0 && !engine.IsTimeout(err):
		return fmt.Errorf("%s: not a timeout: %w", fault, err)
	}
	if err != nil {
		if _, ok := errors.AsType[*godwit.Error](err); !ok {
			return fmt.Errorf("%s, way %d: %T is not wrapped", fault, way, err)
		}
	}
	return nil
}

// TestManyClients: 1,000 clients are made and closed, 64 goroutines share one.
func TestManyClients(t *testing.T) {
	leakcheck.Goroutines(t)
	server := newFaulty(t, nil)
	items := make([]int, 1000)
	_, err := godwit.Parallel(t.Context(), 16, items, func(ctx context.Context, _ int) (godwit.None, error) {
		return godwit.None{}, godwit.Use(ctx, func(ctx context.Context, c *godwit.Client) error {
			_, err := godwit.Get[string](ctx, c, server.url+"/ok")
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
	server.listener.WaitClosed(t)
	c := godwit.New()
	defer c.Close()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 20 {
				if s, err := godwit.Get[string](t.Context(), c, server.url+"/chunked"); err != nil || s != "0123456789" {
					t.Errorf("%q, %v", s, err)
				}
			}
		})
	}
	all.Wait()
}
