// Package priority is the priority of requests by RFC 9218, for the engines that
// speak HTTP/2. Package engine/h2 has its names for users.
package priority

import (
	"strconv"
	"sync"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2/exchange"
)

// Priority is the priority of a response (RFC 9218 §4). The zero value is the
// most urgent; what a server takes for granted is [Default].
type Priority struct {
	// Urgency is from 0, the most urgent, to 7.
	Urgency int
	// Incremental tells that parts of the response are of use before the rest.
	Incremental bool
}

// Default is the priority of responses that nothing is said about.
var Default = Priority{Urgency: 3}

// String returns p as the value of the field Priority, like "u=1, i". An urgency
// out of range counts as the nearest one in it.
func (p Priority) String() string {
	s := "u=" + strconv.Itoa(min(max(p.Urgency, 0), 7))
	if p.Incremental {
		s += ", i"
	}
	return s
}

// Handle is a priority that may change while its request runs. It is made by
// [New], safe for concurrent use, and for one request: if there are several,
// Update reaches the one that was sent last.
type Handle struct {
	mu   sync.Mutex // guards what follows
	now  Priority
	runs *exchange.Exchange
}

// New returns a handle.
func New(p Priority) *Handle { return &Handle{now: p} }

// Update sets the priority. A request that was sent and whose response has not
// come to its end gets a PRIORITY_UPDATE frame (RFC 9218 §7.1); one that is sent
// later, or again, has p from the start.
func (h *Handle) Update(p Priority) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = p
	if h.runs != nil {
		h.runs.Reprioritize(p.String())
	}
}

// The attributes of a request that tell its priority. Of both, HandleKey holds.
var (
	Key       = attr.NewKey[Priority]("h2.Priority")
	HandleKey = attr.NewKey[*Handle]("h2.PriorityHandle")
)

// Of returns what to send in the field Priority; "" = nothing is said.
func Of(req *engine.Request) string {
	if req.Attributes.Empty() {
		return ""
	}
	if h, _ := HandleKey.Get(&req.Attributes); h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now.String()
	}
	if p, ok := Key.Get(&req.Attributes); ok {
		return p.String()
	}
	return ""
}

// Opened lets the handle of a request reach x, whose head was sent with the
// priority sent.
func Opened(req *engine.Request, x *exchange.Exchange, sent string) {
	if req.Attributes.Empty() {
		return
	}
	h, _ := HandleKey.Get(&req.Attributes)
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = x
	if now := h.now.String(); now != sent {
		x.Reprioritize(now)
	}
}
