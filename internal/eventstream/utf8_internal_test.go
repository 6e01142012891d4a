package eventstream

import (
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// FuzzText: what is valid is what package utf8 says, and what is not is decoded
// as by the Encoding Standard.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"", "plain ASCII, longer than a word", "grüße … 😀 and more", "12345678\xC3", "1234567\xE2\x82", "\xED\xA0\x80 surrogate",
		"\xE0\x80\x80 and \xF4\x90\x80\x80 and \xC0\xAF", "\xF0\x9F\x98", "\xF8\x88\x80\x80\x80", "\xEF\xBF\xBD replaced already",
		"鷸鷸鷸鷸鷸鷸\xE9\xB7", "\xE1\x80\xC2\xF1\x80\x80\x41",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := valid(b), utf8.Valid(b); got != want {
			t.Fatalf("valid(%q) is %v", b, got)
		}
		want, err := unicode.UTF8.NewDecoder().Bytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(b); got != string(want) {
			t.Fatalf("text(%q) is %q, want %q", b, got, want)
		}
	})
}
