package sse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/eventstream"
)

// stream is one loop over events: a chain of connections.
type stream struct {
	client *godwit.Client
	base   *godwit.Request
	yield  func(*stream, Event, error) bool
	parser eventstream.Parser

	set     settings
	method  string
	call    *godwit.Call // the last one
	branch  *godwit.Call // of the first one: it lasts as long as the loop
	oneShot atomic.Bool  // what it sent cannot be sent again

	lastID   string
	retry    time.Duration // the server's
	retried  bool          // retry is set
	opened   bool          // there was a stream already
	failures int           // in a row
	attempts int           // since the last event
}

func newStream(c *godwit.Client, req *godwit.Request, yield func(*stream, Event, error) bool) *stream {
	s := &stream{client: c, base: req, yield: yield}
	if req == nil {
		return s
	}
	all := c.Attributes()
	s.method = cmp.Or(methodKey.Or(&req.Attributes, req.Method), methodKey.Or(&all, "GET"))
	id, given := lastIDKey.Get(&req.Attributes)
	if s.lastID = cmp.Or(id, req.Header.Get("Last-Event-ID")); !given && s.lastID == "" {
		s.lastID = lastIDKey.Or(&all, "")
	}
	own := req.Attributes
	own.Merge(&all)
	s.set = settingsIn(&own)
	return s
}

// run is the loop.
func (s *stream) run(ctx context.Context) {
	if ctx == nil || s.base == nil {
		s.yield(s, Event{}, &Error{Reason: BadRequest, Err: errors.New("the context or the request is nil")})
		return
	}
	defer s.leave()
	for {
		err := s.connection(ctx)
		if err == errLeft {
			return
		}
		reason, final := s.judge(ctx, err)
		if !final {
			if err = s.pause(ctx, err); err == nil {
				continue
			}
			reason = Cancelled
		}
		if err != io.EOF || reason != Disconnected {
			s.leave() // it is over: who gets the error may wait for the client
			s.yield(s, Event{}, s.failed(reason, err))
		}
		return
	}
}

// leave lets the client forget the loop.
func (s *stream) leave() {
	if s.branch != nil {
		s.branch.End()
	}
}

// healthy is how long a stream must stay open at least to count as a success
// without an event.
const healthy = 10 * time.Second

// connection makes one call and yields its events.
func (s *stream) connection(ctx context.Context) error {
	s.attempts++
	s.oneShot.Store(false)
	under := ctx
	if s.branch != nil {
		under = s.branch.Context()
	}
	resp, err := s.client.Open(under, s.request(ctx))
	if s.call != nil {
		s.set = settingsIn(s.call.Attributes()) // with the client's
	}
	if err != nil {
		return err
	}
	defer resp.Close()
	if resp.Status == godwit.StatusNoContent {
		return errLeft
	}
	if err := check(resp); err != nil {
		return err
	}
	s.opened = true
	godwit.Emit(s.call.Context(), Opened{resp})
	s.set.limit(&s.parser)
	s.parser.OnRetry = func(ms uint64) {
		s.retry, s.retried = time.Duration(min(ms, uint64(s.set.maxRetry/time.Millisecond)))*time.Millisecond, true
		godwit.Emit(s.call.Context(), RetryChanged{s.retry})
	}
	s.parser.OnComment = nil
	if s.set.comments {
		s.parser.OnComment = func(text string) { godwit.Emit(s.call.Context(), Comment{text}) }
	}
	s.parser.Reset(s.lastID)
	defer s.parser.Release()
	begun := time.Now()
	err = s.deliver(ctx, resp)
	if time.Since(begun) >= max(s.set.backoff.longest, healthy) {
		s.failures, s.attempts = 0, 0
	}
	return err
}

// request makes the request of one connection. A branch of the first call keeps the
// client aware of the loop: Client.Join waits for it, and what Client.Cancel ends
// with it are the waits and all further calls.
func (s *stream) request(ctx context.Context) *godwit.Request {
	req := s.base.Clone()
	req.Method = s.method
	req.Header.SetIfAbsent("Accept", "text/event-stream")
	req.Header.SetIfAbsent("Cache-Control", "no-cache")
	req.Header.Del("Last-Event-ID")
	if id, _ := idField(s.lastID); id != "" {
		req.Header.Set("Last-Event-ID", id)
	}
	return req.With(
		godwit.TimeoutToHead(),
		godwit.DropBody(false),
		godwit.ExpectSuccess(false), // check does it, and does not wait for a body that never ends
		godwit.On(func(_ context.Context, e godwit.Created) {
			if s.call = e.Call; s.branch == nil {
				s.branch, _ = e.Call.Fork(ctx) // which cannot fail while the call runs
			}
		}),
		godwit.On(func(_ context.Context, e godwit.Sending) {
			if !e.Request.IsReplayable() {
				s.oneShot.Store(true)
			}
		}),
	)
}

// deliver yields the events of a response until it ends.
func (s *stream) deliver(ctx context.Context, resp *godwit.Response) error {
	cancelled := false
	err := events(&s.parser, resp.Body, func(ev Event) bool {
		// Client.Cancel ends the call, and what was read before is not wanted any more.
		if cancelled = ctx.Err() != nil || s.branch.Context().Err() != nil || errors.Is(s.call.Err(), context.Canceled); cancelled {
			return false
		}
		s.failures, s.attempts, s.lastID = 0, 0, ev.LastEventID
		return s.yield(s, ev, nil)
	})
	if cancelled {
		return ended(ctx)
	}
	s.lastID = s.parser.LastEventID()
	return err
}

