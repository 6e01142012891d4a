package websocket_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// bubble runs f on the mock engine, in time that stands still while all wait.
func bubble(t *testing.T, a answer, script func(*peer), f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, engine: "mock", url: "ws://mock.test/"}
		s.client = godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mocked(t, a, script))}}))
		s.finish(f)
	})
}

// finish runs f and ends the client.
func (s *scene) finish(f func(t *testing.T, s *scene)) {
	f(s.t, s)
	for _, c := range s.conns {
		c.CloseNow()
	}
	s.client.Close()
	if err := s.client.Join(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Error(err)
	}
}

// piped does so over a pipe that buffers nothing. wrap, if any, is put around the
// client's end.
func piped(t *testing.T, wrap func(net.Conn) io.ReadWriteCloser, script func(*peer), f func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := scripted{Engine: mock.New(), answer: func(*engine.Request) *engine.Response {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				script(newPeer(t, there, nil))
			}()
			resp := &engine.Response{Status: 200, Proto: "HTTP/2.0", Upgraded: here}
			if wrap != nil {
				resp.Upgraded = wrap(here)
			}
			return resp
		}}
		s := &scene{t: t, engine: "pipe", url: "ws://h.test/", client: godwit.New(godwit.WithEngineInstance(e))}
		s.finish(f)
		e.Close()
	})
}

// refusing answers with a status other than 101.
func refusing(status int, fields ...string) answer {
	return func(*http.Request) (int, http.Header) {
		h := http.Header{}
		for i := 0; i < len(fields); i += 2 {
			h.Add(fields[i], fields[i+1])
		}
		return status, h
	}
}

// inTurn gives each handshake the next answer, the last one again and again.
func inTurn(answers ...answer) answer {
	next := 0
	return func(r *http.Request) (int, http.Header) {
		a := answers[min(next, len(answers)-1)]
		next++
		return a(r)
	}
}
