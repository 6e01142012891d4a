package h1_test

import (
	"strings"
	"testing"

	"github.com/godwit-go/godwit/internal/h1"
)

// TestBadValueByte sets every byte at every place of values of every length that
// the eight at a time and the rest can make.
func TestBadValueByte(t *testing.T) {
	for length := range 20 {
		plain := strings.Repeat("v", length)
		if got := h1.BadValueByte(plain); got != -1 {
			t.Errorf("%d bytes: %d, want -1", length, got)
		}
		for at := range length {
			for c := range 256 {
				value := []byte(plain)
				value[at] = byte(c)
				want := -1
				if c < ' ' && c != '\t' || c == 0x7f {
					want = at
				}
				if got := h1.BadValueByte(string(value)); got != want {
					t.Errorf("%q: %d, want %d", value, got, want)
				}
			}
		}
	}
	if got := h1.BadValueByte("a\tb\x80cdefgh\x7f\x00"); got != 10 {
		t.Errorf("after a tab: %d, want 10", got)
	}
}
