package h1_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

// decode feeds input to a Decoder by pieces of step bytes and returns the data,
// the trailer and what follows the body.
func decode(input string, step int, limits h1.Limits) (data, trailer, rest string, err error) {
	d := h1.Decoder{Limits: limits}
	for input != "" && !d.Done() {
		piece := []byte(input[:min(step, len(input))])
		input = input[len(piece):]
		n, more, err := d.Decode(piece)
		data += string(piece[:n])
		rest = string(more)
		if err != nil {
			return data, "", "", err
		}
	}
	if !d.Done() {
		return data, "", "", errIncomplete
	}
	return data, d.Trailer().String(), rest + input, nil
}

func TestDecoder(t *testing.T) {
	for _, tc := range []struct {
		name, input   string
		limits        h1.Limits
		data, trailer string
		reason        string // part of the error's text: refused
	}{
		{"empty", "0\r\n\r\n", strict, "", "", ""},
		{"one chunk", "5\r\nhello\r\n0\r\n\r\n", strict, "hello", "", ""},
		{"two chunks, hex", "A\r\n0123456789\r\nb\r\nabcdefghijk\r\n000\r\n\r\n", strict, "0123456789abcdefghijk", "", ""},
		{"data like framing", "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", strict, "0\r\n\r\n0\r", "", ""},
		{"leading zeros", "0000000000000001\r\nx\r\n0\r\n\r\n", strict, "x", "", ""},
		{"extension", "1;a=b;c=\"d e\"\r\nx\r\n0;last\r\n\r\n", strict, "x", "", ""},
		{"extension after white space", "1 \t;a\r\nx\r\n0\r\n\r\n", strict, "x", "", ""},
		{"trailer", "1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\n", strict, "x", "A: b\r\nC: d\r\n", ""},
		{"forbidden trailers are dropped", "0\r\nContent-Length: 5\r\nA: b\r\ntransfer-encoding: chunked\r\nHost: x\r\n\r\n", strict, "", "A: b\r\n", ""},

		{"no size", "\r\n\r\n", strict, "", "", "bad chunk size"},
		{"sign", "+1\r\nx\r\n0\r\n\r\n", strict, "", "", "bad chunk size"},
		{"minus", "-1\r\n", strict, "", "", "bad chunk size"},
		{"prefix 0x", "0x1\r\nx\r\n0\r\n\r\n", strict, "", "", "after a chunk size"},
		{"underscore", "1_0\r\n", strict, "", "", "after a chunk size"},
		{"white space before the size", " 1\r\nx\r\n0\r\n\r\n", strict, "", "", "bad chunk size"},
		{"white space after the size", "1 \r\nx\r\n0\r\n\r\n", strict, "", "", "after a chunk size"},
		{"not hex", "g\r\n", strict, "", "", "bad chunk size"},
		{"overflow", "ffffffffffffffff\r\n", strict, "", "", "too large"},
		{"too many digits", "00000000000000001\r\nx", strict, "", "", "too many digits"},
		{"bare LF after the size", "1\nx\r\n0\r\n\r\n", strict, "", "", "after a chunk size"},
		{"bare CR after the size", "1\rx\r\n0\r\n\r\n", strict, "", "", "bare CR"},
		{"bare LF after an extension", "1;a\nx\r\n0\r\n\r\n", strict, "", "", "control character"},
		{"NUL in an extension", "1;a\x00\r\nx\r\n0\r\n\r\n", strict, "", "", "control character"},
		{"longer than its size", "1\r\nxy\r\n0\r\n\r\n", strict, "x", "", "longer than its size"},
		{"bare LF after the data", "1\r\nx\n0\r\n\r\n", strict, "x", "", "longer than its size"},
		{"bare CR after the data", "1\r\nx\r0\r\n\r\n", strict, "x", "", "not followed by CRLF"},
		{"long extension", "1;" + strings.Repeat("a", 5000) + "\r\nx", strict, "", "", "extensions are too long"},
		{"many long extensions", strings.Repeat("1;"+strings.Repeat("a", 4000)+"\r\nx\r\n", 6), strict, "xxxx", "", "extensions are too long"},
		{"bad trailer", "0\r\nA b\r\n\r\n", strict, "", "", "before the colon"},
		{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", strict, "", "", "folded"},
		{"bare LF in the trailer", "0\r\nA: b\n\r\n", strict, "", "", "bare LF"},
		{"large trailer", "0\r\nA: " + strings.Repeat("b", 80) + "\r\n\r\n", h1.Limits{MaxBytes: 64}, "", "", "MaxHeaderBytes"},
		{"endless trailer line", "0\r\nA: " + strings.Repeat("b", 80), h1.Limits{MaxBytes: 64}, "", "", "MaxHeaderBytes"},
		{"many trailers", "0\r\nA: 1\r\nA: 2\r\nA: 3\r\n\r\n", h1.Limits{MaxFields: 2}, "", "", "MaxHeaderFields"},

		{"lenient: white space after the size", "1  \r\nx\r\n0\r\n\r\n", lenient, "x", "", ""},
		{"lenient: bare LF", "1\nx\n1;a\ny\r\n0\nA: b\n\n", lenient, "xy", "A: b\r\n", ""},
		{"lenient: bare CR", "1\rx\r\n0\r\n\r\n", lenient, "", "", "bare CR"},
		{"lenient: longer than its size", "1\r\nxy\r\n0\r\n\r\n", lenient, "x", "", "longer than its size"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachSplit(t, tc.input, func(t *testing.T, input string, step int, tail string) {
				data, trailer, rest, err := decode(input, step, tc.limits)
				if data != tc.data {
					t.Errorf("data = %q, want %q", data, tc.data)
				}
				if tc.reason != "" {
					p, ok := errors.AsType[*engine.ProtocolError](err)
					if !ok || !strings.Contains(p.Reason, tc.reason) {
						t.Fatalf("error = %v, want a ProtocolError with %q", err, tc.reason)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if trailer != tc.trailer || rest != tail {
					t.Errorf("trailer %q, rest %q; want %q, %q", trailer, rest, tc.trailer, tail)
				}
			})
		})
	}
}

func TestDecoderEmptyTrailerNeedsNoMemory(t *testing.T) {
	const input = "5\r\nhello\r\n0\r\n\r\n"
	var b [len(input)]byte
	allocs := testing.AllocsPerRun(100, func() {
		copy(b[:], input)
		d := h1.Decoder{}
		if n, _, err := d.Decode(b[:]); n != 5 || err != nil || !d.Done() {
			t.Fatal(n, err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

func TestChunkWriter(t *testing.T) {
	for _, size := range []int{1, 9, 10, 255, 4096, 70000} {
		data := strings.Repeat("x", size)
		framed := make([]byte, h1.ChunkHeadSize, h1.ChunkHeadSize+size+2)
		start := h1.PutChunkHead(framed, size)
		framed = append(append(framed, data...), "\r\n"...)
		for name, chunk := range map[string][]byte{
			"PutChunkHead": framed[start:], "AppendChunk": h1.AppendChunk(nil, []byte(data)),
		} {
			body, err := h1.AppendLastChunk(chunk, header.New("A", "b"))
			if err != nil {
				t.Fatal(err)
			}
			got, trailer, rest, err := decode(string(body), len(body), strict)
			if err != nil || got != data || trailer != "A: b\r\n" || rest != "" {
				t.Errorf("%s of %d bytes: got %d bytes, trailer %q, rest %q, %v", name, size, len(got), trailer, rest, err)
			}
		}
	}
	if got := h1.AppendChunk(nil, nil); len(got) != 0 {
		t.Errorf("an empty chunk is %q and would end the body", got)
	}
	for _, bad := range []header.Header{header.New("Content-Length", "5"), header.New("A\r\nB", "c"), header.New("A", "b\r\nC: d")} {
		if b, err := h1.AppendLastChunk([]byte("x"), bad); err == nil || string(b) != "x" {
			t.Errorf("trailer %q was written: %q", bad, b)
		}
	}
}
