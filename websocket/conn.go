package websocket

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ws"
)

// MessageType tells text from binary messages.
type MessageType byte

// The types of messages.
const (
	Text   = MessageType(ws.Text)   // UTF-8
	Binary = MessageType(ws.Binary) // any bytes
)

// String returns "text" or "binary".
func (t MessageType) String() string {
	switch t {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return "unknown"
}

// Message is what a server sends in one piece.
type Message struct {
	Type MessageType
	Data []byte
}

// String returns the message as a string.
func (m Message) String() string { return string(m.Data) }

// Conn is a WebSocket connection, made by [Dial]. It is safe for concurrent use.
// Whoever has it closes it, with [Conn.Close] or [Conn.CloseNow]; closing twice
// is harmless.
//
// The connection is a call of its client: Client.Cancel ends it, Client.Join
// waits for it.
type Conn struct {
	now   atomic.Pointer[live]
	again *redialer // nil = none
}

// live is the connection that a Conn has at present.
type live struct {
	wire
	subprotocol, extensions string
	local, remote           net.Addr
	since                   time.Time
}

// giveUp ends the connection for good: the client forgets it.
func (l *live) giveUp() { l.registered().Close() }

// wire is a connection: over bytes, or of an engine that delivers messages.
type wire interface {
	readInto(ctx context.Context, buf []byte) (MessageType, []byte, error)
	reader(ctx context.Context) (MessageType, io.Reader, error)
	write(ctx context.Context, kind MessageType, data []byte) error
	writer(ctx context.Context, kind MessageType) (io.WriteCloser, error)
	ping(ctx context.Context) error
	close(code StatusCode, reason string) error
	// fail ends the connection and returns the error it ended with; failure
	// returns that, or nil.
	fail(err error) error
	failure() error
	// ready is failure, and ends a connection that cannot be written to if there
	// will be another.
	ready() error
	heard() bool // a message has come
	unlimit()    // from now on messages may be of any length
	registered() *godwit.Detached
	settings() *settings
}

var (
	_ wire = (*link)(nil)
	_ wire = (*messageLink)(nil)
)

// Dial opens a WebSocket connection: a GET with the fields of the handshake, sent
// through the client like any other request. rawURL has scheme ws, wss, http or
// https, or is relative to the client's BaseURL. A nil client is godwit.Default.
//
// ctx and the client's timeouts end with the handshake. Errors are those of a
// call, *godwit.Error, or *[HandshakeError] if the server answered otherwise; an
// engine that cannot upgrade gives *godwit.UnsupportedError.
func Dial(ctx context.Context, client *godwit.Client, rawURL string, opts ...Option) (*Conn, error) {
	first, attributes, err := open(ctx, client, rawURL, opts)
	if err != nil {
		return nil, err
	}
	c := new(Conn)
	c.now.Store(first)
	if policy, ok := reconnectKey.Get(attributes); ok {
		c.again = newRedialer(client, rawURL, opts, policy)
	}
	return c, nil
}

// Session opens a connection as [Dial] does, calls f with it, and closes it: with
// StatusNormalClosure if f returns nil, else with StatusGoingAway. When ctx ends
// the connection is closed at once, and the error is ctx's cause; else it is f's,
// or that of Dial or Close. f may close the connection itself.
func Session(ctx context.Context, client *godwit.Client, rawURL string, f func(*Conn) error, opts ...Option) error {
	conn, err := Dial(ctx, client, rawURL, opts...)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	defer context.AfterFunc(ctx, func() { conn.CloseNow() })()
	err = f(conn)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		conn.Close(StatusGoingAway, "")
		return err
	default:
		err = conn.Close(StatusNormalClosure, "")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// newWire makes a connection of an upgraded response.
func newWire(resp *godwit.Response, agreed *ws.Deflate, set *settings) (wire, error) {
	m, messages := resp.Upgraded().(engine.MessageConn)
	name := resp.Call().Client().Engine().Name()
	if messages && set.pace.every > 0 {
		return nil, noPings(name, "KeepAlive")
	}
	// A call is several times as large as all else that a connection needs.
	detached, err := resp.Detach()
	if err != nil { // it has ended
		return nil, err
	}
	if messages {
		return &messageLink{conn: m, release: detached, set: set, engine: name}, nil
	}
	l := &link{stream: streamOf(resp.Upgraded()), release: detached, set: set, deflate: agreed}
	l.in.frames.Deflate = agreed != nil
	l.out.link = l
	if set.pace.every > 0 {
		l.alive = &keepAlive{link: l, every: set.pace.every, within: set.pace.within}
		l.alive.start()
	}
	return l, nil
}

// Read returns the next message. Its Data is the caller's.
func (c *Conn) Read(ctx context.Context) (Message, error) {
	return c.ReadInto(ctx, nil)
}

// ReadInto does so with the message appended to buf, which may be used again and
// again: then nothing is allocated. On an error Data is buf as it was.
func (c *Conn) ReadInto(ctx context.Context, buf []byte) (Message, error) {
	for {
		at := c.now.Load()
		kind, data, err := at.readInto(ctx, buf)
		if err == nil {
			return Message{kind, data}, nil
		}
		if err = c.restore(ctx, at, err); err != nil {
			return Message{0, buf}, err
		}
	}
}

// Messages returns an iterator over the messages that come. It ends when the
// server closes the connection with StatusNormalClosure, StatusGoingAway or no
// status at all, or when it is closed here; any other error is its last element, also
// that such a connection could not be made again. Each Data is the caller's. Breaking
// off leaves the connection as it is.
func (c *Conn) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := c.Read(ctx)
			switch {
			case err == nil:
				if !yield(m, nil) {
					return
				}
				continue
			case !farewell(err):
				yield(Message{}, err)
			}
			return
		}
	}
}

