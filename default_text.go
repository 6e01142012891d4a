package godwit

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode/utf32"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/charset"
)

// charsets are the defaults for text without a charset of its own.
type charsets struct{ send, receive string }

type weightedCharset struct {
	name string
	q    float64 // -1 = not given
}

var (
	defaultCharset = NewSetting("DefaultCharset", charsets{"", "utf-8"})
	acceptCharset  = NewSetting[[]weightedCharset]("AcceptCharset", nil)
	removeBOM      = NewSetting("RemoveBOM", false)
)

// DefaultCharset sets the charset in which strings are sent, and the one in
// which text is read whose Content-Type names none; the default is UTF-8 for
// both. Names are the labels of the WHATWG Encoding Standard; "" leaves the
// default.
func DefaultCharset(send, receive string) Option {
	send, receive = strings.TrimSpace(send), cmp.Or(strings.TrimSpace(receive), "utf-8")
	_, err := charsetOf(receive)
	if err == nil && send != "" {
		var enc encoding.Encoding
		if enc, err = charsetOf(send); err == nil {
			_, err = charset.Encode(enc, send, nil)
		}
	}
	if err != nil {
		return failing(fmt.Errorf("DefaultCharset: %w", err))
	}
	return defaultCharset.Set(charsets{send, receive})
}

// AcceptCharset names charsets that the response may be in, each alone or with a
// weight from 0 to 1: "utf-8", "iso-8859-1;q=0.5". They go into the field
// Accept-Charset: those without a weight first, by name, then by weight. A field
// with UTF-8 alone is left out. Without DefaultCharset the first is what strings
// are sent in.
func AcceptCharset(names ...string) Option {
	var list []weightedCharset
	for _, n := range names {
		w, err := parseCharset(n)
		if err != nil {
			return failing(fmt.Errorf("AcceptCharset: %w", err))
		}
		list = append(list, w)
	}
	slices.SortStableFunc(list, func(a, b weightedCharset) int {
		if (a.q < 0) != (b.q < 0) {
			return cmp.Compare(a.q, b.q)
		}
		if a.q < 0 {
			return cmp.Compare(a.name, b.name)
		}
		return cmp.Compare(b.q, a.q)
	})
	return acceptCharset.Set(list)
}

func parseCharset(s string) (weightedCharset, error) {
	name, param, weighted := strings.Cut(s, ";")
	w := weightedCharset{strings.TrimSpace(name), -1}
	if _, err := charsetOf(w.name); err != nil {
		return w, err
	}
	if weighted {
		v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(param)), "q=")
		var err error
		if w.q, err = strconv.ParseFloat(v, 64); !ok || err != nil || !(w.q >= 0 && w.q <= 1) {
			return w, fmt.Errorf("%q: the weight is written ;q= and a number from 0 to 1", s)
		}
		if w.q > 0 {
			w.q = max(w.q, 0.001) // less would be written as 0, which refuses
		}
	}
	return w, nil
}

func (b *builtins) addAcceptCharset(req *Request) {
	list := b.acceptCharsets.For(req)
	if len(list) == 0 || len(list) == 1 && strings.EqualFold(list[0].name, "utf-8") {
		return
	}
	var values []string
	for _, w := range list {
		if w.q < 0 {
			values = append(values, w.name)
		} else {
			values = append(values, w.name+";q="+header.FormatQ(w.q))
		}
	}
	req.Header.SetIfAbsent("Accept-Charset", strings.Join(values, ", "))
}

// sendCharset is the charset for strings whose type names none.
func (b *builtins) sendCharset(req *Request) string {
	if send := b.charsets.For(req).send; send != "" {
		return send
	}
	if list := b.acceptCharsets.For(req); len(list) > 0 {
		return list[0].name
	}
	return "utf-8"
}

// textContent renders a string: in the charset of its Content-Type, else in the
// default one, which is then named. Only text/* types get one.
func (b *builtins) textContent(req *Request, s string) (content.Content, error) {
	given := req.Header.Get("Content-Type")
	if given == "" {
		given = "text/plain"
	}
	mt, ok := header.ParseMediaType(given)
	if !ok {
		return content.TextAs(s, given), nil
	}
	label := mt.Charset()
	if label == "" && mt.Type == "text" {
		label = b.sendCharset(req)
		given += "; charset=" + strings.ToLower(label)
		req.Header.Del("Content-Type")
	}
	if label == "" || strings.EqualFold(label, "utf-8") {
		return content.TextAs(s, given), nil
	}
	enc, err := charsetOf(label)
	if err != nil {
		return nil, opError(opBuild, err)
	}
	out, err := charset.Encode(enc, label, []byte(s))
	if err != nil {
		return nil, buildErrorf("body: %w", err)
	}
	return content.TextAs(string(out), given), nil
}

