package http3_test

import (
	"context"
	"crypto/tls"
	"io"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/godwit-go/godwit/internal/testpeer"
)

// script plays a server of HTTP/3 that sends the bytes of a test.
type script struct {
	URL   string
	conns chan *scripted
}

// scripted is one connection of a script.
type scripted struct {
	*quic.Conn
	t       testing.TB
	control *quic.SendStream
}

// play starts a script: request is called with each stream of a client, in a
// goroutine of its own, and with how many came before on all connections.
func play(t testing.TB, settings []byte, request func(n int, c *scripted, s *quic.Stream), changes ...func(*quic.Config)) *script {
	t.Helper()
	config := &quic.Config{EnableDatagrams: true}
	for _, change := range changes {
		change(config)
	}
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1")}, NextProtos: []string{"h3"}}, config)
	if err != nil {
		t.Fatal(err)
	}
	p := &script{URL: "https://" + l.Addr().String(), conns: make(chan *scripted, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var mu sync.Mutex // guards n
	n := 0
	serve := func(c *scripted) {
		for {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			count := n
			n++
			mu.Unlock()
			all.Go(func() { request(count, c, s) })
		}
	}
	all.Go(func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			c := &scripted{Conn: conn, t: t}
			if c.control, err = conn.OpenUniStream(); err != nil {
				continue
			}
			_, _ = c.control.Write(append([]byte{0}, frame(4, settings)...))
			p.conns <- c
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		for len(p.conns) > 0 {
			(<-p.conns).CloseWithError(0, "")
		}
		all.Wait()
	})
	return p
}

// goAway says that the server takes no streams from id on.
func (c *scripted) goAway(id quic.StreamID) {
	_, _ = c.control.Write(frame(7, quicvarint.Append(nil, uint64(id))))
}

// quit ends the connection with a code of HTTP/3.
func (c *scripted) quit(code h3.ErrCode) { c.CloseWithError(quic.ApplicationErrorCode(code), "") }

// reset gives up both directions of a stream.
func reset(s *quic.Stream, code h3.ErrCode) {
	s.CancelRead(quic.StreamErrorCode(code))
	s.CancelWrite(quic.StreamErrorCode(code))
}

// whole reads a request to its end.
func whole(s *quic.Stream) { _, _ = io.Copy(io.Discard, s) }

// answer ends a stream with a response.
func answer(s *quic.Stream, text string) {
	put(s, head("200"), frame(0, []byte(text)))
	s.Close()
}

func put(s *quic.Stream, parts ...[]byte) {
	for _, part := range parts {
		if _, err := s.Write(part); err != nil {
			return
		}
	}
}

// frame makes a frame (RFC 9114 §7.1): 0 is DATA, 1 HEADERS, 4 SETTINGS, 7 GOAWAY.
func frame(kind uint64, payload []byte) []byte {
	b := quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(payload)))
	return append(b, payload...)
}

// head makes a HEADERS frame of a status and fields.
func head(status string, fields ...string) []byte {
	return frame(1, section(append([]string{":status", status}, fields...)...))
}

// section makes a field section of literals (RFC 9204 §4.5.6).
func section(fields ...string) []byte {
	b := []byte{0, 0}
	text := func(first byte, bits int, s string) {
		limit := 1<<bits - 1
		if len(s) < limit {
			b = append(b, first|byte(len(s)))
		} else {
			b = append(b, first|byte(limit))
			n := len(s) - limit
			for ; n >= 128; n /= 128 {
				b = append(b, byte(n%128)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	for i, s := range fields {
		if i%2 == 0 {
			text(0x20, 3, s)
		} else {
			text(0, 7, s)
		}
	}
	return b
}
