package h2

import (
	"errors"
	"strconv"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2/exchange"
)

// Priority is the priority of a response (RFC 9218 §4). The zero value is the
// most urgent; what a server takes for granted is [DefaultPriority].
type Priority struct {
	// Urgency is from 0, the most urgent, to 7.
	Urgency int
	// Incremental tells that parts of the response are of use before the rest.
	Incremental bool
}

// DefaultPriority is the priority of responses that nothing is said about.
var DefaultPriority = Priority{Urgency: 3}

// String returns p as the value of the field Priority, like "u=1, i". An urgency
// out of range counts as the nearest one in it.
func (p Priority) String() string {
	s := "u=" + strconv.Itoa(min(max(p.Urgency, 0), 7))
	if p.Incremental {
		s += ", i"
	}
	return s
}

// PriorityKey is for the attributes of a request: its priority, which is sent in
// the field Priority unless the request has that field itself.
var PriorityKey = attr.NewKey[Priority]("h2.Priority")

// priority returns what to send in the field.
func (e *Engine) priority(req *engine.Request) string {
	if !req.Attributes.Empty() {
		if p, ok := PriorityKey.Get(&req.Attributes); ok {
			return p.String()
		}
	}
	if e.config.Priority != nil {
		return e.config.Priority.String()
	}
	return ""
}

// Reprioritize tells the server that the priority of a response whose body is
// being read is now p, by a PRIORITY_UPDATE frame (RFC 9218 §7.1). It is an error
// if resp is not this engine's own.
func Reprioritize(resp *engine.Response, p Priority) error {
	x, ok := resp.Body.(*exchange.Exchange)
	if !ok {
		return errors.New("h2: Reprioritize needs a response as the engine has made it: its Body was wrapped, or is another engine's")
	}
	x.Reprioritize(p.String())
	return nil
}
