package websocket_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// twofold reads into two pieces of memory as much as the peer wrote at once.
type twofold struct {
	net.Conn
	buf    [1 << 20]byte
	got    []byte
	landed int // reads that went beyond the first piece
}

func (c *twofold) Read(p []byte) (int, error) {
	if len(c.got) == 0 {
		n, err := c.Conn.Read(c.buf[:])
		if c.got = c.buf[:n]; n == 0 {
			return 0, err
		}
	}
	n := copy(p, c.got)
	c.got = c.got[n:]
	return n, nil
}

func (c *twofold) ReadTwo(a, b []byte) (int, error) {
	n, err := c.Read(a)
	if n < len(a) || len(c.got) == 0 {
		return n, err
	}
	c.landed++
	m := copy(b, c.got)
	c.got = c.got[m:]
	return n + m, nil
}

// sent is a message, in so many frames, or a ping.
type sent struct {
	op          ws.Opcode
	size, parts int
}

func (m sent) payload() string {
	unit := fmt.Sprintf("%d ä ", m.size)
	return (strings.Repeat(unit, m.size/len(unit)) + strings.Repeat(".", m.size))[:m.size]
}

func (m sent) frames() (s string) {
	payload, op := m.payload(), m.op
	for part := range max(m.parts, 1) {
		rest := len(payload)
		if part < m.parts-1 {
			rest /= m.parts - part
		}
		h := ws.Header{Final: part >= m.parts-1, Opcode: op, Length: int64(rest)}
		s += string(h.Append(nil)) + payload[:rest]
		payload, op = payload[rest:], ws.Continuation
	}
	return s
}

func times(n int, m sent) (all []sent) {
	for range n {
		all = append(all, m)
	}
	return all
}

// drain reads what the client sends, pongs mostly, until it closes.
func (p *peer) drain() (closed chan struct{}) {
	closed = make(chan struct{})
	go func() {
		defer close(closed)
		p.rest()
	}()
	return closed
}

// TestLargeMessages: whatever follows on a large message, and however it is cut on
// its way, nothing of it is lost or moved.
func TestLargeMessages(t *testing.T) {
	large, longer, largest := sent{ws.Binary, 5000, 1}, sent{ws.Text, 65_535, 1}, sent{ws.Binary, 70_000, 1}
	small, ping := sent{ws.Text, 60, 1}, sent{ws.Ping, 100, 1}
	for name, row := range map[string]struct {
		stream []sent
		lands  int // reads that go beyond the head, when each is written by itself
	}{
		"one like the other":  {times(4, large), 3},
		"with a longer head":  {times(4, largest), 3},
		"growing":             {[]sent{large, longer, largest, largest}, 3},
		"shrinking":           {[]sent{largest, longer, large, large}, 3},
		"a small one":         {[]sent{large, small, large, large}, 2},
		"a ping":              {[]sent{large, ping, large, ping, ping, large}, 5},
		"an empty one":        {[]sent{large, {ws.Binary, 0, 1}, large}, 0},
		"many small ones":     {append(times(2, largest), times(2000, small)...), 2},
		"pings and small":     {append([]sent{largest, ping, small, ping}, times(100, sent{ws.Binary, 900, 1})...), 2},
		"in frames":           {[]sent{{ws.Text, 60_000, 3}, {ws.Text, 60_000, 3}, {ws.Binary, 20_000, 4}}, 2},
		"frames after one":    {[]sent{largest, {ws.Binary, 70_000, 1000}, largest}, 1},
		"one byte more":       {[]sent{{ws.Binary, 4096, 1}, {ws.Binary, 4097, 1}, {ws.Binary, 4096, 1}, {ws.Binary, 4095, 1}}, 3},
		"longer than the buf": {times(3, sent{ws.Binary, 300_000, 1}), 2},
	} {
		t.Run(name, func(t *testing.T) {
			var all []byte
			for _, m := range row.stream {
				all = append(all, m.frames()...)
			}
			for _, pieces := range []int{1 << 20, 70_010, 65_536, 5004, 4099, 1000, 11, 10, 9, 4, 3} {
				if len(all)/pieces > 10_000 {
					continue
				}
				script := func(p *peer) {
					closed := p.drain()
					for part := range slices.Chunk(all, pieces) {
						p.raw(string(part))
					}
					<-closed
				}
				readAll(t, row.stream, script)
			}
			landed := readAll(t, row.stream, func(p *peer) {
				closed := p.drain()
				for _, m := range row.stream {
					p.raw(m.frames())
				}
				<-closed
			})
			if landed != row.lands {
				t.Errorf("%d reads landed, want %d", landed, row.lands)
			}
		})
	}
}

// readAll reads the stream that the script sends, and counts what landed.
func readAll(t *testing.T, stream []sent, script func(*peer)) int {
	t.Helper()
	var c *twofold
	piped(t, func(conn net.Conn) io.ReadWriteCloser {
		c = &twofold{Conn: conn}
		return c
	}, script, func(t *testing.T, s *scene) {
		conn := s.dial()
		buf := make([]byte, 0, 100_000)
		for i, want := range stream {
			if want.op.IsControl() {
				continue
			}
			before := "before"[:i%2*len("before")]
			m, err := conn.ReadInto(t.Context(), append(buf, before...))
			if err != nil || string(m.Data) != before+want.payload() || ws.Opcode(m.Type) != want.op {
				t.Fatalf("message %d of %d bytes: %d bytes of %v, %v", i, want.size, len(m.Data), m.Type, err)
			}
		}
		conn.CloseNow()
	})
	return c.landed
}