// Reader waits for the next message and returns what streams it, under ctx. What
// was not read of it is skipped by the next Read or Reader. UTF-8 and ReadLimit
// are checked as it is read.
func (c *Conn) Reader(ctx context.Context) (MessageType, io.Reader, error) {
	return c.stream(ctx, false)
}

// stream does so for messages of any length, if they are not kept in memory.
func (c *Conn) stream(ctx context.Context, unlimited bool) (MessageType, io.Reader, error) {
	for {
		at := c.now.Load()
		if unlimited {
			at.unlimit()
		}
		kind, r, err := at.reader(ctx)
		if err == nil {
			return kind, r, nil
		}
		if err = c.restore(ctx, at, err); err != nil {
			return 0, nil, err
		}
	}
}

// Write sends a message in one frame, by one system call unless it is larger
// than 1 MiB, or 64 KiB with KeepAlive. It does not keep or change data. Text must be UTF-8.
func (c *Conn) Write(ctx context.Context, kind MessageType, data []byte) error {
	at, err := c.writable(ctx)
	if err != nil {
		return err
	}
	return at.write(ctx, kind, data)
}

// Writer begins a message that is written piece by piece, under ctx, and ends
// with Close. It goes in frames of 4 KiB or more, or in one if it is shorter.
// Other messages wait until then, or until ctx ends: that gives up the message, and
// the connection, too, if a part of it was sent.
func (c *Conn) Writer(ctx context.Context, kind MessageType) (io.WriteCloser, error) {
	at, err := c.writable(ctx)
	if err != nil {
		return nil, err
	}
	return at.writer(ctx, kind)
}

// Ping sends a ping and waits for its pong. If nobody reads, Ping itself does, up
// to the next message; a pong behind a message is seen when that is read.
func (c *Conn) Ping(ctx context.Context) error {
	at, err := c.writable(ctx)
	if err != nil {
		return err
	}
	return at.ping(ctx)
}

// Close says farewell to the server: it sends a close frame and waits for the
// server's, up to CloseTimeout, dropping messages that still come; then it closes
// the connection. StatusNoStatus sends a frame without a code. The reason is at
// most 123 bytes. It returns nil if the server said farewell, too, and the
// connection is closed in any case, unless code or reason cannot be sent. If it was
// lost before, the error tells why. Closing what is closed already is no error.
func (c *Conn) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	c.again.close()
	at := c.now.Load()
	defer at.giveUp()
	return at.close(code, reason)
}

// CloseNow closes the connection without a farewell. Whatever waits on it returns.
func (c *Conn) CloseNow() error {
	c.again.close()
	at := c.now.Load()
	at.fail(errClosed)
	at.giveUp()
	return nil
}

// Subprotocol returns the sub-protocol that the server chose, or "".
func (c *Conn) Subprotocol() string { return c.now.Load().subprotocol }

// Extensions returns the extensions that are in use, as the server named them,
// or "".
func (c *Conn) Extensions() string { return c.now.Load().extensions }

// farewell reports whether a connection ended as it should: not if that is only
// why it could not be made again.
func farewell(err error) bool {
	if e, ok := err.(*CloseError); ok {
		return e.Code == StatusNormalClosure || e.Code == StatusGoingAway || e.Code == StatusNoStatus
	}
	return errors.Is(err, errClosed)
}

// open makes a connection and notes what was agreed.
func open(ctx context.Context, client *godwit.Client, rawURL string, opts []Option) (*live, *attrs, error) {
	w, resp, err := connect(ctx, client, rawURL, opts)
	if err != nil {
		return nil, nil, err
	}
	l := &live{wire: w, local: resp.LocalAddr(), remote: resp.RemoteAddr(), since: time.Now()}
	if m, ok := resp.Upgraded().(engine.MessageConn); ok {
		l.subprotocol, l.extensions = m.Subprotocol(), m.Extensions()
	} else { // copies, as the header is one piece of memory
		l.subprotocol = strings.Clone(resp.Header.Get(protocolField))
		if w.(*link).deflate != nil { // what answers no offer may be a list of nothing
			l.extensions = strings.Clone(resp.Header.Joined(extensionsField))
		}
	}
	snapshot := resp.Call().Attributes().Snapshot()
	return l, &snapshot, nil
}
