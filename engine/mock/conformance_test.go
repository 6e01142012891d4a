package mock_test

import (
	"context"
	"io"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, nil, enginetest.Canned("mock has no wire, so nothing of connections, bytes and addresses can be seen", canned))
}

// canned makes a mock whose every answer is the suite's.
func canned(shared engine.Config, answer func(*engine.Request) enginetest.Reply) (engine.Engine, error) {
	handler := mock.Func(func(ctx context.Context, req *mock.Request) (*mock.Response, error) {
		reply := answer(received(req))
		if reply.Hang != nil {
			select {
			case <-reply.Hang:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return response(reply), nil
	})
	return mock.Config{Handlers: []mock.Handler{mock.Always(handler)}}.NewEngine(shared)
}

// received is the request as a server would see it, body read.
func received(req *mock.Request) *engine.Request {
	seen := *req.Request
	seen.Body, seen.Trailer = nil, nil
	if b := req.Body(); len(b) > 0 {
		seen.Body = enginetest.Text(string(b))
	}
	if trailer := req.Trailer(); trailer.Len() > 0 {
		seen.Trailer = func() header.Header { return trailer }
	}
	return &seen
}

func response(reply enginetest.Reply) *mock.Response {
	r := &mock.Response{Status: reply.Status, Reason: reply.Reason, Header: reply.Header.Clone(), Trailer: reply.Trailer, Body: []byte(reply.Body)}
	for _, info := range reply.Informational {
		var pairs []string
		for name, value := range info.Header.All() {
			pairs = append(pairs, name, value)
		}
		r.WithInformational(info.Status, pairs...)
	}
	half := len(reply.Body) / 2
	switch {
	case reply.Upgrade != nil:
		r.WithUpgrade(func(rw io.ReadWriteCloser) { reply.Upgrade(rw) })
	case reply.Truncate:
		r.WithTruncation(half)
	case reply.Stall != nil:
		r.WithLength(int64(len(reply.Body))).WithStream(func(ctx context.Context, w io.Writer) error {
			if _, err := io.WriteString(w, reply.Body[:half]); err != nil {
				return err
			}
			select {
			case <-reply.Stall:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			_, err := io.WriteString(w, reply.Body[half:])
			return err
		})
	}
	return r
}