// TestBadLanding: what is wrong with a message is found where it has landed, too.
func TestBadLanding(t *testing.T) {
	good := sent{ws.Text, 5000, 1}.frames()
	for name, row := range map[string]struct {
		next string
		is   func(error) bool
	}{
		"not UTF-8": {string(ws.Header{Final: true, Opcode: ws.Text, Length: 5000}.Append(nil)) + strings.Repeat("\xff", 5000), brokenRule("8.1")},
		"too long":  {sent{ws.Text, 9000, 1}.frames(), func(err error) bool { return errors.Is(err, websocket.ErrMessageTooLarge) }},
		"masked":    {string(ws.Header{Final: true, Opcode: ws.Text, Masked: true, Length: 5000}.Append(nil)) + strings.Repeat("a", 5000), brokenRule("5.1")},
		"compressed": {string(ws.Header{Final: true, Opcode: ws.Text, Compressed: true, Length: 5000}.Append(nil)) + strings.Repeat("a", 5000),
			brokenRule("5.2")},
		"its middle": {string(ws.Header{Final: true, Opcode: ws.Continuation, Length: 5000}.Append(nil)) + strings.Repeat("a", 5000), brokenRule("5.4")},
		"its end":    {good[:3000], func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		t.Run(name, func(t *testing.T) {
			piped(t, func(c net.Conn) io.ReadWriteCloser { return &twofold{Conn: c} }, func(p *peer) {
				p.drain()
				p.raw(good)
				p.raw(row.next)
			}, func(t *testing.T, s *scene) {
				conn := s.dial(websocket.ReadLimit(8000))
				buf := make([]byte, 0, 10_000)
				if m, err := conn.ReadInto(t.Context(), buf); err != nil || len(m.Data) != 5000 {
					t.Fatalf("%d bytes, %v", len(m.Data), err)
				}
				m, err := conn.ReadInto(t.Context(), buf)
				if err == nil || !row.is(err) || len(m.Data) != 0 {
					t.Errorf("%d bytes, %v", len(m.Data), err)
				}
				if _, again := conn.ReadInto(t.Context(), buf); again == nil {
					t.Error("the connection lives on")
				}
			})
		})
	}
}

func brokenRule(section string) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*godwit.ProtocolError](err)
		return ok && strings.HasSuffix(e.Section, section)
	}
}

// TestLandingCancelled: a read that is broken off before anything has come leaves
// the connection as it was.
func TestLandingCancelled(t *testing.T) {
	large := sent{ws.Binary, 50_000, 1}
	piped(t, func(c net.Conn) io.ReadWriteCloser { return &twofold{Conn: c} }, func(p *peer) {
		closed := p.drain()
		p.raw(large.frames())
		time.Sleep(time.Minute)
		p.raw(large.frames())
		p.raw(large.frames())
		<-closed
	}, func(t *testing.T, s *scene) {
		conn := s.dial()
		buf := make([]byte, 0, 60_000)
		for i := range 3 {
			if i == 1 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if m, err := conn.ReadInto(ctx, buf); !errors.Is(err, context.DeadlineExceeded) || len(m.Data) != 0 {
					t.Errorf("%d bytes, %v", len(m.Data), err)
				}
				cancel()
			}
			m, err := conn.ReadInto(t.Context(), buf)
			if err != nil || string(m.Data) != large.payload() {
				t.Fatalf("message %d: %d bytes, %v", i, len(m.Data), err)
			}
		}
		conn.CloseNow()
		synctest.Wait()
	})
}

// TestLargeMessagesEverywhere: the same over sockets, some of them compressed.
func TestLargeMessagesEverywhere(t *testing.T) {
	noise := make([]byte, 40_000) // it stays long when it is compressed
	rand.NewChaCha8([32]byte{}).Read(noise)
	dense := hex.EncodeToString(noise)
	var stream []sent
	for i := range 60 {
		stream = append(stream, sent{ws.Text, 5000 + i*i*30, 1 + i%7/5}, sent{ws.Ping, i, 1}, sent{ws.Binary, i * 200, 1})
	}
	everywhere(t, deflating, func(p *peer) {
		closed := p.drain()
		for i, m := range stream {
			if i%9 == 0 {
				p.raw(deflated(dense))
				continue
			}
			p.raw(m.frames())
		}
		<-closed
	}, func(s *scene) {
		t := s.t
		conn := s.dial(websocket.Compress(websocket.Compression{}))
		buf := make([]byte, 0, 200_000)
		for i, want := range stream {
			if want.op.IsControl() && i%9 != 0 {
				continue
			}
			payload := want.payload()
			if i%9 == 0 {
				payload = dense
			}
			m, err := conn.ReadInto(t.Context(), buf)
			if err != nil || string(m.Data) != payload {
				t.Fatalf("message %d of %d bytes: %d, %v", i, len(payload), len(m.Data), err)
			}
		}
	})
}

// deflated is a compressed message.
func deflated(payload string) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, 1)
	io.WriteString(z, payload)
	z.Flush()
	data := bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
	return string(ws.Header{Final: true, Compressed: true, Opcode: ws.Text, Length: int64(len(data))}.Append(nil)) + string(data)
}
