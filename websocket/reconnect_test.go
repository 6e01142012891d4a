package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// leaving is a server that goes at once.
func leaving(*peer) {}

// TestReconnectWaits: the wait doubles up to Max, and Attempts in a row are all.
func TestReconnectWaits(t *testing.T) {
	policy := websocket.Reconnect{Min: time.Second, Max: 3 * time.Second, Attempts: 5}
	for name, a := range map[string]answer{
		"refused":           inTurn(agreeing(), refusing(500)),
		"dropped each time": agreeing(),
	} {
		t.Run(name, func(t *testing.T) {
			var at []time.Time
			bubble(t, a, leaving, func(t *testing.T, s *scene) {
				c := s.dial(websocket.WithReconnect(policy), godwit.On(func(context.Context, godwit.Sending) { at = append(at, time.Now()) }))
				_, err := c.Read(t.Context())
				if err == nil || !strings.Contains(err.Error(), "gave up after 5 attempts") {
					t.Errorf("error %v", err)
				}
				if len(at) != 6 {
					t.Fatalf("%d handshakes, want 6", len(at))
				}
				for i, longest := range []time.Duration{1, 2, 3, 3, 3} {
					longest *= time.Second
					if wait := at[i+1].Sub(at[i]); wait < longest/2 || wait > longest {
						t.Errorf("wait %d is %v, want %v to %v", i, wait, longest/2, longest)
					}
				}
				if _, again := c.Read(t.Context()); again != err {
					t.Errorf("the next Read: %v", again)
				}
				if err := s.client.Join(t.Context()); err != nil {
					t.Errorf("the client still knows of it: %v", err)
				}
			})
		})
	}
}

// TestReconnectStarts: what resets the count of failures.
func TestReconnectStarts(t *testing.T) {
	var over chan struct{}
	stand := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-over:
		}
	}
	for name, script := range map[string]func(*peer){
		"a message":    func(p *peer) { p.send(ws.Text, "x") },
		"a while":      func(*peer) { stand(time.Minute) },
		"only a while": func(*peer) { stand(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int32
			bubble(t, agreeing(), func(p *peer) { dials.Add(1); script(p) }, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				defer close(over)
				c := s.dial(websocket.WithReconnect(websocket.Reconnect{Attempts: 2}))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var err error
				for err == nil && dials.Load() < 8 {
					_, err = c.Read(ctx)
				}
				if healthy := name != "only a while"; healthy != (dials.Load() >= 8) || !healthy && dials.Load() != 3 {
					t.Errorf("%d connections, %v", dials.Load(), err)
				}
			})
		})
	}
}

// TestPollingReads: readers with little time share one wait.
func TestPollingReads(t *testing.T) {
	var dials atomic.Int32
	bubble(t, agreeing(), func(p *peer) {
		if dials.Add(1) > 1 {
			p.send(ws.Text, "again")
			p.rest()
		}
	}, func(t *testing.T, s *scene) {
		c, began := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: 10 * time.Second})), time.Now()
		for time.Since(began) < 11*time.Second {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			m, err := c.Read(ctx)
			cancel()
			if err == nil {
				if m.String() != "again" {
					t.Errorf("%q", m.Data)
				}
				return
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		t.Error("no attempt was made")
	})
}

// TestRetryAfter: a server may say when.
func TestRetryAfter(t *testing.T) {
	for name, a := range map[string]answer{
		"503": refusing(503, "Retry-After", "100"),
		"429": refusing(429, "Retry-After", "100"),
	} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int32
			bubble(t, inTurn(agreeing(), a, agreeing()), func(p *peer) {
				if dials.Add(1) > 1 {
					p.send(ws.Text, "again")
					p.rest()
				}
			}, func(t *testing.T, s *scene) {
				// A client that takes refusals for errors of its own changes nothing.
				c, began := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Second}), godwit.ExpectSuccess(true)), time.Now()
				if m, err := c.Read(t.Context()); err != nil || m.String() != "again" || time.Since(began) < 100*time.Second {
					t.Errorf("%q, %v after %v", m.Data, err, time.Since(began))
				}
			})
		})
	}
}

