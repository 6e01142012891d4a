package stdhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// bufferSize is how much of a body is held back to learn its length, as in
// http.Server.
const bufferSize = 2048

// answer is the handler's ResponseWriter. Like that of http.Server it is used by
// one goroutine.
type answer struct {
	serving *serving
	request *http.Request
	fields  http.Header // the handler's

	status    int         // 0 = WriteHeader was not called
	sent      http.Header // fields when it was
	length    int64       // as announced by the handler, -1 = not
	written   int64
	held      []byte
	committed bool // the client has the head
	hijacked  bool
}

var (
	_ http.ResponseWriter = (*answer)(nil)
	_ http.Flusher        = (*answer)(nil)
	_ http.Hijacker       = (*answer)(nil)
	_ io.StringWriter     = (*answer)(nil)
)

// Header returns the fields; see http.ResponseWriter.
func (w *answer) Header() http.Header { return w.fields }

// WriteHeader sets the status; see http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if w.hijacked || w.status != 0 {
		return // http.Server logs it and goes on
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		h := w.fields.Clone()
		h.Del("Content-Length")
		h.Del("Transfer-Encoding")
		w.serving.received1xx(status, ordered(h))
		return
	}
	w.status, w.sent, w.length = status, w.fields.Clone(), -1
	if given := w.sent.Get("Content-Length"); given != "" {
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil || n < 0 {
			w.sent.Del("Content-Length")
		} else {
			w.length = n
		}
	}
}

// Write writes a part of the body; see http.ResponseWriter.
func (w *answer) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case w.status == http.StatusNoContent, w.status == http.StatusNotModified, w.status == http.StatusSwitchingProtocols:
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if !w.committed {
		w.held = append(w.held, p...)
		if len(w.held) <= bufferSize {
			return len(p), nil
		}
		return len(p), w.FlushError()
	}
	if w.request.Method == http.MethodHead {
		return len(p), nil
	}
	return w.serving.body.Write(p)
}

// WriteString is Write.
func (w *answer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Flush gives the client what there is.
func (w *answer) Flush() { w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *answer) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.commit(false)
	held := w.held
	w.held = nil
	if len(held) == 0 || w.request.Method == http.MethodHead {
		return nil
	}
	_, err := w.serving.body.Write(held)
	return err
}

// EnableFullDuplex is for http.ResponseController: it is always so.
func (*answer) EnableFullDuplex() error { return nil }

// finish ends the answer: the handler has returned.
func (w *answer) finish() {
	if w.hijacked {
		return
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	whole := !w.committed
	w.commit(true)
	if whole && w.request.Method != http.MethodHead {
		w.serving.body.Write(w.held)
	}
	w.serving.setTrailer(w.trailers())
	if w.length > w.written && w.request.Method != http.MethodHead {
		w.serving.body.end(fmt.Errorf("the handler wrote %d bytes of %d: %w", w.written, w.length, io.ErrUnexpectedEOF))
		return
	}
	w.serving.body.end(io.EOF)
}

// abort ends an answer that will not be whole.
func (w *answer) abort(why error) {
	err := &engine.OpError{Op: engine.OpReceive, Err: why, Sent: true}
	w.serving.answered(nil, err)
	w.serving.body.end(err)
}

// commit gives the client the head. whole tells that nothing follows what is held.
func (w *answer) commit(whole bool) {
	if w.committed {
		return
	}
	w.committed = true
	h := w.sent
	bodyless := w.status == http.StatusNoContent || w.status == http.StatusNotModified
	head := w.request.Method == http.MethodHead
	trailers := w.hasTrailers()
	if whole && w.length < 0 && !bodyless && !trailers && (!head || len(w.held) > 0) {
		w.length = w.written
		h.Set("Content-Length", strconv.FormatInt(w.length, 10))
	}
	if _, given := h["Content-Type"]; !given && len(w.held) > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(w.held))
	}
	if _, given := h["Date"]; !given {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	length := w.length
	switch {
	case w.status == http.StatusNoContent:
		h.Del("Content-Length")
		length = 0
	case bodyless: // it is what the handler says of the body that is not there
	case length < 0 && !head:
		h["Transfer-Encoding"] = []string{"chunked"}
	}
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	x := w.serving
	resp := &engine.Response{
		Status: w.status, Reason: http.StatusText(w.status), Proto: "HTTP/1.1", Header: ordered(h), ContentLength: length,
		Conn: &engine.Conn{Local: inProcess{}, Remote: inProcess{}}, Body: &answerBody{serving: x, from: x.body},
	}
	if trailers || length < 0 {
		resp.Trailer = x.getTrailer
	}
	if w.status == http.StatusSwitchingProtocols {
		w.abort(&engine.ProtocolError{Reason: "the handler answered 101 without Hijack", Section: "RFC 9110 §15.2.2"})
		return
	}
	x.answered(resp, nil)
}

// hasTrailers reports whether trailers are announced or given already.
func (w *answer) hasTrailers() bool {
	if len(w.sent["Trailer"]) > 0 {
		return true
	}
	for name := range w.fields {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// trailers returns the fields that were announced, and those with the prefix.
func (w *answer) trailers() header.Header {
	h := make(http.Header)
	for _, list := range w.sent["Trailer"] {
		for _, name := range header.SplitList(list) {
			name = http.CanonicalHeaderKey(name)
			h[name] = append([]string(nil), w.fields[name]...)
		}
	}
	for name, values := range w.fields {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			h[http.CanonicalHeaderKey(rest)] = values
		}
	}
	return ordered(h)
}

// ordered returns the fields by name.
func ordered(h http.Header) header.Header {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	var fields []header.Field
	for _, name := range names {
		for _, v := range h[name] {
			fields = append(fields, header.Field{Name: name, Value: trim(v)})
		}
	}
	return header.Of(fields)
}

// Hijack gives the handler the connection: from here on it writes the response
// itself, bytes and all. See http.Hijacker.
func (w *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.committed:
		return nil, nil, errors.New("stdhttp: Hijack after the head was sent")
	}
	w.hijacked = true
	w.serving.upload.stop()
	client, server := newPipe()
	if w.status != 0 { // WriteHeader was called
		fmt.Fprintf(server, "HTTP/1.1 %03d %s\r\n", w.status, http.StatusText(w.status))
		w.sent.Write(server)
		server.Write(append([]byte("\r\n"), w.held...))
	}
	w.serving.engine.shared.Start(func() { w.serving.readHijacked(client) })
	return server, bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server)), nil
}
