package negotiate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// ErrTooLong is the cause when a line, element or record is longer than
// [MaxItem] allows.
var ErrTooLong = errors.New("item too long")

const defaultMaxItem = 1 << 20

var maxItem = attr.NewKey[int]("negotiate.MaxItem")

// MaxItem limits the length in bytes of one line, element or record that [Lines],
// [Items] and [Rows] read, for a client or one request; 0 = 1 MiB. A longer one
// ends the iteration with [ErrTooLong].
func MaxItem(n int) godwit.Option { return godwit.Attribute(maxItem, n) }

// Lines sends req and iterates over the lines of the response: one JSON value a
// line (NDJSON, JSON Lines), empty lines left out. A T that is string, []byte or
// json.RawMessage is the line as it is, without its line end; strings and bytes
// are given for empty lines, too.
//
// Of application/json-seq (RFC 7464) it gives the texts, which may be of several
// lines. A number, true, false or null that may be cut is an error (§2.4).
//
// The body is read as the loop goes on; breaking out of it releases the
// connection. A status outside 2xx is *godwit.StatusError. A line that is no T
// comes as an error, *godwit.DecodeError with its number, after which
// the loop may go on; any other error is the last. req is not changed, and each
// use of the iterator sends it.
func Lines[T any](ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		s, err := open[T](ctx, c, req, "application/x-ndjson, application/jsonl, application/json-seq, */*;q=0.1")
		if err != nil {
			s.fail(err, yield)
			return
		}
		defer s.resp.Close()
		next, what := s.split()
		for n := 1; ; n++ {
			line, err := next()
			if err == io.EOF {
				return
			}
			if err != nil {
				s.fail(err, yield)
				return
			}
			v, skip, err := s.line(line)
			if err != nil {
				err = s.wrap(line, fmt.Errorf("%s %d: %w", what, n, err))
			}
			if !skip && !yield(v, err) {
				return
			}
		}
	}
}

// stream is an open response of which Ts are made.
type stream[T any] struct {
	resp  *godwit.Response
	body  io.Reader // in UTF-8
	limit int
	json  *entry
	// sequence says that the body is of type application/json-seq.
	sequence bool
}

// open sends a request whose body is to be streamed.
func open[T any](ctx context.Context, c *godwit.Client, req *godwit.Request, accept string) (*stream[T], error) {
	s := &stream[T]{limit: defaultMaxItem}
	if req != nil {
		req = req.Clone()
		req.Header.SetIfAbsent("Accept", accept)
		req.With(godwit.ExpectSuccess(true))
	}
	resp, err := c.Open(ctx, req)
	if err != nil {
		return s, err
	}
	s.resp = resp
	if n := maxItem.Or(resp.Call().Attributes(), 0); n > 0 {
		s.limit = n
	}
	s.json = codecFor(resp.Call().Client(), jsonType)
	contentType := resp.Header.Get("Content-Type")
	s.sequence = isSequence(contentType)
	if s.body, err = readUTF8(resp.Body, contentType); err != nil {
		resp.Close()
	}
	return s, err
}

var jsonType = header.MediaType{Type: "application", Subtype: "json"}

// fail yields an error, the last.
func (s *stream[T]) fail(err error, yield func(T, error) bool) {
	var none T
	yield(none, s.wrap(nil, err))
}

// wrap puts an error that arose here into the envelope that callers know.
func (s *stream[T]) wrap(data []byte, err error) error {
	if _, ok := errors.AsType[*godwit.Error](err); ok || s.resp == nil {
		return err
	}
	return envelope(s.resp, &godwit.DecodeError{
		Type: reflect.TypeFor[T]().String(), ContentType: s.resp.Header.Get("Content-Type"), Snippet: snippet(data), Err: err,
	})
}

func envelope(resp *godwit.Response, err error) error {
	e := &godwit.Error{Op: engine.OpDecode, Attempt: resp.Call().Sends(), Err: err}
	if req := resp.Request(); req != nil {
		e.Method = req.Method
		if req.URL != nil {
			u := *req.URL
			u.User = nil
			e.URL = u.String()
		}
	}
	return e
}

// snippet quotes the start of what could not be decoded.
func snippet(b []byte) string {
	const limit = 200
	switch {
	case len(b) == 0:
		return ""
	case len(b) > limit:
		return fmt.Sprintf("%q…", b[:limit])
	}
	return fmt.Sprintf("%q", b)
}

// split returns what reads the lines or texts, and what they are called.
func (s *stream[T]) split() (next func() ([]byte, error), what string) {
	r := bufio.NewReaderSize(s.body, 16<<10)
	if s.sequence {
		return (&sequenceReader{r: r, limit: s.limit}).next, "text"
	}
	return (&lineReader{r: r, limit: s.limit}).next, "line"
}

// line makes a T of one line; skip says that there is nothing on it.
func (s *stream[T]) line(line []byte) (v T, skip bool, err error) {
	bare := line
	if s.sequence {
		bare = trimEnd(line)
	}
	switch p := any(&v).(type) {
	case *string:
		*p = string(bare)
		return v, false, nil
	case *[]byte:
		*p = bytes.Clone(bare)
		return v, false, nil
	}
	if s.sequence {
		if err := checkCut(line); err != nil {
			return v, false, err
		}
	}
	if line = bytes.TrimSpace(bytes.TrimLeft(line, "\x1e")); len(line) == 0 {
		return v, true, nil
	}
	if p, ok := any(&v).(*json.RawMessage); ok {
		*p = bytes.Clone(line)
		return v, false, nil
	}
	v, err = s.value(line)
	return v, false, err
}

// value decodes one JSON value.
func (s *stream[T]) value(data []byte) (v T, err error) {
	if err = s.json.unmarshal(data, &v); err != nil {
		var none T
		return none, err
	}
	return v, nil
}

// lineReader reads lines of bounded length.
type lineReader struct {
	r     *bufio.Reader
	limit int
	buf   []byte
	n     int // the number of the line read last
}

// next returns a line without its end; it is void after the following call.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	l.n++
	for {
		piece, err := l.r.ReadSlice('\n')
		if err == nil && len(l.buf) == 0 && len(piece) <= l.limit {
			return trimEnd(piece), nil
		}
		l.buf = append(l.buf, piece...)
		switch {
		case len(trimEnd(l.buf)) > l.limit:
			return nil, tooLong("line", l.n, l.limit)
		case err == nil, err == io.EOF && len(l.buf) > 0:
			return trimEnd(l.buf), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

func tooLong(what string, n, limit int) error {
	return fmt.Errorf("%s %d: %w: more than %d bytes (raise the limit with negotiate.MaxItem)", what, n, ErrTooLong, limit)
}

// Parts sends req and iterates over the parts of a multipart response. A part's
// Body is void once the loop goes on; what is unread of it is skipped. The rest
// is as with [Lines], but for MaxItem: a part may be of any length.
func Parts(ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[*content.IncomingPart, error] {
	return func(yield func(*content.IncomingPart, error) bool) {
		s, err := open[*content.IncomingPart](ctx, c, req, "multipart/*, */*;q=0.1")
		if err != nil {
			s.fail(err, yield)
			return
		}
		defer s.resp.Close()
		parts, err := content.ReadMultipart(s.resp.Body, s.resp.Header.Get("Content-Type"))
		if err != nil {
			s.fail(err, yield)
			return
		}
		for part, err := range parts.All() {
			if err != nil {
				s.fail(err, yield)
				return
			}
			if !yield(part, nil) {
				return
			}
		}
	}
}