// inCharsetOf converts what a codec wrote to the charset that its type names.
func inCharsetOf(mt header.MediaType, data []byte) ([]byte, error) {
	label := mt.Charset()
	if label == "" || !charset.IsText(mt) {
		return data, nil
	}
	enc, err := charsetOf(label)
	if err != nil {
		return nil, err
	}
	return charset.Encode(enc, label, data)
}

// charsetOf returns the encoding of a WHATWG label.
func charsetOf(label string) (encoding.Encoding, error) {
	switch label {
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM), nil
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), nil
	}
	enc, err := htmlindex.Get(strings.TrimSpace(label))
	if err != nil {
		return nil, &UnknownCharsetError{label}
	}
	return enc, nil
}

// textOf decodes text as the Encoding Standard does: a byte order mark decides,
// then the charset of the Content-Type, then the default.
func textOf(resp *Response, data []byte) (string, error) {
	label := resp.Charset()
	switch {
	case resp.bom != nil && *resp.bom != "": // it was removed already
		label = *resp.bom
	case bytes.HasPrefix(data, bomUTF8):
		return validText(data[3:]), nil
	case bytes.HasPrefix(data, bomUTF16LE):
		label, data = "utf-16le", data[2:]
	case bytes.HasPrefix(data, bomUTF16BE):
		label, data = "utf-16be", data[2:]
	case label == "" && resp.call != nil:
		label = resp.call.client.builtin.charsets.For(resp.request).receive
	}
	if label == "" || strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "us-ascii") && utf8.Valid(data) {
		return validText(data), nil
	}
	enc, err := charsetOf(label)
	if err != nil {
		return "", err
	}
	out, err := enc.NewDecoder().Bytes(data)
	return string(out), err
}

func validText(data []byte) string { return strings.ToValidUTF8(string(data), "\uFFFD") }

var (
	bomUTF8    = []byte{0xEF, 0xBB, 0xBF}
	bomUTF16BE = []byte{0xFE, 0xFF}
	bomUTF16LE = []byte{0xFF, 0xFE}
	bomUTF32BE = []byte{0x00, 0x00, 0xFE, 0xFF}
	bomUTF32LE = []byte{0xFF, 0xFE, 0x00, 0x00}
)

// RemoveBOM removes a byte order mark (UTF-8, UTF-16 or UTF-32) from the start
// of every body, streamed ones too. Without it bodies read as text or by a codec
// lose theirs as well, while bytes stay as they came.
func RemoveBOM(remove bool) Option { return removeBOM.Set(remove) }

func (b *builtins) stripBOM(req *Request, resp *Response) {
	if b.removeBOM.For(req) && resp.ContentLength != 0 && !bodiless(req.Method, resp.Status) {
		seen := new(string)
		resp.bom = seen
		resp.WrapBody(func(body io.ReadCloser) io.ReadCloser { return &bomBody{ReadCloser: body, seen: seen} })
		resp.ContentLength = -1
	}
}

// bomBody drops a byte order mark from what it reads.
type bomBody struct {
	io.ReadCloser
	seen    *string // the charset that the mark told
	started bool
	rest    []byte
	err     error
}

func (b *bomBody) Read(p []byte) (int, error) {
	if !b.started {
		b.started = true
		head := make([]byte, 4)
		n, err := io.ReadFull(b.ReadCloser, head)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		*b.seen, b.rest, b.err = charsetOfBOM(head[:n]), withoutBOM(head[:n]), err
	}
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.ReadCloser.Read(p)
}

func charsetOfBOM(data []byte) string {
	switch {
	case bytes.HasPrefix(data, bomUTF8):
		return "utf-8"
	case bytes.HasPrefix(data, bomUTF32LE):
		return "utf-32le"
	case bytes.HasPrefix(data, bomUTF32BE):
		return "utf-32be"
	case bytes.HasPrefix(data, bomUTF16LE):
		return "utf-16le"
	case bytes.HasPrefix(data, bomUTF16BE):
		return "utf-16be"
	}
	return ""
}

func withoutBOM(data []byte) []byte {
	for _, bom := range [][]byte{bomUTF32LE, bomUTF32BE, bomUTF8, bomUTF16BE, bomUTF16LE} {
		if bytes.HasPrefix(data, bom) {
			return data[len(bom):]
		}
	}
	return data
}
