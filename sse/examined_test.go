package sse_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/sse"
)

// TestCloseEndsWait: a closed client does not reconnect, so there is nothing to
// wait for. Its streams run on.
func TestCloseEndsWait(t *testing.T) {
	bubble(t, list(mock.Always(streamed("retry: 3600000\ndata: a\n\n"))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		began := time.Now()
		time.AfterFunc(time.Minute, func() { c.Close() })
		got, err := collect(sse.Events(t.Context(), c, url))
		if got != "a !"+string(sse.Cancelled) || !errors.Is(err, godwit.ErrClientClosed) || time.Since(began) != time.Minute {
			t.Errorf("%s, %v after %v", got, err, time.Since(began))
		}
		if n := len(eng.Requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	bubble(t, list(streamed("retry: 3600000\ndata: a\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		for ev, err := range sse.Events(t.Context(), c, url) {
			if err == nil {
				if c.Close(); ev.Data != "a" {
					t.Errorf("%q", ev.Data)
				}
			} else if !errors.Is(err, godwit.ErrClientClosed) {
				t.Errorf("closed before the wait: %v", err)
			}
		}
	})
}

// TestClientOptions: what a client says counts, and less than what a request says.
func TestClientOptions(t *testing.T) {
	post := []godwit.ClientOption{sse.Method("POST"), sse.LastEventID("7")}
	for _, row := range []struct {
		name   string
		client []godwit.ClientOption
		req    *godwit.Request // nil = Events
		opts   []godwit.Option
		want   string
	}{
		{"the client's", post, nil, nil, "POST 7"},
		{"the request's", post, nil, []godwit.Option{sse.Method("PUT"), sse.LastEventID("8")}, "PUT 8"},
		{"from the start", post, nil, []godwit.Option{sse.LastEventID("")}, "POST "},
		{"a field", post, nil, []godwit.Option{godwit.Header("Last-Event-ID", "9")}, "POST 9"},
		{"a request with a method", post, godwit.NewRequest("REPORT", url), nil, "REPORT 7"},
		{"none", nil, nil, nil, "GET "},
		{"no body wanted otherwise", []godwit.ClientOption{godwit.DropBody()}, nil, nil, "GET "},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, list(streamed("data: a\n\n")), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				seq := sse.Events(t.Context(), c, url, append(row.opts, sse.Reconnect(false))...)
				if row.req != nil {
					seq = sse.Send(t.Context(), c, row.req.With(sse.Reconnect(false)))
				}
				got, err := collect(seq)
				if err != nil || !strings.HasPrefix(got, "a") {
					t.Errorf("%q, %v", got, err)
				}
				r := eng.Requests()[0]
				if sent := r.Method + " " + r.Header.Get("Last-Event-ID"); sent != row.want {
					t.Errorf("sent %q, want %q", sent, row.want)
				}
			}, row.client...)
		})
	}
}

// TestClientReconnectOff: also before the first answer.
func TestClientReconnectOff(t *testing.T) {
	bubble(t, list(mock.Refused()), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := collect(sse.Events(ctx, c, url)); reason(err) != sse.Disconnected {
			t.Errorf("%v", err)
		}
	}, sse.Reconnect(false))
}
