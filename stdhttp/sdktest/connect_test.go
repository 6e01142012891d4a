package sdktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/godwit-go/godwit/stdhttp"
)

type text = wrapperspb.StringValue

const (
	unaryPath  = "/test.Echo/Unary"
	serverPath = "/test.Echo/Server"
	clientPath = "/test.Echo/Client"
	bidiPath   = "/test.Echo/Bidi"
)

// echo is a service with each kind of stream.
func echo() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath, func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		if r.Msg.GetValue() == "" {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("nothing to say"))
		}
		out := connect.NewResponse(wrapperspb.String(r.Msg.GetValue()))
		out.Trailer().Set("X-Sum", "7")
		return out, nil
	}))
	mux.Handle(serverPath, connect.NewServerStreamHandler(serverPath, func(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
		for i := range 3 {
			if err := s.Send(wrapperspb.String(fmt.Sprint(r.Msg.GetValue(), i))); err != nil {
				return err
			}
		}
		return connect.NewError(connect.CodeOutOfRange, errors.New("no more"))
	}))
	mux.Handle(clientPath, connect.NewClientStreamHandler(clientPath, func(_ context.Context, s *connect.ClientStream[text]) (*connect.Response[text], error) {
		all := ""
		for s.Receive() {
			all += s.Msg().GetValue()
		}
		return connect.NewResponse(wrapperspb.String(all)), s.Err()
	}))
	mux.Handle(bidiPath, connect.NewBidiStreamHandler(bidiPath, func(_ context.Context, s *connect.BidiStream[text, text]) error {
		for {
			in, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.Send(wrapperspb.String("echo " + in.GetValue())); err != nil {
				return err
			}
		}
	}))
	return mux
}

func TestConnect(t *testing.T) {
	s := httptest.NewUnstartedServer(echo())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, e := range http2Engines {
		for _, protocol := range []struct {
			name   string
			option connect.ClientOption
		}{
			{"connect", connect.WithProtoJSON()}, {"gRPC", connect.WithGRPC()}, {"gRPC-Web", connect.WithGRPCWeb()},
		} {
			t.Run(e.Name()+"/"+protocol.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				hc := stdhttp.Client(newClient(t, e, s))
				dial := func(procedure string) *connect.Client[text, text] {
					return connect.NewClient[text, text](hc, s.URL+procedure, protocol.option)
				}
				testUnary(t, ctx, dial(unaryPath))
				testServerStream(t, ctx, dial(serverPath))
				testClientStream(t, ctx, dial(clientPath))
				testBidi(t, ctx, dial(bidiPath))
			})
		}
	}
}

func testUnary(t *testing.T, ctx context.Context, c *connect.Client[text, text]) {
	resp, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String("hello")))
	if err != nil || resp.Msg.GetValue() != "hello" || resp.Trailer().Get("X-Sum") != "7" {
		t.Errorf("unary: %v, %v", resp, err)
	}
	if _, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String(""))); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("unary error: %v", err)
	}
}

func testServerStream(t *testing.T, ctx context.Context, c *connect.Client[text, text]) {
	stream, err := c.CallServerStream(ctx, connect.NewRequest(wrapperspb.String("n")))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	all := ""
	for stream.Receive() {
		all += stream.Msg().GetValue()
	}
	if all != "n0n1n2" || connect.CodeOf(stream.Err()) != connect.CodeOutOfRange {
		t.Errorf("server stream: %q, %v", all, stream.Err())
	}
}

func testClientStream(t *testing.T, ctx context.Context, c *connect.Client[text, text]) {
	stream := c.CallClientStream(ctx)
	for _, s := range []string{"a", "b", "c"} {
		if err := stream.Send(wrapperspb.String(s)); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := stream.CloseAndReceive()
	if err != nil || resp.Msg.GetValue() != "abc" {
		t.Errorf("client stream: %v, %v", resp, err)
	}
}

// testBidi sends each message when the answer to the one before is there.
func testBidi(t *testing.T, ctx context.Context, c *connect.Client[text, text]) {
	stream := c.CallBidiStream(ctx)
	for i := range 5 {
		if err := stream.Send(wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if in, err := stream.Receive(); err != nil || in.GetValue() != fmt.Sprint("echo ", i) {
			t.Fatalf("bidi: %v, %v", in, err)
		}
	}
	if err := stream.CloseRequest(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("bidi end: %v", err)
	}
	if err := stream.CloseResponse(); err != nil {
		t.Error(err)
	}
}
