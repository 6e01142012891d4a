package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

var wsContenders = []contender{
	{"ws-floor", "no client: a frame that is ready on a net.Conn", makeWS(dialFloor), false},
	{"ws-godwit", "websocket.Conn: Write and ReadInto with the worker's context", makeWS(dialGodwit), false},
	{"ws-gorilla", "gorilla/websocket: WriteMessage and NextReader", makeWS(dialGorilla), false},
	{"ws-coder", "coder/websocket: Write and Reader", makeWS(dialCoder), false},
	{"ws-gobwas", "gobwas/ws: wsutil.WriteClientMessage and ws.ReadHeader", makeWS(dialGobwas), false},
	{"ws-gws", "lxzan/gws: WriteMessage, and ReadLoop in a goroutine", makeWS(dialGWS), false},
}

// echoer sends a message and reads it back into buf, and returns its length; a
// batch does so n times.
type (
	echoer func(ctx context.Context, message, buf []byte) (int, error)
	batch  func(ctx context.Context, message, buf []byte, n int) error
)

// batch repeats one echo.
func (one echoer) batch() batch {
	return func(ctx context.Context, message, buf []byte, n int) error {
		for range n {
			if got, err := one(ctx, message, buf); err != nil || got != len(message) {
				return fmt.Errorf("echo of %d bytes: %w", got, err)
			}
		}
		return nil
	}
}

// wsDialer opens connections; held keeps what the program would hold.
type wsDialer func(e *env) func(ctx context.Context) (echo batch, held any, err error)

// wsHeld is what programs with idle connections keep.
var wsHeld []any

func makeWS(dialer wsDialer) maker {
	return func(e *env) (func() task, error) {
		dial, size := dialer(e), wsSmallSize
		if e.Kind == kindWSLarge {
			size = wsLargeSize
		}
		message := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		return func() task {
			var echo batch
			var buf []byte
			return func(ctx context.Context) (err error) {
				if e.Kind == kindWSIdle {
					return restWS(ctx, dial, message)
				}
				if echo == nil {
					if echo, _, err = dial(ctx); err != nil {
						return err
					}
					buf = make([]byte, len(message))
				}
				if err := echo(ctx, message, buf, wsBatch); err != nil {
					return err
				}
				if n := len(message); buf[0] != message[0] || buf[n-1] != message[n-1] {
					return errors.New("the echo differs")
				}
				return nil
			}
		}, nil
	}
}

// restWS leaves a connection behind that was used once.
func restWS(ctx context.Context, dial func(context.Context) (batch, any, error), message []byte) error {
	echo, held, err := dial(ctx)
	if err != nil {
		return err
	}
	if err := echo(ctx, message, make([]byte, len(message)), 1); err != nil {
		return err
	}
	wsHeld = append(wsHeld, held)
	return nil
}

func (e *env) wsURL() string { return "ws://" + e.Addr + pathWS }

// dialFloor masks nothing and looks at nothing: it writes bytes that are ready
// and counts those that come.
func dialFloor(e *env) func(context.Context) (batch, any, error) {
	return func(context.Context) (batch, any, error) {
		conn, err := net.Dial("tcp", e.Addr)
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", pathWS, e.Addr)
		var head [1024]byte
		for n := 0; !bytes.HasSuffix(head[:n], headEnd); {
			m, err := conn.Read(head[n:])
			if err != nil {
				return nil, nil, err
			}
			n += m
		}
		var frame, in []byte
		return echoer(func(_ context.Context, message, buf []byte) (int, error) {
			if frame == nil {
				frame = ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame(bytes.Clone(message))))
				in = make([]byte, len(frame)-4)
			}
			if _, err := conn.Write(frame); err != nil {
				return 0, err
			}
			if _, err := io.ReadFull(conn, in); err != nil {
				return 0, err
			}
			buf[0], buf[len(buf)-1] = in[len(in)-len(buf)], in[len(in)-1]
			return len(buf), nil
		}).batch(), conn, nil
	}
}

