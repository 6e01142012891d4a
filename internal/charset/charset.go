// Package charset writes text in the charset that its label names.
//
// The labels and the encodings behind them are those of the WHATWG Encoding
// Standard, which is made for reading: it reads "iso-8859-1" as windows-1252,
// because many pages mean that, has one "utf-16" of little-endian, and reads what
// nobody should write as an error. Who writes must say what the label says by its
// own definition, so the differences are made good here.
package charset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"

	"github.com/godwit-go/godwit/header"
)

// IsText reports whether a body is characters: of types that say so, and of
// forms, whose escapes are.
func IsText(mt header.MediaType) bool {
	switch mt.Suffix() {
	case "json", "xml", "yaml":
		return true
	}
	return mt.IsText()
}

// Encode converts data from UTF-8 to the encoding that the Encoding Standard has
// for label. A character that the label's own charset does not have is an error,
// and so is a label that can only be read. "utf-16" is written with a byte order
// mark (RFC 2781 §3.3), "utf-16le" and "utf-16be" without.
func Encode(enc encoding.Encoding, label string, data []byte) ([]byte, error) {
	label = strings.ToLower(strings.TrimSpace(label))
	if enc == encoding.Replacement {
		return nil, fmt.Errorf("charset %s is not written: give the body in UTF-8", label)
	}
	out, err := enc.NewEncoder().Bytes(data)
	if err == nil && slices.ContainsFunc(out, outside(enc, label)) {
		err = errNotThere
	}
	if err != nil {
		return nil, fmt.Errorf("text does not fit charset %s: %w", label, err)
	}
	switch label {
	case "utf-16", "unicode", "csunicode", "ucs-2", "iso-10646-ucs-2":
		out = append([]byte{0xFF, 0xFE}, out...)
	}
	return out, nil
}

var errNotThere = errors.New("it has a character that the charset does not have")

// outside returns what tells the bytes that the label's own charset does not have
// from those that it has in common with the encoding: of windows-1252, -1254 and
// -874 ISO 8859-1, -9 and -11 have all from 0xA0 on.
func outside(enc encoding.Encoding, label string) func(byte) bool {
	windows := strings.HasPrefix(label, "windows-") || strings.HasPrefix(label, "cp125") || strings.HasPrefix(label, "x-cp125") || label == "dos-874"
	switch {
	case strings.HasSuffix(label, "ascii"), label == "ansi_x3.4-1968":
		return func(c byte) bool { return c >= 0x80 }
	case !windows && (enc == charmap.Windows1252 || enc == charmap.Windows1254 || enc == charmap.Windows874):
		return func(c byte) bool { return c >= 0x80 && c < 0xA0 }
	}
	return func(byte) bool { return false }
}
