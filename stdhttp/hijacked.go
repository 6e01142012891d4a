package stdhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// hijack gives the handler a connection, the other end of which is read here and
// gets what is left of the request's body.
func (x *serving) hijack() (handlers *conn) {
	client, handlers := newPipe()
	f := &feed{serving: x, to: client, done: make(chan struct{})}
	if x.upload.mayFlow() {
		f.start()
	}
	x.engine.shared.Start(func() { x.readHijacked(client, f) })
	return handlers
}

// feed writes the rest of a request's body as it would stand on the wire.
type feed struct {
	serving *serving
	to      *conn
	once    sync.Once
	done    chan struct{} // closed when nothing more will be written
}

// start begins, once.
func (f *feed) start() {
	f.once.Do(func() { f.serving.engine.shared.Start(f.run) })
}

// skip is start if it turns out that the body is not wanted.
func (f *feed) skip() { f.once.Do(func() { close(f.done) }) }

func (f *feed) run() {
	defer close(f.done)
	u := f.serving.upload
	var err error
	if u.length >= 0 {
		_, err = io.Copy(struct{ io.Writer }{f.to}, struct{ io.Reader }{u})
	} else {
		chunks := httputil.NewChunkedWriter(f.to)
		if _, err = io.Copy(chunks, struct{ io.Reader }{u}); err == nil {
			chunks.Close()
			u.into.Write(f.to)
			_, err = io.WriteString(f.to, "\r\n")
		}
	}
	if err != nil {
		u.stop()
	}
}

// readHijacked reads the response that a handler writes by itself.
func (x *serving) readHijacked(c *conn, f *feed) {
	untie := context.AfterFunc(x.ctx, func() { c.Close() })
	br := bufio.NewReader(c)
	resp, err := x.readResponse(br, f)
	f.skip()
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols && x.req.Protocol == "" {
		err = &engine.ProtocolError{Reason: "101 without a request to upgrade", Section: "RFC 9110 §15.2.2"}
	}
	if err != nil {
		untie()
		c.Close()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the handler closed the connection: %w", io.ErrUnexpectedEOF)
		}
		x.answered(nil, &engine.OpError{Op: engine.OpReceive, Err: err, Sent: true})
		return
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	out := &engine.Response{
		Status: resp.StatusCode, Reason: reason, Proto: resp.Proto, Header: ordered(resp.Header), ContentLength: resp.ContentLength,
		Conn: &engine.Conn{Local: inProcess{}, Remote: inProcess{}},
	}
	out.Header.AddAll("Transfer-Encoding", resp.TransferEncoding...)
	if resp.Close && resp.ProtoMinor > 0 {
		out.Header.SetIfAbsent("Connection", "close") // ReadResponse has taken it out
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || x.req.Method == http.MethodConnect && resp.StatusCode/100 == 2 {
		out.ContentLength, out.Body = 0, http.NoBody
		out.Upgraded = &raw{conn: c, early: br, serving: x, feed: f}
		untie() // the stream outlives its exchange
		x.answered(out, nil)
		return
	}
	out.Trailer = func() header.Header { return ordered(resp.Trailer) }
	out.Body = &answerBody{serving: x, from: &hijackedBody{resp.Body, x}}
	x.body.onShut(func() {
		untie()
		c.Close()
	})
	x.answered(out, nil)
}

// readResponse reads up to the final response.
func (x *serving) readResponse(br *bufio.Reader, f *feed) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: x.req.Method})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
		if err := x.received1xx(resp.StatusCode, ordered(resp.Header)); err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusContinue {
			f.start()
		}
	}
}

// hijackedBody tells why reading from the connection failed.
type hijackedBody struct {
	io.Reader
	serving *serving
}

func (b *hijackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		if ended := ctxerr.Of(b.serving.ctx); ended != nil {
			err = ended
		}
	}
	return n, err
}

// raw is the client's end of an upgraded connection.
type raw struct {
	*conn
	early   *bufio.Reader // may hold bytes that came with the head
	serving *serving
	feed    *feed
}

func (r *raw) Read(p []byte) (int, error) { return r.early.Read(p) }

// Write writes behind the request's body.
func (r *raw) Write(p []byte) (int, error) {
	<-r.feed.done
	return r.conn.Write(p)
}

// CloseWrite ends what the handler reads, behind the request's body.
func (r *raw) CloseWrite() error {
	<-r.feed.done
	return r.conn.CloseWrite()
}

// Close closes the connection.
func (r *raw) Close() error {
	err := r.conn.Close()
	r.serving.finish(nil)
	return err
}
