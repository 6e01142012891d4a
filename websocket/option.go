package websocket

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ws"
)

// Option is an option of Dial: one of this package, or any other of a request
// (godwit.Header, godwit.Timeout, …). Those of this package are valid for a
// client, too, and then hold for all its connections; what is given to Dial goes
// before that.
type Option = godwit.Option

// The defaults.
const (
	DefaultReadLimit    = 1 << 20
	DefaultCloseTimeout = 5 * time.Second
)

var (
	readLimitKey    = attr.NewKey[int64]("websocket.ReadLimit")
	closeTimeoutKey = attr.NewKey[time.Duration]("websocket.CloseTimeout")
	keepAliveKey    = attr.NewKey[pace]("websocket.KeepAlive")
	compressionKey  = attr.NewKey[Compression]("websocket.Compression")
	reconnectKey    = attr.NewKey[Reconnect]("websocket.Reconnect")
	badKey          = attr.NewKey[error]("websocket: bad option")
)

func bad(format string, args ...any) Option {
	return godwit.Attribute(badKey, fmt.Errorf("websocket."+format, args...))
}

// ReadLimit bounds a message that is read, after decompression, and the work for
// it: compressed bytes to about twice as many, empty frames to 1024. A larger one
// ends the connection with [ErrMessageTooLarge] and status 1009. The default is
// [DefaultReadLimit], 1 MiB; 0 means no limit.
func ReadLimit(bytes int64) Option {
	if bytes < 0 {
		return bad("ReadLimit(%d): the limit is not negative; 0 means none", bytes)
	}
	return godwit.Attribute(readLimitKey, bytes)
}

// CloseTimeout bounds the closing handshake of [Conn.Close]; the default is
// [DefaultCloseTimeout], 5 seconds.
func CloseTimeout(d time.Duration) Option {
	if d <= 0 {
		return bad("CloseTimeout(%v): a timeout is more than zero", d)
	}
	return godwit.Attribute(closeTimeoutKey, d)
}

type pace struct{ every, within time.Duration }

// KeepAlive sends a ping every so often, and closes the connection with
// [PongTimeoutError] if nothing comes from the server after one while somebody
// reads for the given time, in one read or in several. A ping waits for a message
// that is being written; then what the server takes of that is its sign of life.
// While nobody reads, pongs can't be seen and pings only keep the way open. The
// default is none. An engine that delivers messages, as those in browsers do, has
// no pings: there Dial gives *godwit.UnsupportedError.
func KeepAlive(every, within time.Duration) Option {
	if every <= 0 || within <= 0 {
		return bad("KeepAlive(%v, %v): both are more than zero", every, within)
	}
	return godwit.Attribute(keepAliveKey, pace{every, within})
}

// Subprotocol offers sub-protocols, best first; [Conn.Subprotocol] is the one
// that the server chose, if any.
func Subprotocol(names ...string) Option {
	if len(names) == 0 {
		return godwit.All()
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) { // RFC 6455 §4.1
			return bad("Subprotocol: %q is offered twice", name)
		}
		if !header.IsToken(name) {
			return bad("Subprotocol(%q): only letters, digits and !#$%%&'*+-.^_`|~ are allowed", name)
		}
	}
	return godwit.Header(protocolField, strings.Join(names, ", "))
}

// Compression is what [Compress] offers (RFC 7692). Its zero value is
// permessage-deflate as the server likes it.
type Compression struct {
	// ServerNoContextTakeover asks the server to compress each message by
	// itself: it then needs no memory between messages (32 KiB), nor do we.
	ServerNoContextTakeover bool
	// ClientNoContextTakeover does so with ours.
	ClientNoContextTakeover bool
	// ServerMaxWindowBits asks the server for a window of at most 2^n bytes, 8
	// to 15; 0 leaves it to the server.
	ServerMaxWindowBits int
	// ClientMaxWindowBits bounds our own window; 0 = 15. The server may ask for
	// less in any case.
	ClientMaxWindowBits int
	// Threshold is the length from which Write compresses a message; 0 = 512
	// bytes. Those of a Writer are always compressed.
	Threshold int
}

