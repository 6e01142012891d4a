package content

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// Part is one part of a multipart body.
type Part struct {
	// Name and Filename go to Content-Disposition, quoted as browsers do it: a
	// quote becomes %22, a line break %0D%0A (WHATWG HTML). An empty Filename is
	// left out; with both empty there is no Content-Disposition.
	Name, Filename string
	// Header holds further fields. A Content-Disposition or Content-Type in it
	// goes before the generated one.
	Header header.Header
	// Body is the part's content; nil = empty. Its trailers are not sent.
	Body Content
}

// Field returns a part for a plain form field; like browsers it sends no
// Content-Type.
func Field(name, value string) Part { return Part{Name: name, Body: TextAs(value, "")} }

// FilePart returns a part for the file at path, as [File] reads it; only the
// last element of path is sent.
func FilePart(name, path string) Part {
	return Part{Name: name, Filename: filepath.Base(path), Body: File(path)}
}

// DataPart returns a part for any body under a file name; "" sends none.
func DataPart(name, filename string, body Content) Part {
	return Part{Name: name, Filename: filename, Body: body}
}

// Multipart returns parts as multipart/form-data (RFC 7578) with a random
// boundary. Parts are streamed one after the other. The length is known if those
// of all parts are, and the body is Replayable if all parts are. Every part
// needs a Name. A part that cannot be sent, a missing file for example, fails the
// body before anything is sent.
func Multipart(parts ...Part) Content {
	for i, p := range parts {
		if p.Name == "" && !p.Header.Has("Content-Disposition") {
			return unsendable{fmt.Errorf("content: multipart/form-data: part %d has no name", i+1)}
		}
	}
	m, err := newMultipart("form-data", randomBoundary(), parts)
	if err != nil {
		return unsendable{err}
	}
	return m
}

// MultipartOf returns parts as multipart/subtype: "mixed", "related",
// "form-data". boundary is 1 to 70 characters as RFC 2046 §5.1.1 allows them and
// must not occur in any part; "" takes a random one. In subtypes other than
// form-data a part's name goes to "Content-Disposition: attachment".
func MultipartOf(subtype, boundary string, parts ...Part) (Content, error) {
	if !header.IsToken(subtype) {
		return nil, fmt.Errorf("content: multipart subtype %q is not a token", subtype)
	}
	if boundary == "" {
		boundary = randomBoundary()
	}
	if err := checkBoundary(boundary); err != nil {
		return nil, err
	}
	m, err := newMultipart(subtype, boundary, parts)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func randomBoundary() string {
	var b [24]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// checkBoundary holds s against the grammar of RFC 2046 §5.1.1.
func checkBoundary(s string) error {
	if s == "" || len(s) > 70 {
		return fmt.Errorf("content: multipart boundary %q has %d characters, not 1 to 70", s, len(s))
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("'()+_,-./:=? ", c) < 0 {
			return fmt.Errorf("content: multipart boundary %q contains %q", s, c)
		}
	}
	if s[len(s)-1] == ' ' {
		return fmt.Errorf("content: multipart boundary %q ends with a space", s)
	}
	return nil
}

// multipart is the body: per part a head (delimiter and fields) and a Content,
// then the tail, the closing delimiter.
type multipart struct {
	contentType string
	parts       []multipartPart
	tail        string
}

type multipartPart struct {
	head string
	body Content
}

func newMultipart(subtype, boundary string, parts []Part) (*multipart, error) {
	m := &multipart{
		contentType: "multipart/" + subtype + "; boundary=" + boundary,
		tail:        "--" + boundary + "--\r\n",
	}
	if !header.IsToken(boundary) {
		m.contentType = "multipart/" + subtype + "; boundary=" + header.Quote(boundary)
	}
	kind := "attachment"
	if strings.EqualFold(subtype, "form-data") {
		kind = "form-data"
	}
	delimiter := "--" + boundary + "\r\n"
	for i, p := range parts {
		fields := p.fields(kind)
		for name, value := range fields.All() {
			if !header.ValidName(name) || !header.ValidValue(value) {
				return nil, fmt.Errorf("content: multipart part %d: field %q with value %q cannot be sent", i+1, name, value)
			}
		}
		body := p.Body
		if body == nil {
			body = Empty
		}
		m.parts = append(m.parts, multipartPart{delimiter + fields.String() + "\r\n", body})
		delimiter = "\r\n--" + boundary + "\r\n"
	}
	if len(parts) > 0 {
		m.tail = "\r\n" + m.tail
	}
	return m, nil
}

// fields returns the part's fields: disposition, type, then the custom ones.
func (p Part) fields(kind string) header.Header {
	var h header.Header
	if !p.Header.Has("Content-Disposition") && (p.Name != "" || p.Filename != "") {
		params := []header.Param{{Name: "name", Value: p.Name}, {Name: "filename", Value: p.Filename}}
		if p.Filename == "" {
			params = params[:1]
		}
		if p.Name == "" {
			params = params[1:]
		}
		h.Add("Content-Disposition", header.FormatDisposition(kind, params...))
	}
	if p.Body != nil && p.Body.ContentType() != "" && !p.Header.Has("Content-Type") {
		h.Add("Content-Type", p.Body.ContentType())
	}
	for name, value := range p.Header.All() {
		h.Add(name, value)
	}
	return h
}

func (m *multipart) ContentType() string { return m.contentType }

func (m *multipart) ContentLength() int64 {
	sum := int64(len(m.tail))
	for _, p := range m.parts {
		n := p.body.ContentLength()
		if n < 0 {
			return -1
		}
		sum += int64(len(p.head)) + n
	}
	return sum
}

func (m *multipart) Replayable() bool {
	for _, p := range m.parts {
		if !p.body.Replayable() {
			return false
		}
	}
	return true
}

// Open fails for what is known to be unsendable, a missing file in the last
// part too, before the first byte is out. The parts are opened one by one.
func (m *multipart) Open(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if _, err := m.Prepare(check); err != nil {
		return nil, err
	}
	return &multipartBody{ctx: ctx, rest: m.parts, tail: m.tail}, nil
}

func (m *multipart) Prepare(each func(Content) (Content, error)) (Content, error) {
	out := *m
	out.parts = slices.Clone(m.parts)
	for i := range out.parts {
		p := &out.parts[i]
		var err error
		if p.body, err = each(p.body); err != nil {
			return nil, fmt.Errorf("multipart part %d: %w", i+1, err)
		}
	}
	return &out, nil
}
