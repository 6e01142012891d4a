package stdhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

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
	written   int64       // of the body, as far as it was accepted
	refused   bool        // more than length was written
	broken    error       // why the client did not get all of it
	held      []byte
	committed bool // the client has the head
	chunked   bool // as the head says, so that trailers can follow
	hijacked  bool
}

var (
	_ http.ResponseWriter = (*answer)(nil)
	_ http.Flusher        = (*answer)(nil)
	_ http.Hijacker       = (*answer)(nil)
	_ io.StringWriter     = (*answer)(nil)
	_ io.ReaderFrom       = (*answer)(nil)
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
		if n, err := strconv.ParseInt(given, 10, 64); err == nil && n >= 0 {
			w.length = n
		} // else it is left out by commit
	}
}

// bodyAllowed reports whether the status can have a body.
func (w *answer) bodyAllowed() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified && w.status != http.StatusSwitchingProtocols
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
	case !w.bodyAllowed():
		return 0, http.ErrBodyNotAllowed
	case w.refused, w.length >= 0 && w.written+int64(len(p)) > w.length:
		w.refused = true
		return 0, http.ErrContentLength
	}
	if w.committed {
		n, err := w.pass(p)
		w.written += int64(n)
		return n, err
	}
	w.held = append(w.held, p...)
	w.written += int64(len(p))
	if len(w.held) <= bufferSize {
		return len(p), nil
	}
	return len(p), w.FlushError()
}

// pass gives the client a part of the body.
func (w *answer) pass(p []byte) (int, error) {
	if w.request.Method == http.MethodHead {
		return len(p), nil
	}
	n, err := w.serving.body.Write(p)
	if err != nil && w.broken == nil {
		w.broken = err
	}
	return n, err
}

// WriteString is Write.
func (w *answer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// ReadFrom writes what it reads.
func (w *answer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// SetReadDeadline and SetWriteDeadline are for http.ResponseController.
func (w *answer) SetReadDeadline(at time.Time) error {
	w.serving.upload.setDeadline(at)
	return nil
}

// SetWriteDeadline makes writes that wait fail at a time; zero = never.
func (w *answer) SetWriteDeadline(at time.Time) error {
	w.serving.body.setDeadline(&w.serving.body.writes, at)
	return nil
}

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
	if len(held) == 0 {
		return nil
	}
	_, err := w.pass(held)
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
	if whole {
		w.pass(w.held)
	}
	w.serving.setTrailer(w.trailers())
	w.serving.body.end(w.fault())
}

// fault returns io.EOF, or why the body is not what the head announces.
func (w *answer) fault() error {
	switch {
	case w.request.Method == http.MethodHead, !w.bodyAllowed():
		return io.EOF
	case w.length >= 0 && w.length != w.written:
		return fmt.Errorf("the handler wrote %d bytes of %d: %w", w.written, w.length, io.ErrUnexpectedEOF)
	case w.broken != nil:
		return fmt.Errorf("the handler could not write all of its answer: %w: %w", io.ErrUnexpectedEOF, w.broken)
	}
	return io.EOF
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
	length, err := w.frame(whole && !w.hasTrailers())
	if err != nil {
		w.abort(err)
		return
	}
	h := w.sent
	if _, given := h["Date"]; !given {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	if (w.request.Close || w.serving.upload.tooMuchLeft()) && !hasToken(h["Connection"], "close") {
		h["Connection"] = []string{"close"}
	}
	x := w.serving
	resp := &engine.Response{
		Status: w.status, Reason: http.StatusText(w.status), Proto: "HTTP/1.1", Header: ordered(h), ContentLength: length,
		Conn: &engine.Conn{Local: inProcess{}, Remote: inProcess{}}, Body: &answerBody{serving: x, from: x.body},
	}
	if w.chunked {
		resp.Trailer = x.getTrailer
	}
	x.answered(resp, nil)
}

// frame sets the fields that frame the body, and its type, by the rules of
// http.Server, and returns its length. whole tells that all of it is held, and no
// trailers follow.
func (w *answer) frame(whole bool) (int64, error) {
	h, coding, head := w.sent, w.sent.Get("Transfer-Encoding"), w.request.Method == http.MethodHead
	switch {
	case w.status == http.StatusSwitchingProtocols:
		return 0, &engine.ProtocolError{Reason: "the handler answered 101 without Hijack", Section: "RFC 9110 §15.2.2"}
	case w.serving.body.late():
		return 0, fmt.Errorf("the handler's write deadline passed: %w: %w", io.ErrUnexpectedEOF, os.ErrDeadlineExceeded)
	case w.bodyAllowed():
	default:
		h.Del("Content-Length")
		h.Del("Transfer-Encoding")
		if w.status == http.StatusNotModified {
			h.Del("Content-Type")
		}
		return 0, nil
	}
	if _, given := h["Content-Type"]; !given && len(w.held) > 0 && h.Get("Content-Encoding") == "" && coding == "" {
		h.Set("Content-Type", http.DetectContentType(w.held))
	}
	if h["Content-Length"] == nil && whole && coding == "" && (!head || len(w.held) > 0) {
		w.length = w.written
		h.Set("Content-Length", strconv.FormatInt(w.length, 10))
	}
	h.Del("Transfer-Encoding")
	length := w.length
	if coding != "" && coding != "identity" {
		length = -1
	}
	switch {
	case length >= 0:
		return length, plainLength(h["Content-Length"])
	case head:
		h.Del("Content-Length")
	case coding == "identity":
		h.Del("Content-Length")
		h.Set("Connection", "close")
	default:
		h.Del("Content-Length")
		h.Set("Transfer-Encoding", "chunked")
		w.chunked = true
	}
	return -1, nil
}

// plainLength refuses what http.Server would send and no client takes.
func plainLength(values []string) error {
	for _, v := range values {
		if _, err := strconv.ParseUint(v, 10, 63); err != nil || v != values[0] {
			return &engine.ProtocolError{Reason: fmt.Sprintf("the handler set Content-Length %q", values), Section: "RFC 9110 §8.6"}
		}
	}
	return nil
}

// hasTrailers reports whether trailers were announced or given before WriteHeader.
func (w *answer) hasTrailers() bool {
	if len(w.sent["Trailer"]) > 0 {
		return true
	}
	for name := range w.sent {
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
			if name = http.CanonicalHeaderKey(name); httpguts.ValidTrailerHeader(name) {
				h[name] = append([]string(nil), w.fields[name]...)
			}
		}
	}
	for name, values := range w.fields {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			h[http.CanonicalHeaderKey(rest)] = values
		}
	}
	return ordered(h)
}

var newlines = strings.NewReplacer("\n", " ", "\r", " ")

// ordered returns the fields by name. Like http.Server it leaves out those whose
// name is none, and makes spaces of newlines.
func ordered(h http.Header) header.Header {
	names := make([]string, 0, len(h))
	for name := range h {
		if httpguts.ValidHeaderFieldName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var fields []header.Field
	for _, name := range names {
		for _, v := range h[name] {
			fields = append(fields, header.Field{Name: name, Value: trim(newlines.Replace(v))})
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
	conn := w.serving.hijack()
	if w.status != 0 { // WriteHeader was called
		fmt.Fprintf(conn, "HTTP/1.1 %03d %s\r\n", w.status, http.StatusText(w.status))
		w.sent.Write(conn)
		conn.Write(append([]byte("\r\n"), w.held...))
	}
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}
