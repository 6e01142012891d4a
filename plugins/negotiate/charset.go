package negotiate

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/charset"
)

// The order of authority is that of RFC 7303 §3 and of the WHATWG Encoding
// Standard: a byte order mark, then the charset parameter, then what the format
// itself says (an XML declaration).

var bomUTF8 = []byte{0xEF, 0xBB, 0xBF}

// toUTF8 converts text to UTF-8; converted tells that its charset was known from
// outside of it. What is no text is left alone.
func toUTF8(mt header.MediaType, data []byte) (out []byte, converted bool, err error) {
	if !charset.IsText(mt) {
		return data, false, nil
	}
	if rest, ok := bytes.CutPrefix(data, bomUTF8); ok {
		return rest, true, nil
	}
	var enc encoding.Encoding
	switch {
	case bytes.HasPrefix(data, []byte{0xFE, 0xFF}), bytes.HasPrefix(data, []byte{0xFF, 0xFE}):
		enc = unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM)
	case mt.Charset() == "":
		return data, false, nil
	case isUTF8(mt.Charset()):
		return data, true, nil
	default:
		if enc, err = encodingOf(mt.Charset()); err != nil {
			return nil, false, err
		}
	}
	out, err = enc.NewDecoder().Bytes(data)
	return out, true, err
}

// fromUTF8 converts what a codec wrote to the charset that the type names.
func fromUTF8(mt header.MediaType, data []byte) ([]byte, error) {
	label := mt.Charset()
	if label == "" || !charset.IsText(mt) {
		return data, nil
	}
	enc, err := encodingOf(label)
	if err != nil {
		return nil, err
	}
	return charset.Encode(enc, label, data)
}

// readUTF8 does as toUTF8 for a stream. It waits for no more bytes than it needs.
func readUTF8(r io.Reader, contentType string) (io.Reader, error) {
	t := &textReader{src: r}
	mt, _ := header.ParseMediaType(contentType)
	if label := mt.Charset(); label != "" && !isUTF8(label) {
		enc, err := encodingOf(label)
		if err != nil {
			return nil, err
		}
		t.fallback = enc
	}
	return t, nil
}

// textReader looks for a byte order mark with its first read.
type textReader struct {
	src      io.Reader
	fallback encoding.Encoding // nil = UTF-8
	r        io.Reader
}

func (t *textReader) Read(p []byte) (int, error) {
	if t.r == nil {
		if err := t.start(); err != nil {
			return 0, err
		}
	}
	return t.r.Read(p)
}

func (t *textReader) start() error {
	head := make([]byte, 0, 3)
	want := 1
	for len(head) < want {
		n, err := io.ReadFull(t.src, head[len(head):want])
		head = head[:len(head)+n]
		if err != nil && len(head) == 0 {
			return err
		}
		if err != nil {
			break
		}
		switch {
		case len(head) == 1 && (head[0] == 0xFE || head[0] == 0xFF):
			want = 2
		case head[0] == 0xEF:
			want = 3
		}
	}
	enc := t.fallback
	switch {
	case bytes.Equal(head, bomUTF8):
		enc, head = nil, nil
	case bytes.Equal(head, []byte{0xFE, 0xFF}), bytes.Equal(head, []byte{0xFF, 0xFE}):
		enc = unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM)
	}
	t.r = io.MultiReader(bytes.NewReader(head), t.src)
	if enc != nil {
		t.r = enc.NewDecoder().Reader(t.r)
	}
	return nil
}

func isUTF8(label string) bool {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

func encodingOf(label string) (encoding.Encoding, error) {
	enc, err := htmlindex.Get(strings.TrimSpace(label))
	if err != nil {
		return nil, &godwit.UnknownCharsetError{Label: label}
	}
	return enc, nil
}
