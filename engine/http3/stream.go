package http3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
)

// tunnels reports whether a 2xx answer to req begins a raw stream.
func tunnels(req *engine.Request) bool {
	return req.Protocol != "" || req.Method == http.MethodConnect
}

// tunnel runs a CONNECT, an extended one for Request.Protocol (RFC 9220).
func (x *exchange) tunnel() (*engine.Response, error) {
	c := x.got.conn
	if x.req.Protocol != "" {
		if err := x.awaitExtendedConnect(c); err != nil {
			return nil, err
		}
	}
	r := x.head()
	if x.req.Protocol != "" {
		r.Method, r.Proto = http.MethodConnect, x.req.Protocol
	}
	ctx := x.traced()
	stream, err := c.h3.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	give := func() {
		stream.CancelRead(cancelled)
		stream.CancelWrite(cancelled)
	}
	stop := context.AfterFunc(x.ctx, give)
	resp, err := x.converse(stream, r.WithContext(ctx))
	if err == nil && x.ctx.Err() != nil {
		err = context.Cause(x.ctx)
	}
	if err != nil {
		stop()
		give()
		return nil, err
	}
	x.headArrived()
	if resp.StatusCode/100 != 2 {
		stream.Close() // there is nothing more to send
		return x.response(resp, resp.Body)
	}
	if !x.abort.Stop() || !stop() {
		give()
		return nil, context.Cause(x.ctx)
	}
	x.timers.Stop(engine.KindRequest)
	out, err := x.response(resp, resp.Body)
	if err != nil {
		give()
		return nil, err
	}
	out.Body, out.Trailer, out.ContentLength = http.NoBody, nil, 0
	out.Upgraded = &Stream{stream: stream, x: x, conn: out.Conn}
	return out, nil
}

// converse sends the head and reads the answer's.
func (x *exchange) converse(stream *h3.RequestStream, r *http.Request) (*http.Response, error) {
	err := stream.SendRequestHeader(r)
	x.wroteRequest(err)
	if err != nil {
		return nil, err
	}
	for range maxInterim {
		resp, err := stream.ReadResponse()
		if err != nil || resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
		if err := x.informational(resp.StatusCode, resp.Header); err != nil {
			return nil, err
		}
	}
	return nil, &engine.ProtocolError{Reason: "the server sends 1xx responses without end", Section: "RFC 9110 §15.2"}
}

// maxInterim bounds the 1xx responses to a CONNECT.
const maxInterim = 100

// awaitExtendedConnect waits for the server's settings, which say whether it
// takes a :protocol.
func (x *exchange) awaitExtendedConnect(c *conn) error {
	x.timers.Stop(engine.KindPool)
	x.timers.Start(engine.KindHeader)
	defer func() {
		x.timers.Stop(engine.KindHeader)
		x.timers.Start(engine.KindPool) // the wait for a free stream begins
	}()
	select {
	case <-c.h3.ReceivedSettings():
	case <-c.conn.Context().Done():
		return context.Cause(c.conn.Context())
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
	if !c.h3.Settings().EnableExtendedConnect {
		return &engine.OpError{Op: engine.OpBuild, Err: &engine.UnsupportedError{Engine: name, Capability: engine.Upgrade,
			Detail: "the server has not set SETTINGS_ENABLE_CONNECT_PROTOCOL, without which HTTP/3 has no " + x.req.Protocol}}
	}
	return nil
}

// Stream is Response.Upgraded: a stream after a 2xx answer to CONNECT or to
// Request.Protocol. It is a net.Conn, and sends and receives HTTP datagrams (RFC
// 9297) where Config.Datagrams is set and the server agrees. One goroutine at a
// time may read, and one write; all else may be called at any time.
type Stream struct {
	stream *h3.RequestStream
	x      *exchange
	conn   *engine.Conn
	once   sync.Once

	writing sync.Mutex // held by Write; quic-go cannot end a direction that is being written to
}

var _ net.Conn = (*Stream)(nil)

// Read reads what the server sends; io.EOF when it has ended its direction.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	return n, plain(err)
}

// Write sends p.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	n, err := s.stream.Write(p)
	return n, plain(err)
}

// plain makes the errors of a stream that was closed here those of package net.
func plain(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if e, ok := errors.AsType[*h3.Error](err); ok && !e.Remote && e.ErrorCode == h3.ErrCodeRequestCanceled {
		return net.ErrClosed
	}
	return err
}

// CloseWrite ends the direction to the server, when a Write that is under way is
// over; reading goes on.
func (s *Stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.stream.Close()
}

// Close ends both directions: what was written is still sent, but a Write that is
// under way is broken off. The connection stays for other requests.
func (s *Stream) Close() error {
	s.once.Do(func() {
		s.stream.CancelRead(cancelled)
		if s.writing.TryLock() {
			s.stream.Close()
			s.writing.Unlock()
		} else {
			s.stream.CancelWrite(cancelled)
		}
		s.x.finish()
	})
	return nil
}

// SendDatagram sends one datagram, which may be lost. It fails where datagrams
// were not agreed on, or p is too large for a packet (*quic.DatagramTooLargeError).
func (s *Stream) SendDatagram(p []byte) error {
	if err := s.agreed(); err != nil {
		return err
	}
	return plain(s.stream.SendDatagram(p))
}

// ReceiveDatagram waits for a datagram of this stream. Those that nobody receives
// are dropped when 32 wait.
func (s *Stream) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	if err := s.agreed(); err != nil {
		return nil, err
	}
	b, err := s.stream.ReceiveDatagram(ctx)
	return b, plain(err)
}

// agreed reports whether both sides speak datagrams.
func (s *Stream) agreed() error {
	c := s.x.connection()
	switch {
	case c == nil:
		return net.ErrClosed
	case !s.x.engine.config.Datagrams:
		return errors.New("http3: datagrams are off: set Config.Datagrams")
	}
	select {
	case <-c.h3.ReceivedSettings():
	case <-c.conn.Context().Done():
		return context.Cause(c.conn.Context())
	}
	if !c.h3.Settings().EnableDatagrams {
		return errors.New("http3: the server has not agreed to datagrams (SETTINGS_H3_DATAGRAM)")
	}
	return nil
}

// QUIC returns the connection that the stream is part of, for statistics and
// path migration; nil when the stream is closed. Closing it ends the other
// requests on it.
func (s *Stream) QUIC() *quic.Conn {
	if c := s.x.connection(); c != nil {
		return c.conn
	}
	return nil
}

// connection returns the connection in use, or nil.
func (x *exchange) connection() *conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.got == nil {
		return nil
	}
	return x.got.conn
}

// SetDeadline sets both deadlines; zero = none.
func (s *Stream) SetDeadline(t time.Time) error { return s.stream.SetDeadline(t) }

// SetReadDeadline makes reads fail at t with os.ErrDeadlineExceeded; zero = never.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.stream.SetReadDeadline(t) }

// SetWriteDeadline makes writes fail at t with os.ErrDeadlineExceeded; zero = never.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.stream.SetWriteDeadline(t) }

// LocalAddr returns the socket's address.
func (s *Stream) LocalAddr() net.Addr { return s.conn.Local }

// RemoteAddr returns the server's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.Remote }
