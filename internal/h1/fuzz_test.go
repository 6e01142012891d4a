package h1_test

import (
	"testing"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

// FuzzHead: no input panics, and a head is the same, or refused the same way,
// however it is split. What strict accepts, lenient reads alike.
func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nrest", 3, false)
	f.Add("\r\nHTTP/1.0 404\nA : b\n c\n\n", 1, true)
	f.Fuzz(func(t *testing.T, input string, step int, loose bool) {
		limits := h1.Limits{MaxBytes: 4096, MaxFields: 20, Lenient: loose}
		step = max(1, step%64)
		whole, rest, err := readHead(input, len(input)+1, limits)
		pieces, rest2, err2 := readHead(input, step, limits)
		if (err == nil) != (err2 == nil) || err == nil && (text(whole) != text(pieces) || rest != rest2) {
			t.Fatalf("whole: %q %v\nby %d bytes: %q %v", text(whole), err, step, text(pieces), err2)
		}
		if err != nil {
			return
		}
		framing, err := whole.Framing("GET", limits)
		if err == nil && framing.Kind == h1.BodyLength && framing.Length < 0 {
			t.Fatalf("negative length %d", framing.Length)
		}
		if !loose {
			limits.Lenient = true
			if same, _, err := readHead(input, len(input)+1, limits); err != nil || text(same) != text(whole) {
				t.Fatalf("strict %q, lenient %q, %v", text(whole), text(same), err)
			}
			for name, value := range whole.Header.All() {
				if !header.ValidName(name) || !header.ValidValue(value) {
					t.Fatalf("strict lets %q: %q through", name, value)
				}
			}
		}
	})
}

// FuzzDecoder: no input panics, the data is never longer than the input, and
// the result is the same however the input is split.
func FuzzDecoder(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\nA: b\r\n\r\nrest", 3, false)
	f.Add("1;a=b\nx\n0\n\n", 1, true)
	f.Fuzz(func(t *testing.T, input string, step int, loose bool) {
		limits := h1.Limits{MaxBytes: 4096, MaxFields: 20, Lenient: loose}
		step = max(1, step%64)
		data, trailer, rest, err := decode(input, len(input)+1, limits)
		data2, trailer2, rest2, err2 := decode(input, step, limits)
		if data != data2 || trailer != trailer2 || rest != rest2 || (err == nil) != (err2 == nil) {
			t.Fatalf("whole: %q %q %q %v\nby %d bytes: %q %q %q %v", data, trailer, rest, err, step, data2, trailer2, rest2, err2)
		}
		if len(data) > len(input) {
			t.Fatalf("%d bytes of data from %d", len(data), len(input))
		}
	})
}
