package cio_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// undated is a connection without deadlines, as a channel of ssh.
type undated struct{ net.Conn }

var errUndated = errors.New("deadline not supported")

func (undated) SetDeadline(time.Time) error      { return errUndated }
func (undated) SetReadDeadline(time.Time) error  { return errUndated }
func (undated) SetWriteDeadline(time.Time) error { return errUndated }

func dialUndated(dial engine.DialFunc) engine.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return undated{c}, nil
	}
}

// bothWays runs a test in bubbles: with connections that have deadlines, and others.
func bothWays(t *testing.T, script func(*peerConn), test func(t *testing.T, d *pipes, e *cio.Engine)) {
	t.Run("dated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newPipes(t, script)
			test(t, d, newEngine(t, cio.Config{Dial: d.dial}))
		})
	})
	t.Run("undated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newPipes(t, script)
			test(t, d, newEngine(t, cio.Config{Dial: dialUndated(d.dial)}))
		})
	})
}

// TestTimed: a connection that was given deadlines is like any other.
func TestTimed(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = net.Pipe()
		for _, c := range []*net.Conn{&c1, &c2} {
			under := undated{*c}
			dial := cio.DialTimed(func(context.Context, string, string) (net.Conn, error) { return under, nil })
			if *c, err = dial(t.Context(), "", ""); err != nil {
				return nil, nil, nil, err
			}
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

// TestUndatedIsReused, with limits and TLS, and large bodies come through.
func TestUndatedIsReused(t *testing.T) {
	plain := newPeer(t, func(c *peerConn) {
		for c.head() != "" {
			c.send(answer(c.take(300_000)))
		}
	})
	secure, n, config := counted(t, false, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	e := newEngine(t, cio.Config{TLS: config, Dial: dialUndated(new(net.Dialer).DialContext)})
	text := strings.Repeat("0123456789", 30_000)
	for _, u := range []string{plain.url.String(), secure.URL} {
		for _, limits := range []engine.Timeouts{{}, {Idle: time.Minute}, {Header: time.Minute}} {
			for _, deadline := range []time.Time{{}, time.Now().Add(time.Minute)} {
				req := &engine.Request{Method: "POST", URL: mustURL(t, u), Body: content.Text(text), Timeouts: limits, Deadline: deadline}
				if _, got := mustFetch(t, e, req); got != text {
					t.Errorf("%d bytes came back", len(got))
				}
			}
		}
	}
	if plain.accepted.Load() != 1 || n.Load() != 1 {
		t.Errorf("%d connections, and %d with TLS", plain.accepted.Load(), n.Load())
	}
}

// TestUndatedPipelining: who leaves the line does so at once, and the others have
// their answers.
func TestUndatedPipelining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			for line := range lines {
				time.Sleep(900 * time.Millisecond)
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: dialUndated(d.dial)})
		mustFetch(t, e, getting(t, pipeSite, "/first"))
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		cancelled := sending(ctx, e, getting(t, pipeSite, "/cancelled"))
		synctest.Wait()
		late := getting(t, pipeSite, "/late")
		late.Deadline = begin.Add(700 * time.Millisecond)
		overdue := sending(t.Context(), e, late)
		synctest.Wait()
		last := sending(t.Context(), e, getting(t, pipeSite, "/last"))
		time.Sleep(500 * time.Millisecond)
		cancel()
		if got := <-cancelled; !errors.Is(got.err, context.Canceled) || time.Since(begin) != 500*time.Millisecond {
			t.Errorf("%+v after %v", got, time.Since(begin))
		}
		if got := <-overdue; !engine.IsTimeout(got.err) || time.Since(begin) != 700*time.Millisecond {
			t.Errorf("%+v after %v", got, time.Since(begin))
		}
		if got := <-last; got.body != "GET /last" || !got.resp.Reused || time.Since(begin) != 2700*time.Millisecond {
			t.Errorf("%+v after %v", got, time.Since(begin))
		}
	})
}

// TestUndatedUnread: what was read ahead of a body's end does not become the answer to
// the next request.
func TestUndatedUnread(t *testing.T) {
	big := strings.Repeat("x", 20_000)
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, answering(answer(big)+answer("stray")))
		e := newEngine(t, cio.Config{Dial: dialUndated(d.dial)})
		for range 3 {
			if _, got := mustFetch(t, e, d.get()); got != big {
				t.Errorf("%d bytes", len(got))
			}
		}
	})
}

// stuck is a connection whose Close waits.
type stuck struct {
	undated
	release <-chan struct{}
}

func (c stuck) Close() error {
	<-c.release
	return c.undated.Close()
}

// TestUndatedClose: nobody waits for a connection to be closed.
func TestUndatedClose(t *testing.T) {
	for _, config := range []*tls.Config{nil, {InsecureSkipVerify: true}} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			d := newPipes(t, silent)
			e := newEngine(t, cio.Config{TLS: config, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := d.dial(ctx, network, address)
				return stuck{undated{c}, release}, err
			}})
			req := d.get()
			if config != nil {
				req.URL = mustURL(t, "https://pipe.test/")
			}
			begin := time.Now()
			req.Deadline = begin.Add(sec)
			if _, _, err := fetch(t.Context(), e, req); !engine.IsTimeout(err) || time.Since(begin) != sec {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		})
	}
}
