package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The paths that the server knows.
const (
	pathSmall   = "/small"    // 100 bytes
	pathJSON    = "/json"     // 1 KiB of JSON
	pathUpload  = "/upload"   // the number of bytes that came
	pathStream  = "/stream/"  // that many bytes
	pathBarrier = "/barrier/" // 100 bytes, when that many requests wait for them
)

const smallSize = 100

var (
	smallAnswer = answer("text/plain", strings.Repeat("x", smallSize))
	jsonAnswer  = answer("application/json", sampleJSON)
)

func answer(contentType, body string) []byte {
	return append(answerHead(contentType, int64(len(body))), body...)
}

func answerHead(contentType string, length int64) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nServer: bench\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, length)
}

// session is the server's side of a connection, without I/O: feed takes what
// came in and gives what to answer.
type session struct {
	partial []byte // of a head
	path    string // of the request whose body is being read; "" = none
	left    int64  // of the body, or of its chunk
	chunks  *chunkSkipper
	got     int64  // bytes of the body
	key     string // of a WebSocket handshake

	ws *wsSession // after an upgrade

	stream  int64 // bytes still to be sent after what feed returned
	barrier int   // how many have to wait, if this one does
}

var fastRequest = []byte("GET " + pathSmall + " HTTP/1.1\r\n")

// feed appends answers to out.
func (s *session) feed(in, out []byte) ([]byte, error) {
	if s.ws != nil {
		return s.ws.feed(in, out)
	}
	if s.path == "" && len(s.partial) == 0 && bytes.HasPrefix(in, fastRequest) && bytes.HasSuffix(in, headEnd) &&
		bytes.Count(in, headEnd) == 1 {
		return append(out, smallAnswer...), nil
	}
	for len(in) > 0 {
		if s.path != "" {
			n, done, err := s.body(in)
			if err != nil {
				return nil, err
			}
			if in = in[n:]; done {
				out = s.answer(out)
			}
			continue
		}
		s.partial = append(s.partial, in...)
		head, rest, found := bytes.Cut(s.partial, headEnd)
		if !found {
			return out, nil
		}
		s.partial, in = nil, rest
		if err := s.begin(string(head)); err != nil {
			return nil, err
		}
		if s.left == 0 && s.chunks == nil {
			out = s.answer(out)
		}
	}
	return out, nil
}

var headEnd = []byte("\r\n\r\n")

// begin takes a request's head.
func (s *session) begin(head string) error {
	line, fields, _ := strings.Cut(head, "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	path, version, ok := strings.Cut(rest, " ")
	if !ok || version != "HTTP/1.1" {
		return fmt.Errorf("bad request line %q", line)
	}
	s.path, s.left, s.got, s.chunks, s.key = path, 0, 0, nil, ""
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return err
			}
			s.left = n
		case "transfer-encoding":
			s.chunks = new(chunkSkipper)
		case "sec-websocket-key":
			s.key = value
		}
	}
	return nil
}

// body takes some of a request's body.
func (s *session) body(in []byte) (n int, done bool, err error) {
	if s.chunks == nil {
		n = int(min(s.left, int64(len(in))))
		s.left -= int64(n)
		s.got += int64(n)
		return n, s.left == 0, nil
	}
	n, done, err = s.chunks.skip(in)
	s.got = s.chunks.data
	return n, done, err
}

// answer ends a request.
func (s *session) answer(out []byte) []byte {
	path := s.path
	s.path = ""
	switch {
	case path == pathSmall:
		return append(out, smallAnswer...)
	case path == pathWS:
		s.ws = new(wsSession)
		return append(out, wsAnswer(s.key)...)
	case path == pathJSON:
		return append(out, jsonAnswer...)
	case path == pathUpload:
		return append(out, answer("text/plain", strconv.FormatInt(s.got, 10))...)
	case strings.HasPrefix(path, pathStream):
		s.stream, _ = strconv.ParseInt(path[len(pathStream):], 10, 64)
		return append(out, answerHead("application/octet-stream", s.stream)...)
	case strings.HasPrefix(path, pathBarrier):
		s.barrier, _ = strconv.Atoi(path[len(pathBarrier):])
		return out
	}
	return append(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"...)
}

// chunkSkipper finds the end of a chunked body without trailers.
type chunkSkipper struct {
	line []byte // a size line so far
	left int64  // of the chunk, its CRLF included
	data int64  // bytes of all chunks
	last bool
}

func (c *chunkSkipper) skip(in []byte) (n int, done bool, err error) {
	for n < len(in) {
		if c.left > 0 {
			k := int(min(c.left, int64(len(in)-n)))
			c.left -= int64(k)
			n += k
			if c.last && c.left == 0 {
				return n, true, nil
			}
			continue
		}
		b := in[n]
		n++
		if b != '\n' {
			if c.line = append(c.line, b); len(c.line) > 32 {
				return n, false, errors.New("bad chunk size")
			}
			continue
		}
		size, err := strconv.ParseInt(strings.TrimSuffix(string(c.line), "\r"), 16, 64)
		if err != nil {
			return n, false, err
		}
		c.line = c.line[:0]
		c.data += size
		c.left = size + 2
		c.last = size == 0
	}
	return n, false, nil
}