func (c Compression) offer() *ws.Deflate {
	return &ws.Deflate{
		ServerNoContextTakeover: c.ServerNoContextTakeover, ClientNoContextTakeover: c.ClientNoContextTakeover,
		ServerMaxWindowBits: c.ServerMaxWindowBits, ClientMaxWindowBits: c.ClientMaxWindowBits,
	}
}

// defaultThreshold is where compression begins to save more than it costs.
const defaultThreshold = 512

// Compress offers to compress messages. The default is not to: it costs more
// than it saves but on slow networks.
func Compress(c Compression) Option {
	for _, bits := range []int{c.ServerMaxWindowBits, c.ClientMaxWindowBits} {
		if bits != 0 && (bits < 8 || bits > 15) {
			return bad("Compress: window bits of %d; 8 to 15 are allowed, 0 means the default", bits)
		}
	}
	if c.Threshold < 0 {
		return bad("Compress: Threshold is %d; it is not negative", c.Threshold)
	}
	return godwit.All(godwit.Attribute(compressionKey, c), godwit.Header(extensionsField, c.offer().Offer()))
}

// Reconnect is how a lost connection is made again; see [WithReconnect].
type Reconnect struct {
	// Min and Max bound the wait before an attempt, which doubles from one to
	// the next, less up to a half by chance; 0 = 500 ms and 30 s.
	Min, Max time.Duration
	// Attempts is how often in a row it may fail; 0 = 10, negative = no bound. A
	// connection that was lost again before a message came on it, and within 10
	// s or Max, whichever is more, has failed, too. After that the error is final.
	Attempts int
	// When says whether the error that a connection ended with, or an attempt
	// failed with, is to be followed by another attempt; nil = [Temporary].
	When func(error) bool
	// Subscribe runs on each new connection but the first, before anybody else
	// may use it. An error, or a panic, counts as a failed attempt. The Conn is
	// that connection alone: it does not reconnect, and is not to be kept. It runs
	// in a goroutine of its own; ctx ends with the Conn and by Client.Cancel.
	Subscribe func(ctx context.Context, conn *Conn) error
}

// WithReconnect makes the connection again when it is lost: whoever reads or
// writes then waits for that, within their context; the next one goes on where
// that ended. An attempt outlives who began it: it is given up when one of its
// callers' contexts ends 30 s or Max, whichever is more, after it began. A
// handshake refused with 429 or 503 and a Retry-After is not repeated before that,
// up to an hour. Client.Cancel ends the wait, Client.Close does, too, as nothing
// can be made again after it, and Client.Join waits for it. A message is never sent
// twice, and what the server sent meanwhile is lost. A write that fails halfway
// returns its error, and the next one reconnects.
func WithReconnect(r Reconnect) Option {
	if r.Min < 0 || r.Max < 0 || r.Max != 0 && r.Max < r.Min {
		return bad("WithReconnect: Min is %v and Max %v", r.Min, r.Max)
	}
	return godwit.Attribute(reconnectKey, r)
}

// settings are the options of a connection, shared by those that came of one
// Dial.
type settings struct {
	readLimit    int64
	closeTimeout time.Duration
	pace         pace
	compressFrom int
	client       *godwit.Client
	codec        godwit.Codec // for JSON
	reconnects   bool
}

func settingsOf(client *godwit.Client, a *attr.Attributes) *settings {
	s := &settings{
		readLimit:    readLimitKey.Or(a, DefaultReadLimit),
		closeTimeout: closeTimeoutKey.Or(a, DefaultCloseTimeout),
		pace:         keepAliveKey.Or(a, pace{}),
		compressFrom: defaultThreshold,
		client:       client,
		codec:        jsonCodec(client),
	}
	_, s.reconnects = reconnectKey.Get(a)
	if n := compressionKey.Or(a, Compression{}).Threshold; n > 0 {
		s.compressFrom = n
	}
	return s
}
