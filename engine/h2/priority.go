package h2

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2/priority"
)

// Priority is the priority of a response (RFC 9218 §4): its Urgency, from 0, the
// most urgent, to 7, and whether it is Incremental, so that parts of it are of use
// before the rest. Its String is the value of the field Priority, like "u=1, i".
// The zero value is the most urgent; what a server takes for granted is
// [DefaultPriority].
type Priority = priority.Priority

// DefaultPriority is the priority of responses that nothing is said about.
var DefaultPriority = priority.Default

// PriorityHandle is a priority that may change while its request runs, by
// Update: the server is told by a PRIORITY_UPDATE frame (RFC 9218 §7.1). It is
// safe for concurrent use, and for one request: if there are several, Update
// reaches the one that was sent last.
type PriorityHandle = priority.Handle

// NewPriorityHandle returns a handle, for [PriorityHandleKey].
func NewPriorityHandle(p Priority) *PriorityHandle { return priority.New(p) }

// PriorityKey and PriorityHandleKey are for the attributes of a request: its
// priority, which is sent in the field Priority unless the request has that field
// itself. The handle holds if there are both. Engine cio knows them too.
var (
	PriorityKey       = priority.Key
	PriorityHandleKey = priority.HandleKey
)

// priority returns what to send in the field.
func (e *Engine) priority(req *engine.Request) string {
	if p := priority.Of(req); p != "" {
		return p
	}
	if e.config.Priority != nil {
		return e.config.Priority.String()
	}
	return ""
}