func dialGodwit(e *env) func(context.Context) (batch, any, error) {
	c := godwit.New(godwit.WithEngine(cioConfig(e)))
	return func(ctx context.Context) (batch, any, error) {
		conn, err := websocket.Dial(ctx, c, e.wsURL())
		return echoer(func(ctx context.Context, message, buf []byte) (int, error) {
			if err := conn.Write(ctx, websocket.Binary, message); err != nil {
				return 0, err
			}
			m, err := conn.ReadInto(ctx, buf[:0])
			return len(m.Data), err
		}).batch(), conn, err
	}
}

func dialGorilla(e *env) func(context.Context) (batch, any, error) {
	return func(ctx context.Context) (batch, any, error) {
		conn, _, err := gorilla.DefaultDialer.DialContext(ctx, e.wsURL(), nil)
		return echoer(func(_ context.Context, message, buf []byte) (int, error) {
			if err := conn.WriteMessage(gorilla.BinaryMessage, message); err != nil {
				return 0, err
			}
			_, r, err := conn.NextReader()
			if err != nil {
				return 0, err
			}
			return readWhole(r, buf)
		}).batch(), conn, err
	}
}

// readWhole fills buf and looks for the end.
func readWhole(r io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(r, buf)
	if err != nil {
		return n, err
	}
	var one [1]byte
	if m, err := r.Read(one[:]); m != 0 || err != io.EOF {
		return n + m, errors.Join(errors.New("no end"), err)
	}
	return n, nil
}

func dialCoder(e *env) func(context.Context) (batch, any, error) {
	return func(ctx context.Context) (batch, any, error) {
		conn, _, err := coder.Dial(ctx, e.wsURL(), nil)
		if err == nil {
			conn.SetReadLimit(1 << 20)
		}
		return echoer(func(ctx context.Context, message, buf []byte) (int, error) {
			if err := conn.Write(ctx, coder.MessageBinary, message); err != nil {
				return 0, err
			}
			_, r, err := conn.Reader(ctx)
			if err != nil {
				return 0, err
			}
			return readWhole(r, buf)
		}).batch(), conn, err
	}
}

func dialGobwas(e *env) func(context.Context) (batch, any, error) {
	return func(ctx context.Context) (batch, any, error) {
		conn, early, _, err := ws.Dial(ctx, e.wsURL())
		if early != nil || err != nil {
			return nil, nil, errors.Join(err, errors.New("bytes behind the head"))
		}
		r := bufio.NewReader(conn)
		return echoer(func(_ context.Context, message, buf []byte) (int, error) {
			if err := wsutil.WriteClientMessage(conn, ws.OpBinary, message); err != nil {
				return 0, err
			}
			h, err := ws.ReadHeader(r)
			if err != nil || h.Length != int64(len(buf)) {
				return int(h.Length), err
			}
			return io.ReadFull(r, buf)
		}).batch(), []any{conn, r}, err
	}
}

// gwsEvents hands messages over to who waits for them.
type gwsEvents struct {
	gws.BuiltinEventHandler
	message, buf []byte
	left         int
	done         chan error
}

// OnMessage sends the next message of a batch from the goroutine that reads.
func (h *gwsEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	n := copy(h.buf, m.Bytes())
	m.Close()
	h.left--
	switch {
	case n != len(h.message):
		h.done <- fmt.Errorf("echo of %d bytes", n)
	case h.left == 0:
		h.done <- nil
	default:
		if err := c.WriteMessage(gws.OpcodeBinary, h.message); err != nil {
			h.done <- err
		}
	}
}

func dialGWS(e *env) func(context.Context) (batch, any, error) {
	return func(context.Context) (batch, any, error) {
		h := &gwsEvents{done: make(chan error, 1)}
		conn, _, err := gws.NewClient(h, &gws.ClientOption{Addr: e.wsURL()})
		if err != nil {
			return nil, nil, err
		}
		go conn.ReadLoop()
		return func(_ context.Context, message, buf []byte, n int) error {
			h.message, h.buf, h.left = message, buf, n
			if err := conn.WriteMessage(gws.OpcodeBinary, message); err != nil {
				return err
			}
			return <-h.done
		}, conn, nil
	}
}
