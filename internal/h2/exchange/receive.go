package exchange

import (
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
)

// receive waits for the head of the final response.
func (x *Exchange) receive() error {
	if x.Status != 0 {
		return nil // it came in place of 100 Continue
	}
	_, err := x.await(x.clock.start(), false)
	return err
}

// await waits for the head of the final response and sets the response from it;
// with until100 it returns on 100 Continue too, final is then false.
func (x *Exchange) await(begin time.Time, until100 bool) (final bool, err error) {
	for {
		// In this order: the interim responses before a head that is here are too.
		head, ok, err := x.stream.Head()
		proceed, refused := x.interims()
		if refused != nil {
			return false, refused
		}
		switch {
		case err != nil:
			return false, err
		case ok:
			x.firstByte()
			return true, x.respond(head)
		case proceed && until100:
			return false, nil
		}
		if err := wait(x.stream.Wake(), x.clock.ReadDue, begin); err != nil {
			return false, err
		}
		x.clock.Moved()
	}
}

// interims deals with the 1xx responses that are here, and reports whether one
// was 100.
func (x *Exchange) interims() (proceed bool, err error) {
	if !x.stream.KeepInterim {
		return false, nil
	}
	for {
		h, ok := x.stream.Interim()
		if !ok {
			return proceed, nil
		}
		x.firstByte()
		proceed = proceed || h.Status == 100
		if t := x.req.Trace; t != nil && t.Informational != nil {
			if err := x.informed(t, h); err != nil {
				return false, err
			}
		}
	}
}

func (x *Exchange) firstByte() {
	if x.answered {
		return
	}
	x.answered = true
	if t := x.req.Trace; t != nil && t.FirstByte != nil {
		x.traceMu.Lock()
		defer x.traceMu.Unlock()
		t.FirstByte()
	}
}

// informed calls the hook, which may panic.
func (x *Exchange) informed(t *engine.Trace, h h2.Head) error {
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	return t.Informational(h.Status, h.Header)
}

// respond sets the response from its head. If all of it is here the exchange is
// over.
func (x *Exchange) respond(head h2.Head) error {
	x.Status, x.Proto, x.Header = head.Status, "HTTP/2.0", head.Header
	x.Response.Conn = x.conn.Info
	x.clock.HeadOver.Store(true)
	x.Body = x
	x.ContentLength = head.Length
	complete, empty := x.stream.Complete()
	if tunnels(x.req) && head.Status >= 200 && head.Status < 300 {
		return x.upgrade()
	}
	switch {
	case x.req.Method == "HEAD" || head.Status == 304:
	case head.Status == 204 || complete && empty:
		x.ContentLength = 0
	}
	if tunnels(x.req) {
		x.stream.Offer(nil, true) // nothing is going to be tunnelled
		complete, empty = x.stream.Complete()
	}
	if !complete {
		x.Trailer = x.stream.Trailer
		return nil
	}
	if x.stream.Trailer().Len() > 0 {
		x.Trailer = x.stream.Trailer
	}
	if x.upload == nil || x.upload.Sent() {
		// What is left to be read is here already.
		if x.finish(nil); empty {
			x.end = x.eof()
			x.stream.Release()
		}
	}
	return nil
}

func tunnels(req *engine.Request) bool { return req.Method == "CONNECT" || req.Protocol != "" }
