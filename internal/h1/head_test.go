package h1_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

var strict, lenient = h1.Limits{}, h1.Limits{Lenient: true}

// readHead feeds input to a Scanner by pieces of step bytes, parses the head and
// returns it and what follows it.
func readHead(input string, step int, limits h1.Limits) (h1.Head, string, error) {
	s := h1.Scanner{Limits: limits}
	for end := 0; ; {
		end = min(end+step, len(input))
		n, err := s.Scan([]byte(input[:end]))
		if err != nil {
			return h1.Head{}, "", err
		}
		if n > 0 {
			h, err := h1.ParseHead([]byte(input[:n]), limits)
			return h, input[n:], err
		}
		if end == len(input) {
			return h1.Head{}, "", errIncomplete
		}
	}
}

var errIncomplete = errors.New("incomplete")

// eachSplit runs f with the input whole, byte by byte and with data behind it.
func eachSplit(t *testing.T, input string, f func(t *testing.T, input string, step int, tail string)) {
	t.Helper()
	const tail = "HTTP/1.1 200 the next\r\n\r\n"
	t.Run("whole", func(t *testing.T) { f(t, input, max(len(input), 1), "") })
	t.Run("bytes", func(t *testing.T) { f(t, input, 1, "") })
	t.Run("tail", func(t *testing.T) { f(t, input+tail, len(input)+len(tail), tail) })
}

// text renders a head for comparison.
func text(h h1.Head) string {
	return fmt.Sprintf("%s %d %q\n%s", h.Proto(), h.Status, h.Reason, h.Header)
}

