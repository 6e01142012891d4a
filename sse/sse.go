// Package sse reads server-sent events (the format text/event-stream) by a
// godwit client: with its engine, plugins, proxies and TLS.
//
//	for ev, err := range sse.Events(ctx, client, "https://example.org/prices") {
//		if err != nil {
//			return err // *sse.Error
//		}
//		fmt.Println(ev.Type, ev.Data)
//	}
//
// Parsing is that of the WHATWG HTML Standard, §9.2. A connection that ends, or
// cannot be made, is made again as browsers do it, after the time that the
// server asks for, with the id of the last event in the field Last-Event-ID; each
// attempt is a call of its own and passes the whole client, so that expired
// credentials are refreshed on the way. [Reconnect] switches that off, which is
// right for an answer that comes once, such as a language model's:
//
//	for ev, err := range sse.EventsOf[Chunk](ctx, client, url,
//		sse.Method("POST"), godwit.Body(prompt), sse.Reconnect(false)) { … }
//
// # The end
//
// The loop ends without an error when the server answers 204, when the loop is
// left, and, with Reconnect(false), when the stream ends. Every other end is an
// [*Error], the last thing that the loop gets. Leaving the loop, the end of ctx
// and [godwit.Client.Cancel] release the connection at once; [godwit.Client.Close]
// lets a stream run, and ends the wait for the next one.
//
// # Timeouts
//
// [godwit.Timeout] covers each request to the head of the stream, redirects and
// retries included, as with [godwit.TimeoutToHead]; [godwit.IdleTimeout] bounds the silence between two
// pieces of a stream, after which it counts as lost.
package sse

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/eventstream"
)

// Event is one event.
type Event struct {
	// Type is what the server calls the event; "message" if it has no name.
	Type string
	// Data is the event's data, its lines joined by line feeds.
	Data string
	// LastEventID is the last id that the stream has given, with this event or
	// an earlier one; "" = none. [LastEventID] goes on from there.
	LastEventID string
}

// Typed is an event whose data was decoded.
type Typed[T any] struct {
	Event
	Value T
}

// Opened is raised, for [godwit.On], when a stream has begun: once for each
// connection. The body of the response must be left alone.
type Opened struct{ Response *godwit.Response }

// Reconnecting is raised before the wait for the next connection.
type Reconnecting struct {
	// Attempt counts the attempts since the last event, from 1.
	Attempt int
	// Delay is the wait, LastEventID what will be sent.
	Delay       time.Duration
	LastEventID string
	// Err is what ended the connection; io.EOF if the server ended the stream.
	Err error
}

// Comment is raised for each comment of a stream, if [Comments] asks for it.
type Comment struct{ Text string }

// RetryChanged is raised when the server sets the time to wait before
// reconnecting.
type RetryChanged struct{ Delay time.Duration }

// Events requests rawURL and yields the events of the answer, of reconnected
// streams too: see the package. The options are godwit's and this package's;
// without [Method] it is a GET. A nil client stands for [godwit.Default]. Ranging
// again over what it returns starts anew.
//
// Unless an option sets them, the request has Accept: text/event-stream and
// Cache-Control: no-cache. A status other than 200 and 204 is an error, and so
// is another Content-Type.
func Events(ctx context.Context, c *godwit.Client, rawURL string, opts ...godwit.Option) iter.Seq2[Event, error] {
	return Send(ctx, c, godwit.NewRequest("", rawURL, opts...))
}

// EventsOf is [Events] with each event's data as a T: a string, a []byte, or what
// the client makes of a body of application/json ([DataType] names another type).
//
// Data that cannot be decoded comes as an *[Error] of [BadData] beside its event,
// whose Data is as sent; the stream goes on if the loop does.
func EventsOf[T any](ctx context.Context, c *godwit.Client, rawURL string, opts ...godwit.Option) iter.Seq2[Typed[T], error] {
	return SendOf[T](ctx, c, godwit.NewRequest("", rawURL, opts...))
}

// Send is [Events] for a request that was built before; req is not changed, and
// must not be while the loop runs.
func Send(ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[Event, error] {
	req = prepared(req)
	return func(yield func(Event, error) bool) {
		newStream(c, req, func(_ *stream, ev Event, err error) bool { return yield(ev, err) }).run(ctx)
	}
}

// SendOf is [EventsOf] for a request that was built before, as in [Send].
func SendOf[T any](ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[Typed[T], error] {
	req = prepared(req)
	return func(yield func(Typed[T], error) bool) {
		newStream(c, req, func(s *stream, ev Event, err error) bool {
			typed := Typed[T]{Event: ev}
			if err == nil {
				typed.Value, err = decode[T](s, ev)
			}
			return yield(typed, err)
		}).run(ctx)
	}
}

// prepared returns a copy of a request whose body, if it is a reader, is one
// content however often the request is sent.
func prepared(req *godwit.Request) *godwit.Request {
	if req == nil {
		return nil
	}
	return req.Clone().With()
}

// Read yields the events that r gives until its end, for streams that did not
// come by a client. Of the options [LastEventID], [MaxLine] and [MaxEvent] count.
// It does not close r.
func Read(r io.Reader, opts ...godwit.Option) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var p eventstream.Parser
		defer p.Release()
		req := godwit.NewRequest("GET", "/", opts...)
		if err := req.Err(); err != nil {
			yield(Event{}, &Error{Reason: BadRequest, Err: err})
			return
		}
		set := settingsIn(&req.Attributes)
		set.limit(&p)
		p.Reset(set.lastID)
		err := events(&p, r, func(ev Event) bool { return yield(ev, nil) })
		if err != nil && err != io.EOF && err != errLeft {
			yield(Event{}, &Error{Reason: reasonOf(err), LastEventID: p.LastEventID(), Err: err})
		}
	}
}
