package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/sse"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const url = "http://example.org/events"

// bubble runs f in virtual time with a client on a mock engine.
func bubble(t *testing.T, handlers []mock.Handler, f func(t *testing.T, c *godwit.Client, eng *mock.Engine), opts ...godwit.ClientOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		eng := mock.New(handlers...)
		defer eng.Close()
		c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng)}, opts...)...)
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
		f(t, c, eng)
		c.Close()
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
		eng.AssertBodiesClosed(t)
	})
}

func list(h ...mock.Handler) []mock.Handler { return h }

// streamed is an event stream that ends.
func streamed(body string) *mock.Response {
	return mock.Bytes(200, "text/event-stream", []byte(body))
}

// lasting is an event stream that stays open.
func lasting(body string) *mock.Response {
	return mock.Stream(func(ctx context.Context, w io.Writer) error {
		if _, err := io.WriteString(w, body); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}).WithHeader("Content-Type", "text/event-stream")
}

// gone ends a stream for good.
var gone = mock.Status(204)

// collect ranges to the end and writes down what came: "data[id]" for each event,
// and the error's reason.
func collect(seq iter.Seq2[sse.Event, error]) (string, error) {
	var got []string
	var last error
	for ev, err := range seq {
		if err != nil {
			last = err
			got = append(got, "!"+string(reason(err)))
			continue
		}
		got = append(got, show(ev))
	}
	return strings.Join(got, " "), last
}

func show(ev sse.Event) string {
	s := ev.Data
	if ev.Type != "message" {
		s = ev.Type + "=" + s
	}
	if ev.LastEventID != "" {
		s += fmt.Sprintf("[%s]", ev.LastEventID)
	}
	return s
}

func reason(err error) sse.Reason {
	if e, ok := errors.AsType[*sse.Error](err); ok {
		return e.Reason
	}
	return sse.Reason("not an *sse.Error: " + err.Error())
}
