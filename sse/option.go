package sse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/eventstream"
)

// The options travel as attributes, which a client gives to each of its requests:
// this way they count in godwit.New, too, without a plugin to install.
var (
	methodKey     = attr.NewKey[string]("sse.Method")
	lastIDKey     = attr.NewKey[string]("sse.LastEventID")
	reconnectKey  = attr.NewKey[bool]("sse.Reconnect")
	attemptsKey   = attr.NewKey[int]("sse.MaxAttempts")
	backoffKey    = attr.NewKey[backoff]("sse.Backoff")
	maxRetryKey   = attr.NewKey[time.Duration]("sse.MaxRetry")
	statusesKey   = attr.NewKey[[]godwit.Status]("sse.RetryStatus")
	maxLineKey    = attr.NewKey[int]("sse.MaxLine")
	maxEventKey   = attr.NewKey[int]("sse.MaxEvent")
	commentsKey   = attr.NewKey[bool]("sse.Comments")
	dataTypeKey   = attr.NewKey[string]("sse.DataType")
	refusedOption = godwit.NewSetting[error]("sse", nil).Check(func(err error) error { return err })
)

// refuse is an option that fails what it is given to.
func refuse(format string, args ...any) godwit.Option {
	return refusedOption.Set(fmt.Errorf("sse."+format, args...))
}

// Unlimited in place of a number of attempts means: without end.
const Unlimited = -1

// Method sets the method; the default is GET. The body, set by [godwit.Body], is
// sent again on each reconnect. A client's is for requests without one of their own.
func Method(method string) godwit.Option {
	if !header.IsToken(method) {
		return refuse("Method(%q): that is no method", method)
	}
	return godwit.Attribute(methodKey, method)
}

// LastEventID makes the stream begin after the event of that id, if the server
// can: it is sent as Last-Event-ID. The default is none. A client's is for all
// streams that do not say where to begin.
func LastEventID(id string) godwit.Option {
	if _, err := idField(id); err != nil {
		return refuse("LastEventID: %w", err)
	}
	return godwit.Attribute(lastIDKey, id)
}

// Reconnect says whether a stream that ended, or could not be had, is requested
// again; the default is true. With false the loop ends with the stream.
func Reconnect(on bool) godwit.Option { return godwit.Attribute(reconnectKey, on) }

// MaxAttempts limits how often is reconnected without an event coming between;
// the default is 10. [Unlimited] means without end, as browsers do. A stream that
// stayed open for as long as the longest wait of [Backoff], and at least for 10 s,
// counts like an event.
func MaxAttempts(n int) godwit.Option {
	if n < 1 && n != Unlimited {
		return refuse("MaxAttempts(%d): the limit is more than zero, or sse.Unlimited; sse.Reconnect(false) is for none", n)
	}
	return godwit.Attribute(attemptsKey, n)
}

// Backoff sets the wait before the first reconnect, until the server sets it by
// a retry field, and the longest wait, up to which it doubles with each failed
// attempt. Up to a quarter is added at random, so that clients do not come all at
// once. The defaults are 3 s and 30 s. No wait is shorter than 100 ms, whatever the
// server says, unless first is 0.
func Backoff(first, longest time.Duration) godwit.Option {
	if first < 0 || longest < first {
		return refuse("Backoff(%v, %v): waits are not negative, and the longest is not the shorter", first, longest)
	}
	return godwit.Attribute(backoffKey, backoff{first, longest})
}

// MaxRetry limits the wait that a server can ask for, by a retry field or by
// Retry-After; the default is one hour.
func MaxRetry(d time.Duration) godwit.Option {
	if d < 0 {
		return refuse("MaxRetry(%v): a wait is not negative", d)
	}
	return godwit.Attribute(maxRetryKey, d)
}

// RetryStatus names statuses after which is reconnected, as after a connection
// that failed, Retry-After honoured. The default is none: as in browsers, a status
// other than 200 is the end. 502, 503 and 504 are what a server's maintenance
// looks like from outside.
func RetryStatus(statuses ...godwit.Status) godwit.Option {
	for _, s := range statuses {
		if s < 100 || s > 999 || s == godwit.StatusOK || s == godwit.StatusNoContent {
			return refuse("RetryStatus(%d): that is no status of a refusal", int(s))
		}
	}
	return godwit.Attribute(statusesKey, slices.Clone(statuses))
}

// MaxLine limits a line, in bytes; the default is 16 MiB. A longer one ends the
// stream with an [Error] of [TooLarge].
func MaxLine(n int) godwit.Option {
	if n <= 0 {
		return refuse("MaxLine(%d): the limit is more than zero", n)
	}
	return godwit.Attribute(maxLineKey, n)
}

// MaxEvent limits the data of an event, in bytes; the default is 32 MiB. A larger
// one ends the stream with an [Error] of [TooLarge].
func MaxEvent(n int) godwit.Option {
	if n <= 0 {
		return refuse("MaxEvent(%d): the limit is more than zero", n)
	}
	return godwit.Attribute(maxEventKey, n)
}

// Comments raises [Comment] for each comment of the stream.
func Comments(on bool) godwit.Option { return godwit.Attribute(commentsKey, on) }

// DataType is the media type of the events' data, which chooses the codec of
// [EventsOf]; the default is application/json.
func DataType(mediaType string) godwit.Option {
	if _, ok := header.ParseMediaType(mediaType); !ok {
		return refuse("DataType(%q): that is no media type", mediaType)
	}
	return godwit.Attribute(dataTypeKey, mediaType)
}

// settings are the options as one call has them.
type settings struct {
	lastID            string
	reconnect         bool
	maxAttempts       int
	backoff           backoff
	maxRetry          time.Duration
	statuses          []godwit.Status
	maxLine, maxEvent int
	comments          bool
	dataType          string
}

func settingsIn(bag attr.Bag) settings {
	return settings{
		lastID:      lastIDKey.Or(bag, ""),
		reconnect:   reconnectKey.Or(bag, true),
		maxAttempts: attemptsKey.Or(bag, 10),
		backoff:     backoffKey.Or(bag, backoff{3 * time.Second, 30 * time.Second}),
		maxRetry:    maxRetryKey.Or(bag, time.Hour),
		statuses:    statusesKey.Or(bag, nil),
		maxLine:     maxLineKey.Or(bag, eventstream.DefaultMaxLine),
		maxEvent:    maxEventKey.Or(bag, eventstream.DefaultMaxEvent),
		comments:    commentsKey.Or(bag, false),
		dataType:    dataTypeKey.Or(bag, "application/json"),
	}
}

func (s *settings) limit(p *eventstream.Parser) { p.MaxLine, p.MaxEvent = s.maxLine, s.maxEvent }

// idField returns an id as the value of a field. White space at its ends is not
// part of a field's value, and receivers would not see it.
func idField(id string) (string, error) {
	value := strings.Trim(id, " \t")
	if !header.ValidValue(value) {
		return "", fmt.Errorf("the id %q has control characters, which no field can carry", id)
	}
	return value, nil
}