// headCases are heads and what is read from them.
var headCases = []struct {
	name, input string
	limits      h1.Limits
	want        string // empty: refused
	reason      string // part of the error's text
}{
	{"plain", "HTTP/1.1 200 OK\r\nServer: x\r\nX-a:b\r\n\r\n", strict, "HTTP/1.1 200 \"OK\"\nServer: x\r\nX-a: b\r\n", ""},
	{"no fields", "HTTP/1.1 204 No Content\r\n\r\n", strict, "HTTP/1.1 204 \"No Content\"\n", ""},
	{"no reason", "HTTP/1.1 200 \r\n\r\n", strict, "HTTP/1.1 200 \"\"\n", ""},
	{"no space after the code", "HTTP/1.1 200\r\n\r\n", strict, "HTTP/1.1 200 \"\"\n", ""},
	{"1.0", "HTTP/1.0 200 OK\r\n\r\n", strict, "HTTP/1.0 200 \"OK\"\n", ""},
	{"1.2 is read as 1.1", "HTTP/1.2 200 OK\r\n\r\n", strict, "HTTP/1.1 200 \"OK\"\n", ""},
	{"white space around the value", "HTTP/1.1 200 OK\r\nA: \t b c \t\r\n\r\n", strict, "HTTP/1.1 200 \"OK\"\nA: b c\r\n", ""},
	{"empty value", "HTTP/1.1 200 OK\r\nA:\r\nB: \r\n\r\n", strict, "HTTP/1.1 200 \"OK\"\nA: \r\nB: \r\n", ""},
	{"order, case and repetition", "HTTP/1.1 200 OK\r\nb: 1\r\nA: 2\r\nB: 3\r\n\r\n", strict, "HTTP/1.1 200 \"OK\"\nb: 1\r\nA: 2\r\nB: 3\r\n", ""},
	{"obs-text", "HTTP/1.1 200 Gr\xfc\xdfe\r\nA: \xe4\r\n\r\n", strict, "HTTP/1.1 200 \"Gr\\xfc\\xdfe\"\nA: \xe4\r\n", ""},
	{"status 999", "HTTP/1.1 999 x\r\n\r\n", strict, "HTTP/1.1 999 \"x\"\n", ""},

	{"HTTP/5.6", "HTTP/5.6 200 OK\r\n\r\n", strict, "", "unsupported version"},
	{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", strict, "", "unsupported version"},
	{"HTTP/1.", "HTTP/1. 200 OK\r\n\r\n", strict, "", "bad status line"},
	{"HTTP/1.10", "HTTP/1.10 200 OK\r\n\r\n", strict, "", "bad status line"},
	{"lower case version", "http/1.1 200 OK\r\n\r\n", strict, "", "not an HTTP response"},
	{"HTTP/0.9", "<html>", strict, "", "not an HTTP response"},
	{"another protocol, without a line end", "SSH-2.0-x", strict, "", "not an HTTP response"},
	{"TLS alert", "\x15\x03\x01\x00\x02\x02\x16", strict, "", "not an HTTP response"},
	{"status 99", "HTTP/1.1 099 x\r\n\r\n", strict, "", "bad status line"},
	{"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", strict, "", "bad status line"},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", strict, "", "bad status line"},
	{"status is no number", "HTTP/1.1 abc OK\r\n\r\n", strict, "", "bad status line"},
	{"negative status", "HTTP/1.1 -20 OK\r\n\r\n", strict, "", "bad status line"},
	{"no status", "HTTP/1.1\r\n\r\n", strict, "", "bad status line"},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", strict, "", "bad status line"},
	{"tab", "HTTP/1.1\t200 OK\r\n\r\n", strict, "", "bad status line"},
	{"CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", strict, "", "bad status line"},
	{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", strict, "", "bad status line"},
	{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", strict, "", "not an HTTP response"},
	{"bare LF after the status line", "HTTP/1.1 200 OK\nA: b\r\n\r\n", strict, "", "bare LF"},
	{"bare LF after a field", "HTTP/1.1 200 OK\r\nA: b\n\r\n", strict, "", "bare LF"},
	{"bare LF as the end", "HTTP/1.1 200 OK\r\nA: b\r\n\n", strict, "", "bare LF"},
	{"bare CR in a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", strict, "", "bare CR"},
	{"CR CR LF", "HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", strict, "", "bare CR"},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", strict, "", "NUL"},
	{"NUL in a name", "HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n", strict, "", "NUL"},
	{"control character", "HTTP/1.1 200 OK\r\nA: b\x07\r\n\r\n", strict, "", "control character"},
	{"DEL", "HTTP/1.1 200 OK\r\nA: b\x7f\r\n\r\n", strict, "", "control character"},
	{"space before the colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", strict, "", "before the colon"},
	{"space in a name", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", strict, "", "before the colon"},
	{"no colon", "HTTP/1.1 200 OK\r\nAb\r\n\r\n", strict, "", "bad field line"},
	{"no name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", strict, "", "bad field line"},
	{"obs-text in a name", "HTTP/1.1 200 OK\r\n\xe4: b\r\n\r\n", strict, "", "bad field line"},
	{"folded field", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", strict, "", "folded"},
	{"folded status line", "HTTP/1.1 200 OK\r\n c: d\r\n\r\n", strict, "", "folded"},
	{"too large", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 80) + "\r\n\r\n", h1.Limits{MaxBytes: 64}, "", "MaxHeaderBytes, 64"},
	{"too large without an end", "HTTP/1.1 200 " + strings.Repeat("b", 80), h1.Limits{MaxBytes: 64}, "", "MaxHeaderBytes, 64"},
	{"too many fields", "HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\nA: 3\r\n\r\n", h1.Limits{MaxFields: 2}, "", "MaxHeaderFields, 2"},
	{"just enough fields", "HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n\r\n", h1.Limits{MaxFields: 2}, "HTTP/1.1 200 \"OK\"\nA: 1\r\nA: 2\r\n", ""},
	{"just small enough", "HTTP/1.1 200 OK\r\n\r\n", h1.Limits{MaxBytes: 19}, "HTTP/1.1 200 \"OK\"\n", ""},

	{"lenient: bare LF", "HTTP/1.1 200 OK\nA: b\nC: d\r\n\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b\r\nC: d\r\n", ""},
	{"lenient: bare CR", "HTTP/1.1 200 O\rK\r\nA: b\rc\r\n\r\n", lenient, "HTTP/1.1 200 \"O K\"\nA: b c\r\n", ""},
	{"lenient: NUL", "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", lenient, "", "NUL"},
	{"lenient: NUL in the reason", "HTTP/1.1 200 \x01\x00\r\n\r\n", lenient, "", "bad status line"},
	{"lenient: control character", "HTTP/1.1 200 OK\r\nA: b\x07\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b\a\r\n", ""},
	{"lenient: space before the colon", "HTTP/1.1 200 OK\r\nA \t: b\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b\r\n", ""},
	{"lenient: folded", "HTTP/1.1 200 OK\r\nA: b\r\n\t c\r\n  \r\nD: e\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b c\r\nD: e\r\n", ""},
	{"lenient: folded status line", "HTTP/1.1 200 OK\r\n c\r\nA: b\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b\r\n", ""},
	{"lenient: bad lines", "HTTP/1.1 200 OK\r\nx\r\n: y\r\n\xe4: z\r\nA: b\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\nA: b\r\n", ""},
	{"lenient: empty lines first", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\n", ""},
	{"lenient: spaces", "HTTP/1.1   200 OK\r\n\r\n", lenient, "HTTP/1.1 200 \"OK\"\n", ""},
	{"lenient: HTTP/5.6", "HTTP/5.6 200 OK\r\n\r\n", lenient, "", "unsupported version"},
}

func TestHead(t *testing.T) {
	for _, tc := range headCases {
		t.Run(tc.name, func(t *testing.T) {
			eachSplit(t, tc.input, func(t *testing.T, input string, step int, tail string) {
				h, rest, err := readHead(input, step, tc.limits)
				if tc.want == "" {
					p, ok := errors.AsType[*engine.ProtocolError](err)
					if !ok || !strings.Contains(p.Reason, tc.reason) {
						t.Fatalf("error = %v, want a ProtocolError with %q", err, tc.reason)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := text(h); got != tc.want {
					t.Errorf("head:\n%s\nwant:\n%s", got, tc.want)
				}
				if rest != tail {
					t.Errorf("rest = %q, want %q", rest, tail)
				}
			})
		})
	}
}

func TestHeadSharesOneString(t *testing.T) {
	raw := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nServer: x\r\n\r\n")
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := h1.ParseHead(raw, strict); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 {
		t.Errorf("ParseHead makes %v allocations, want 2: the text and the fields", allocs)
	}
	h, err := h1.ParseHead(raw, strict)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] = 'x'
	}
	if got := h.Header.Get("server") + h.Reason; got != "xOK" {
		t.Errorf("the head refers to the caller's bytes: %q", got)
	}
}

func length(n int64, keep bool) h1.Framing {
	return h1.Framing{Kind: h1.BodyLength, Length: n, Announced: n, KeepAlive: keep, KeepAliveTimeout: -1}
}

func of(kind h1.BodyKind, announced int64, keep bool) h1.Framing {
	return h1.Framing{Kind: kind, Announced: announced, KeepAlive: keep, KeepAliveTimeout: -1}
}

// framingCases are fields, joined by |, and how the body behind them ends.
var framingCases = []struct {
	name, method, status, fields string
	limits                       h1.Limits
	want                         h1.Framing
	reason                       string // refused
}{
	{"length", "GET", "1.1 200", "Content-Length: 5", strict, length(5, true), ""},
	{"length 0", "GET", "1.1 200", "Content-Length: 0", strict, length(0, true), ""},
	{"equal lengths", "GET", "1.1 200", "Content-Length: 5, 5|content-length: 5", strict, length(5, true), ""},
	{"largest length", "GET", "1.1 200", "Content-Length: 9223372036854775807", strict, length(1<<63-1, true), ""},
	{"nothing", "GET", "1.1 200", "", strict, of(h1.BodyUntilClose, -1, false), ""},
	{"chunked", "GET", "1.1 200", "Transfer-Encoding: Chunked", strict, of(h1.BodyChunked, -1, true), ""},
	{"HEAD", "HEAD", "1.1 200", "Content-Length: 5", strict, of(h1.BodyNone, 5, true), ""},
	{"HEAD chunked", "HEAD", "1.1 200", "Transfer-Encoding: chunked", strict, of(h1.BodyNone, -1, true), ""},
	{"HEAD with doubtful framing", "HEAD", "1.1 200", "Content-Length: 5|Content-Length: 6", strict, of(h1.BodyNone, -1, false), ""},
	{"304", "GET", "1.1 304", "Content-Length: 5", strict, of(h1.BodyNone, 5, true), ""},
	{"204", "GET", "1.1 204", "", strict, of(h1.BodyNone, -1, true), ""},
	{"204 chunked", "GET", "1.1 204", "Transfer-Encoding: chunked", strict, of(h1.BodyNone, -1, false), ""},
	{"103", "GET", "1.1 103", "", strict, of(h1.BodyNone, -1, true), ""},
	{"101", "GET", "1.1 101", "Connection: upgrade", strict, of(h1.BodyTunnel, -1, true), ""},
	{"CONNECT 200", "CONNECT", "1.1 200", "Content-Length: 5", strict, of(h1.BodyTunnel, 5, true), ""},
	{"CONNECT 407", "CONNECT", "1.1 407", "Content-Length: 5", strict, length(5, true), ""},
	{"close", "GET", "1.1 200", "Content-Length: 5|Connection: foo, Close", strict, length(5, false), ""},
	{"close in a second field", "GET", "1.1 200", "Content-Length: 5|Connection: foo|Connection: close", strict, length(5, false), ""},
	{"1.0", "GET", "1.0 200", "Content-Length: 5", strict, length(5, false), ""},
	{"1.0 keep-alive", "GET", "1.0 200", "Content-Length: 5|Connection: Keep-Alive", strict, length(5, true), ""},
	{"1.0 without length", "GET", "1.0 200", "Connection: keep-alive", strict, of(h1.BodyUntilClose, -1, false), ""},

	{"differing lengths", "GET", "1.1 200", "Content-Length: 5|Content-Length: 6", strict, h1.Framing{}, "Content-Length"},
	{"differing lengths in a list", "GET", "1.1 200", "Content-Length: 5, 6", strict, h1.Framing{}, "Content-Length"},
	{"differing lengths, lenient", "GET", "1.1 200", "Content-Length: 5|Content-Length: 6", lenient, h1.Framing{}, "Content-Length"},
	{"empty length", "GET", "1.1 200", "Content-Length:", strict, h1.Framing{}, "Content-Length"},
	{"list with an empty element", "GET", "1.1 200", "Content-Length: 5,", strict, h1.Framing{}, "Content-Length"},
	{"sign", "GET", "1.1 200", "Content-Length: +5", strict, h1.Framing{}, "Content-Length"},
	{"negative", "GET", "1.1 200", "Content-Length: -1", strict, h1.Framing{}, "Content-Length"},
	{"hex", "GET", "1.1 200", "Content-Length: 0x5", strict, h1.Framing{}, "Content-Length"},
	{"inner space", "GET", "1.1 200", "Content-Length: 5 5", strict, h1.Framing{}, "Content-Length"},
	{"overflow", "GET", "1.1 200", "Content-Length: 9223372036854775808", strict, h1.Framing{}, "Content-Length"},
	{"far overflow", "GET", "1.1 200", "Content-Length: 99999999999999999999", strict, h1.Framing{}, "Content-Length"},
	{"length and chunked", "GET", "1.1 200", "Content-Length: 5|Transfer-Encoding: chunked", strict, h1.Framing{}, "both"},
	{"chunked and length", "GET", "1.1 200", "Transfer-Encoding: chunked|Content-Length: 5", strict, h1.Framing{}, "both"},
	{"length and chunked, lenient", "GET", "1.1 200", "Content-Length: 5|Transfer-Encoding: chunked", lenient, of(h1.BodyChunked, -1, false), ""},
	{"chunked in 1.0", "GET", "1.0 200", "Transfer-Encoding: chunked", strict, h1.Framing{}, "HTTP/1.0"},
	{"chunked in 1.0, lenient", "GET", "1.0 200", "Connection: keep-alive|Transfer-Encoding: chunked", lenient, of(h1.BodyChunked, -1, false), ""},
	{"gzip, chunked", "GET", "1.1 200", "Transfer-Encoding: gzip, chunked", strict, h1.Framing{}, "transfer coding"},
	{"gzip, chunked, lenient", "GET", "1.1 200", "Transfer-Encoding: gzip, chunked", lenient, h1.Framing{}, "transfer coding"},
	{"xchunked", "GET", "1.1 200", "Transfer-Encoding: xchunked", strict, h1.Framing{}, "transfer coding"},
	{"chunked twice", "GET", "1.1 200", "Transfer-Encoding: chunked, chunked", strict, h1.Framing{}, "transfer coding"},
	{"chunked in two fields", "GET", "1.1 200", "Transfer-Encoding: chunked|Transfer-Encoding: chunked", strict, h1.Framing{}, "transfer coding"},
	{"empty coding", "GET", "1.1 200", "Transfer-Encoding:", strict, h1.Framing{}, "transfer coding"},
	{"chunked with a parameter", "GET", "1.1 200", "Transfer-Encoding: chunked;a=b", strict, h1.Framing{}, "transfer coding"},
	{"identity", "GET", "1.1 200", "Transfer-Encoding: identity|Content-Length: 5", strict, h1.Framing{}, "identity"},
	{"identity, lenient", "GET", "1.1 200", "Transfer-Encoding: identity|Content-Length: 5", lenient, length(5, false), ""},
}

func TestFraming(t *testing.T) {
	for _, tc := range framingCases {
		t.Run(tc.name, func(t *testing.T) {
			raw := "HTTP/" + tc.status + " x\r\n"
			for line := range strings.SplitSeq(tc.fields, "|") {
				if line != "" {
					raw += line + "\r\n"
				}
			}
			h, err := h1.ParseHead([]byte(raw+"\r\n"), tc.limits)
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.Framing(tc.method, tc.limits)
			if tc.reason != "" {
				p, ok := errors.AsType[*engine.ProtocolError](err)
				if !ok || !strings.Contains(p.Reason, tc.reason) || p.Section == "" {
					t.Fatalf("error = %v, want a ProtocolError with %q and a section", err, tc.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestKeepAliveTimeout(t *testing.T) {
	for value, want := range map[string]int{
		"timeout=5, max=100": 5, "max=3,timeout = 7": 7, "timeout=x": -1, "timeout=": -1, "max=5": -1,
		"timeout=99999999999": 1 << 30,
	} {
		h, err := h1.ParseHead([]byte("HTTP/1.1 200 OK\r\nKeep-Alive: "+value+"\r\nContent-Length: 0\r\n\r\n"), strict)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := h.Framing("GET", strict); err != nil || f.KeepAliveTimeout != want {
			t.Errorf("%q: %d, %v, want %d", value, f.KeepAliveTimeout, err, want)
		}
	}
}

func TestUpgradesTo(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fields []string
		want   bool
	}{
		{"websocket", []string{"Connection", "keep-alive, UPGRADE", "Upgrade", "WebSocket"}, true},
		{"list", []string{"Connection", "upgrade", "Upgrade", "a/1, websocket"}, true},
		{"other protocol", []string{"Connection", "upgrade", "Upgrade", "websockets"}, false},
		{"no Upgrade", []string{"Connection", "upgrade"}, false},
		{"not in Connection", []string{"Upgrade", "websocket"}, false},
	} {
		h, err := h1.ParseHead([]byte("HTTP/1.1 101 x\r\n"+header.New(tc.fields...).String()+"\r\n"), strict)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.UpgradesTo("websocket"); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