// TestReconnectEnds: what ends the attempts before their time.
func TestReconnectEnds(t *testing.T) {
	mine := errors.New("mine")
	for _, row := range []struct {
		name   string
		a      answer
		policy websocket.Reconnect
		end    func(s *scene, c *websocket.Conn)
		is     error
		within time.Duration
	}{
		{"Close in the wait", agreeing(), websocket.Reconnect{Min: time.Hour}, func(_ *scene, c *websocket.Conn) { c.Close(1000, "") }, net.ErrClosed, time.Minute},
		{"CloseNow in the wait", agreeing(), websocket.Reconnect{Min: time.Hour}, func(_ *scene, c *websocket.Conn) { c.CloseNow() }, net.ErrClosed, time.Minute},
		{"Cancel in the wait", agreeing(), websocket.Reconnect{Min: time.Hour}, func(s *scene, _ *websocket.Conn) { s.client.Cancel() }, context.Canceled, time.Minute},
		{"Cancel in the wait, whatever When says", agreeing(), websocket.Reconnect{Min: time.Hour, When: func(error) bool { return true }},
			func(s *scene, _ *websocket.Conn) { s.client.Cancel() }, context.Canceled, time.Minute},
		{"Subscribe", agreeing(), websocket.Reconnect{Min: time.Second, Attempts: 2, Subscribe: func(context.Context, *websocket.Conn) error { return mine }}, nil, mine, 5 * time.Second},
		{"When, of an attempt", inTurn(agreeing(), refusing(500)), websocket.Reconnect{Min: time.Second, When: func(err error) bool {
			_, refused := errors.AsType[*websocket.HandshakeError](err)
			return !refused
		}}, nil, nil, 2 * time.Second},
		{"refused for good", inTurn(agreeing(), refusing(403)), websocket.Reconnect{Min: time.Second}, nil, nil, 2 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, row.a, leaving, func(t *testing.T, s *scene) {
				c, began := s.dial(websocket.WithReconnect(row.policy)), time.Now()
				if row.end != nil {
					time.AfterFunc(time.Minute, func() { row.end(s, c) })
				}
				_, err := c.Read(t.Context())
				if err == nil || row.is != nil && !errors.Is(err, row.is) || time.Since(began) > row.within {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if _, refused := errors.AsType[*websocket.HandshakeError](err); row.is == nil && !refused {
					t.Errorf("error %v", err)
				}
				if err := s.client.Join(t.Context()); err != nil {
					t.Errorf("the client still knows of it: %v", err)
				}
				if err := c.Write(t.Context(), websocket.Text, nil); err == nil {
					t.Error("Write after the end succeeds")
				}
			})
		})
	}
}

// TestCancelInAttempt: Client.Cancel ends a Conn that is lost, though an attempt has
// begun that the client does not know of yet.
func TestCancelInAttempt(t *testing.T) {
	for range 50 { // as what notices the end of the lost one runs beside the attempt
		var conns atomic.Int32
		bubble(t, agreeing(), func(p *peer) {
			if conns.Add(1) > 1 {
				p.send(ws.Text, "revived")
				p.rest()
			}
		}, func(t *testing.T, s *scene) {
			c := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Hour}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			<-time.After(time.Hour) // the next attempt is due
			m, err := c.Read(asking{t.Context(), sync.OnceFunc(s.client.Cancel)})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%q, %v", m.Data, err)
			}
		})
	}
}

// asking is a context that calls a function when somebody asks for a value.
type asking struct {
	context.Context
	asked func()
}

func (a asking) Value(key any) any {
	a.asked()
	return a.Context.Value(key)
}

// waiting is a context that calls a function when somebody is about to wait for it.
type waiting struct {
	context.Context
	waits func()
}

func (w waiting) Done() <-chan struct{} {
	w.waits()
	return w.Context.Done()
}

// TestCloseWhenLost: who meets a lost connection while it is closed is told so.
func TestCloseWhenLost(t *testing.T) {
	bubble(t, agreeing(), leaving, func(t *testing.T, s *scene) {
		c := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Hour}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if _, err := c.Read(waiting{t.Context(), func() { c.CloseNow() }}); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestCancelWhileReading: Client.Cancel is no loss of a connection.
func TestCancelWhileReading(t *testing.T) {
	var dials atomic.Int32
	everywhere(t, agreeing(), func(p *peer) { dials.Add(1); p.rest() }, func(s *scene) {
		dials.Store(0)
		for _, opts := range [][]websocket.Option{nil, {websocket.WithReconnect(websocket.Reconnect{Min: time.Millisecond})}} {
			c := s.dial(opts...)
			done := make(chan error, 1)
			go func() {
				_, err := c.Read(context.Background())
				done <- err
			}()
			s.client.Cancel()
			if err := <-done; !errors.Is(err, context.Canceled) || websocket.Temporary(err) {
				s.t.Errorf("error %v", err)
			}
			if err := c.Write(context.Background(), websocket.Text, nil); !errors.Is(err, context.Canceled) {
				s.t.Errorf("Write: %v", err)
			}
		}
		if dials.Load() > 2 {
			s.t.Errorf("%d connections", dials.Load())
		}
	})
}

// TestJoinWaits: for a connection that is lost and to be made again.
func TestJoinWaits(t *testing.T) {
	bubble(t, agreeing(), leaving, func(t *testing.T, s *scene) {
		c := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Hour}))
		go c.Read(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.client.Join(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Join: %v", err)
		}
		c.CloseNow()
		if err := s.client.Join(t.Context()); err != nil {
			t.Errorf("Join after CloseNow: %v", err)
		}
	})
}

func TestTemporary(t *testing.T) {
	refused := func(status int) error {
		return &websocket.HandshakeError{Response: godwit.NewResponse(nil, godwit.Status(status), header.Header{}, nil)}
	}
	for _, row := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("lost"), true},
		{context.Canceled, false},
		{net.ErrClosed, true}, // of the network; ours says more
		{&websocket.CloseError{Code: 1000}, false},
		{&websocket.CloseError{Code: 1001}, true},
		{&websocket.CloseError{Code: 1008}, false},
		{&websocket.CloseError{Code: 1012}, true},
		{&websocket.CloseError{Code: 4000}, false},
		{&websocket.PongTimeoutError{}, true},
		{websocket.ErrMessageTooLarge, false},
		{&godwit.ProtocolError{}, false},
		{refused(403), false}, {refused(408), true}, {refused(425), false}, {refused(429), true}, {refused(500), true}, {refused(503), true},
	} {
		if got := websocket.Temporary(row.err); got != row.want {
			t.Errorf("%v: %v", fmt.Sprint(row.err), got)
		}
	}
}