// events parses what r gives and yields the events. It returns the error of
// reading or parsing, or errLeft.
func events(p *eventstream.Parser, r io.Reader, yield func(Event) bool) error {
	var ev eventstream.Event
	for idle := 0; ; {
		n, readErr := r.Read(p.Space())
		p.Advance(n)
		for {
			ok, err := p.Next(&ev)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if !yield(Event(ev)) {
				return errLeft
			}
		}
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case readErr != nil:
			return readErr
		case idle > 100:
			return io.ErrNoProgress
		}
	}
}

// check looks at the head of an answer.
func check(resp *godwit.Response) error {
	if resp.Status != godwit.StatusOK {
		refusal := &godwit.StatusError{Response: glimpse(resp)}
		if mt, ok := header.ContentType(resp.Header); ok && mt.Essence() == "application/problem+json" {
			problem := new(godwit.Problem)
			if json.Unmarshal(refusal.Response.Bytes(), problem) == nil {
				refusal.Problem = problem
			}
		}
		return refusal
	}
	if mt, ok := header.ContentType(resp.Header); !ok || mt.Essence() != "text/event-stream" {
		why := "it has no Content-Type"
		if ct := resp.Header.Joined("Content-Type"); ct != "" {
			why = fmt.Sprintf("Content-Type %q", ct)
		}
		seen := glimpse(resp)
		if body := seen.Bytes(); len(body) > 0 {
			why += fmt.Sprintf("; body starts %q", body[:min(len(body), 200)])
		}
		return &notEventStream{why, seen}
	}
	if coding := resp.Header.Joined("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &notEventStream{fmt.Sprintf("Content-Encoding %q was not asked for, or is not known", coding), glimpse(resp)}
	}
	return nil
}

// glimpse reads the start of a body that is no event stream: error messages stand
// there. It takes what comes within a second, and closes the response.
func glimpse(resp *godwit.Response) *godwit.Response {
	const size, patience = 64 << 10, time.Second
	timer := time.AfterFunc(patience, func() { resp.Close() })
	body, _ := io.ReadAll(io.LimitReader(resp.Body, size)) // what there is will do
	timer.Stop()
	resp.Close()
	return godwit.NewResponse(resp.Request(), resp.Status, resp.Header, body)
}

// judge decides whether the end of a connection is the end of the stream, and
// why.
func (s *stream) judge(ctx context.Context, err error) (reason Reason, final bool) {
	if ctx.Err() != nil {
		return Cancelled, true
	}
	reason = reasonOf(err)
	status, refused := errors.AsType[*godwit.StatusError](err)
	switch {
	case !s.set.reconnect:
		return reason, true
	case refused && slices.Contains(s.set.statuses, status.Response.Status):
	case reason != Disconnected:
		return reason, true
	case !s.opened && unknownHost(err):
		return BadRequest, true
	}
	if s.oneShot.Load() && !unsent(err) {
		return BodyNotReplayable, true
	}
	if _, err := idField(s.lastID); err != nil {
		return BadLastEventID, true
	}
	if s.failures++; s.failures > s.set.maxAttempts && s.set.maxAttempts != Unlimited {
		return AttemptsUsedUp, true
	}
	return reason, false
}

// pause waits before the next attempt. Client.Close ends the wait as well, since a
// closed client begins nothing new.
func (s *stream) pause(ctx context.Context, cause error) error {
	first := s.set.backoff.first
	if s.retried {
		first = s.retry
	}
	delay := s.set.backoff.wait(s.failures, first)
	if status, ok := errors.AsType[*godwit.StatusError](cause); ok {
		if after, ok := header.RetryAfter(status.Response.Header, time.Now()); ok {
			delay = max(delay, min(after, s.set.maxRetry))
		}
	}
	godwit.Emit(s.call.Context(), Reconnecting{Attempt: s.failures, Delay: delay, LastEventID: s.lastID, Err: cause})
	timer := time.NewTimer(delay)
	defer timer.Stop()
	closing := s.call.Client().Closing()
	select {
	case <-timer.C:
	case <-s.branch.Done():
		return ended(ctx)
	case <-closing:
	}
	select {
	case <-closing: // which a call below the branch would not be told
		return godwit.ErrClientClosed
	default:
		return nil
	}
}

// ended returns why ctx, or else the client's call, was ended.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case err == nil:
		return context.Canceled
	case errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// failed makes the error that the loop gets.
func (s *stream) failed(reason Reason, err error) *Error {
	e := &Error{Reason: reason, LastEventID: s.lastID, Attempts: s.attempts, Err: err}
	if err == io.EOF {
		e.Err = errEnded
	}
	if status, ok := errors.AsType[*godwit.StatusError](err); ok {
		e.Response = status.Response
	}
	if other, ok := errors.AsType[*notEventStream](err); ok {
		e.Response = other.response
	}
	switch reason {
	case BodyNotReplayable:
		if !errors.Is(err, godwit.ErrNotReplayable) {
			e.Err = fmt.Errorf("%w, and it would have to be: %w", godwit.ErrNotReplayable, e.Err)
		}
	case BadLastEventID:
		_, bad := idField(s.lastID)
		e.Err = fmt.Errorf("%w; the connection ended: %w", bad, e.Err)
	}
	return e
}

// decode makes a value of an event's data.
func decode[T any](s *stream, ev Event) (T, error) {
	v, err := godwit.Decode[T](s.call.Context(), s.client, s.set.dataType, []byte(ev.Data))
	if err != nil {
		err = &Error{Reason: BadData, LastEventID: ev.LastEventID, Err: err}
	}
	return v, err
}
