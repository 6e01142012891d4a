package charset_test

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/charset"
)

func TestEncode(t *testing.T) {
	for _, row := range []struct{ label, text, want string }{
		{"utf-8", "é€語", "é€語"},
		{"UTF8", "é€語", "é€語"},
		{"iso-8859-1", "é", "\xe9"},
		{"ISO-8859-1", "€", "!does not fit charset iso-8859-1"},
		{"latin1", "…", "!does not fit charset latin1"},
		{" iso-8859-1 ", "語", "!does not fit charset iso-8859-1"},
		{"windows-1252", "€é", "\x80\xe9"},
		{"cp1252", "€", "\x80"},
		{"x-cp1252", "€", "\x80"},
		{"us-ascii", "e", "e"},
		{"us-ascii", "é", "!does not fit charset us-ascii"},
		{"ansi_x3.4-1968", "é", "!does not fit"},
		{"iso-8859-9", "ğ", "\xf0"},
		{"latin5", "€", "!does not fit"},
		{"windows-1254", "€", "\x80"},
		{"tis-620", "ก", "\xa1"},
		{"iso-8859-11", "€", "!does not fit"},
		{"dos-874", "€", "\x80"},
		{"iso-8859-15", "€", "\xa4"},
		{"koi8-r", "д", "\xc4"},
		{"utf-16", "é", "\xff\xfe\xe9\x00"},
		{"utf-16le", "é", "\xe9\x00"},
		{"utf-16be", "é", "\x00\xe9"},
		{"iso-2022-kr", "a", "!charset iso-2022-kr is not written"},
		{"shift_jis", "あ", "\x82\xa0"},
	} {
		enc, err := htmlindex.Get(strings.TrimSpace(row.label))
		if err != nil {
			t.Fatal(row.label, err)
		}
		got, err := charset.Encode(enc, row.label, []byte(row.text))
		if want, fails := strings.CutPrefix(row.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q as %q: %q, %v", row.text, row.label, got, err)
			}
		} else if err != nil || string(got) != row.want {
			t.Errorf("%q as %q: %q, %v", row.text, row.label, got, err)
		}
	}
}

func TestIsText(t *testing.T) {
	for contentType, want := range map[string]bool{
		"text/plain": true, "application/json": true, "application/problem+json": true, "image/svg+xml": true, "application/yaml": true,
		"application/x-www-form-urlencoded": true, "application/cbor": false, "image/png": false, "application/octet-stream": false,
	} {
		mt, _ := header.ParseMediaType(contentType)
		if charset.IsText(mt) != want {
			t.Error(contentType)
		}
	}
}
