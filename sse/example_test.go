package sse_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/sse"
)

// scripted is a client whose server answers with these streams, one after the
// other, and then 204.
func scripted(streams ...string) *godwit.Client {
	eng := mock.New()
	for _, s := range streams {
		eng.Enqueue(mock.Bytes(200, "text/event-stream", []byte(s)))
	}
	eng.Enqueue(mock.Status(204))
	return godwit.New(godwit.WithEngineInstance(eng))
}

func ExampleEvents() {
	ctx, c := context.Background(), scripted("id: 1\nevent: price\ndata: tea 250\n\n: still here\n\ndata: closing\n\n")
	for ev, err := range sse.Events(ctx, c, "https://example.org/prices", sse.Backoff(0, time.Second)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.Type, ev.Data, ev.LastEventID)
	}
	// Output:
	// price tea 250 1
	// message closing 1
}

func ExampleEventsOf() {
	ctx, c := context.Background(), scripted("data: {\"text\":\"Long\"}\n\ndata: {\"text\":\" flight\"}\n\ndata: [DONE]\n\n")
	type Chunk struct{ Text string }
	prompt := map[string]string{"prompt": "Describe a godwit in two words."}
	for ev, err := range sse.EventsOf[Chunk](ctx, c, "https://example.org/v1/complete",
		sse.Method("POST"), godwit.Body(prompt), sse.Reconnect(false)) {
		if ev.Data == "[DONE]" {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(ev.Value.Text)
	}
	// Output: Long flight
}

func ExampleSend() {
	ctx, c := context.Background(), scripted("data: a\n\n")
	req := godwit.NewRequest("QUERY", "https://example.org/events", godwit.Body("since=yesterday"), sse.Reconnect(false))
	for ev, err := range sse.Send(ctx, c, req) {
		fmt.Println(ev.Data, err)
	}
	// Output: a <nil>
}

func ExampleSendOf() {
	ctx, c := context.Background(), scripted("data: 1\n\ndata: 2\n\n")
	sum := 0
	for ev, err := range sse.SendOf[int](ctx, c, godwit.NewRequest("GET", "https://example.org/numbers", sse.Reconnect(false))) {
		if err != nil {
			fmt.Println(err)
			return
		}
		sum += ev.Value
	}
	fmt.Println(sum)
	// Output: 3
}

func ExampleRead() {
	for ev, err := range sse.Read(strings.NewReader("data: first line\ndata: second line\n\n")) {
		fmt.Printf("%q %v\n", ev.Data, err)
	}
	// Output: "first line\nsecond line" <nil>
}

func ExampleLastEventID() {
	ctx, c := context.Background(), scripted("id: 8\ndata: a\n\n")
	saved := "7" // from the last run of the program
	for ev, err := range sse.Events(ctx, c, "https://example.org/events", sse.LastEventID(saved)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		saved = ev.LastEventID
		break
	}
	fmt.Println(saved)
	// Output: 8
}

func ExampleError() {
	ctx, c := context.Background(), godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Text(403, "not yours"))))
	for _, err := range sse.Events(ctx, c, "https://example.org/events") {
		if e, ok := errors.AsType[*sse.Error](err); ok && e.Reason == sse.Refused {
			fmt.Println(e.Response.Status, e.Response.Text())
		}
	}
	// Output: 403 Forbidden not yours
}

func ExampleReconnecting() {
	ctx, c := context.Background(), scripted("retry: 20\nid: 1\ndata: a\n\n")
	for ev, err := range sse.Events(ctx, c, "https://example.org/events",
		godwit.On(func(_ context.Context, e sse.Opened) { fmt.Println("open:", e.Response.Status) }),
		godwit.On(func(_ context.Context, e sse.Reconnecting) { fmt.Println("again:", e.Attempt, e.LastEventID) }),
	) {
		fmt.Println(ev.Data, err)
	}
	// Output:
	// open: 200 OK
	// a <nil>
	// again: 1 1
}

func ExampleMaxAttempts() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Status(503))),
		sse.RetryStatus(502, 503, 504), sse.MaxAttempts(2), sse.Backoff(time.Millisecond, time.Second))
	for _, err := range sse.Events(context.Background(), c, "https://example.org/events") {
		e, _ := errors.AsType[*sse.Error](err)
		fmt.Println(e.Reason == sse.AttemptsUsedUp, e.Attempts)
	}
	// Output: true 3
}
