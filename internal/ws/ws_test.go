package ws_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/internal/ws"
)

// receive feeds wire to a receiver in pieces that grow by one byte, and returns
// the headers; the payloads are skipped.
func receive(r ws.Receiver, wire string) (headers []ws.Header, err error) {
	b := []byte(wire)
	for end := 0; end <= len(b); end++ {
		before := r
		h, n, err := r.Next(b[:end])
		if err != nil {
			return headers, err
		}
		if n == 0 {
			if r != before {
				return headers, errors.New("the state changed without a header")
			}
			continue
		}
		headers = append(headers, h)
		b, end = b[n:], -1
		b = b[min(int64(len(b)), h.Length):]
		if len(b) == 0 {
			return headers, nil
		}
	}
	return headers, errors.New("cut off")
}

func TestReceiver(t *testing.T) {
	for _, row := range []struct {
		name, wire string
		deflate    bool
		server     bool
		frames     int
		code       int // 0 = no error
		says       string
	}{
		{name: "text", wire: "\x81\x02hi", frames: 1},
		{name: "empty", wire: "\x82\x00", frames: 1},
		{name: "fragments with a ping between", wire: "\x01\x01a\x89\x01p\x80\x01b", frames: 3},
		{name: "16 bit length", wire: "\x82\x7e\x00\x7e" + strings.Repeat("x", 126), frames: 1},
		{name: "64 bit length", wire: "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + strings.Repeat("x", 65536), frames: 1},
		{name: "masked, to a server", wire: "\x81\x81abcdX", server: true, frames: 1},
		{name: "compressed", wire: "\xc1\x01x", deflate: true, frames: 1},
		{name: "compressed fragments", wire: "\x41\x01x\x80\x01y", deflate: true, frames: 2},

		{name: "RSV1", wire: "\xc1\x01x", code: 1002, says: "reserved bit 1"},
		{name: "RSV2", wire: "\xa1", deflate: true, code: 1002, says: "reserved bit"},
		{name: "RSV3", wire: "\x91", deflate: true, code: 1002, says: "reserved bit"},
		{name: "RSV1 on a ping", wire: "\xc9", deflate: true, code: 1002, says: "control frame"},
		{name: "RSV1 on a continuation", wire: "\x41\x01x\xc0", deflate: true, frames: 1, code: 1002, says: "continuation"},
		{name: "opcode 3", wire: "\x83", code: 1002, says: "opcode 0x3"},
		{name: "opcode 7", wire: "\x87", code: 1002, says: "opcode 0x7"},
		{name: "opcode 11", wire: "\x8b", code: 1002, says: "opcode 0xb"},
		{name: "opcode 15", wire: "\x8f", code: 1002, says: "opcode 0xf"},
		{name: "fragmented ping", wire: "\x09", code: 1002, says: "fragmented"},
		{name: "long ping", wire: "\x89\x7e", code: 1002, says: "125"},
		{name: "continuation of nothing", wire: "\x80", code: 1002, says: "without a message"},
		{name: "message in a message", wire: "\x01\x01a\x81", frames: 1, code: 1002, says: "inside"},
		{name: "continuation after the end", wire: "\x81\x01a\x80", frames: 1, code: 1002, says: "without a message"},
		{name: "masked, to a client", wire: "\x81\x80", code: 1002, says: "masked"},
		{name: "not masked, to a server", wire: "\x81\x01", server: true, code: 1002, says: "not masked"},
		{name: "16 bits for 125", wire: "\x82\x7e\x00\x7d", code: 1002, says: "shortest"},
		{name: "64 bits for 65535", wire: "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", code: 1002, says: "shortest"},
		{name: "highest bit of a length", wire: "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", code: 1002, says: "highest bit"},
	} {
		t.Run(row.name, func(t *testing.T) {
			headers, err := receive(ws.Receiver{Deflate: row.deflate, Server: row.server}, row.wire)
			if len(headers) != row.frames {
				t.Errorf("%d frames, want %d", len(headers), row.frames)
			}
			e, _ := errors.AsType[*ws.Error](err)
			switch {
			case row.code == 0 && err != nil:
				t.Error(err)
			case row.code != 0 && (e == nil || e.Code != row.code || !strings.Contains(e.Error(), row.says) || e.Section == ""):
				t.Errorf("error %v, want %d and %q", err, row.code, row.says)
			}
		})
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	for _, length := range []int64{0, 1, 125, 126, 65535, 65536, 1 << 40, math.MaxInt64} {
		for _, masked := range []bool{false, true} {
			want := ws.Header{Final: true, Opcode: ws.Binary, Masked: masked, Length: length}
			if masked {
				want.Key = 0x01020304
			}
			wire := want.Append(nil)
			got, n, err := ws.Parse(append(wire, "rest"...))
			if err != nil || n != len(wire) || n > ws.MaxHeader || got != want {
				t.Errorf("%+v became %+v, %d of %d bytes, %v", want, got, n, len(wire), err)
			}
		}
	}
}

func TestMask(t *testing.T) {
	const key = 0x44332211 // the bytes 11 22 33 44
	src := make([]byte, 3000)
	for i := range src {
		src[i] = byte(i * 7)
	}
	for _, n := range []int{0, 1, 3, 4, 7, 8, 9, 31, 63, 64, 65, 127, 128, 130, 1023, 1024, 1025, 1031, 2048, 2999} {
		for _, split := range []int{0, 1, n / 2, n} {
			split = min(split, n)
			got := bytes.Repeat([]byte{'?'}, n+64)
			next := ws.Mask(got, src[:split], key)
			ws.Mask(got[split:], src[split:n], next)
			if rest := got[n:]; len(bytes.Trim(rest, "?")) != 0 {
				t.Fatalf("%d bytes split at %d: what follows was written to: %q", n, split, rest)
			}
			for i, c := range got[:n] {
				if want := src[i] ^ byte(uint32(key)>>(8*(i%4))); c != want {
					t.Fatalf("%d bytes split at %d: byte %d is %#x, want %#x", n, split, i, c, want)
				}
			}
		}
	}
	own := bytes.Clone(src)
	ws.Mask(own, own, key)
	ws.Mask(own, own, key)
	if !bytes.Equal(own, src) {
		t.Error("masking twice in place is not what there was")
	}
}

func TestUTF8(t *testing.T) {
	for _, row := range []struct {
		name, text string
		failsAt    int // index of the first byte that shows it; -1 = never
		complete   bool
	}{
		{"empty", "", -1, true},
		{"ascii", "hello", -1, true},
		{"two, three, four bytes", "é€😀", -1, true},
		{"cut", "a\xe2\x82", -1, false},
		{"lone continuation", "a\x80", 1, false},
		{"overlong", "\xc0\xaf", 0, false},
		{"overlong of three", "\xe0\x80\x80", 1, false},
		{"surrogate", "\xed\xa0\x80", 1, false},
		{"past U+10FFFF", "\xf4\x90\x80\x80", 1, false},
		{"never valid", "ab\xff", 2, false},
		{"interrupted", "\xe2\x82a", 2, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var byByte ws.UTF8
			failed := -1
			for i := range len(row.text) {
				if !byByte.Write([]byte{row.text[i]}) {
					failed = i
					break
				}
			}
			if failed != row.failsAt {
				t.Errorf("byte by byte it fails at %d, want %d", failed, row.failsAt)
			}
			var whole ws.UTF8
			if ok := whole.Write([]byte(row.text)); ok != (row.failsAt < 0) || ok && whole.Complete() != row.complete {
				t.Errorf("whole: %v, complete %v", ok, whole.Complete())
			}
		})
	}
}

func TestClose(t *testing.T) {
	for _, row := range []struct {
		payload string
		code    int
		reason  string
		fails   int
	}{
		{"", 1005, "", 0},
		{"\x03\xe8", 1000, "", 0},
		{"\x03\xe9bye", 1001, "bye", 0},
		{"\x0f\xa0", 4000, "", 0},
		{"\x03", 0, "", 1002},
		{"\x03\xe8\xff", 0, "", 1007},
	} {
		code, reason, err := ws.ParseClose([]byte(row.payload))
		e, _ := errors.AsType[*ws.Error](err)
		if row.fails != 0 && (e == nil || e.Code != row.fails) || row.fails == 0 && (err != nil || code != row.code || reason != row.reason) {
			t.Errorf("%q: %d %q %v", row.payload, code, reason, err)
		}
		if row.fails == 0 {
			if got := ws.AppendClose(nil, code, reason); string(got) != row.payload {
				t.Errorf("%d %q is written as %q", code, reason, got)
			}
		}
	}
	for code := range 70000 {
		want := 1000 <= code && code <= 1003 || 1007 <= code && code <= 1014 || 3000 <= code && code <= 4999
		if ws.ValidCode(code) != want {
			t.Errorf("ValidCode(%d) is %v", code, !want)
		}
	}
}

func TestAccept(t *testing.T) {
	if got := ws.Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3
		t.Error(got)
	}
	if got := ws.Key([16]byte{1, 2, 3}); got != "AQIDAAAAAAAAAAAAAAAAAA==" {
		t.Error(got)
	}
}

// offered is the field that offers d; nil = none.
func offered(d *ws.Deflate) string {
	if d == nil {
		return ""
	}
	return d.Offer()
}

// TestAgreeByHand: what a program offers by hand and the server takes is refused
// for what it is.
func TestAgreeByHand(t *testing.T) {
	const offer = "x-foo; a=1, X-Bar"
	for answer, want := range map[string]string{
		"x-foo": `"x-foo" was offered by hand`,
		"x-bar": `"x-bar" was offered by hand`,
		"x-baz": `"x-baz" was not offered`,
	} {
		if _, err := ws.Agree(offer, answer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", answer, err)
		}
	}
	if d, err := ws.Agree(offer+", "+ws.Deflate{}.Offer(), "permessage-deflate"); d == nil || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	// The compression that we know is used as it was offered: the answer fits one of
	// the offers.
	const pmd = "permessage-deflate"
	for _, row := range []struct {
		offer, answer string
		server        int // bits
		client        int
		fails         string
	}{
		{pmd, pmd, 15, 15, ""},
		{pmd, pmd + "; client_max_window_bits=10", 0, 0, "client_max_window_bits was not offered"},
		{pmd + "; client_max_window_bits", pmd + "; client_max_window_bits=10", 15, 10, ""},
		{pmd + "; server_max_window_bits=10, " + pmd, pmd, 15, 15, ""},
		{pmd + "; server_max_window_bits=10, " + pmd, pmd + "; server_max_window_bits=9", 9, 15, ""},
		{pmd + ", " + pmd + "; client_max_window_bits", pmd + "; client_max_window_bits=9", 15, 9, ""},
		{pmd + "; server_no_context_takeover, x-foo, " + pmd + "; server_max_window_bits=9", pmd, 0, 0, "not granted"},
		{pmd + "; client_max_window_bits=99", pmd, 15, 15, ""},
	} {
		d, err := ws.Agree(row.offer, row.answer)
		switch {
		case row.fails != "":
			if err == nil || !strings.Contains(err.Error(), row.fails) {
				t.Errorf("%s: %s: error %v, want %q", row.offer, row.answer, err, row.fails)
			}
		case err != nil || d == nil || d.ServerMaxWindowBits != row.server || d.ClientMaxWindowBits != row.client:
			t.Errorf("%s: %s: %+v, %v", row.offer, row.answer, d, err)
		}
	}
}

func TestAgree(t *testing.T) {
	const pmd = "permessage-deflate"
	for _, row := range []struct {
		name   string
		offer  *ws.Deflate
		answer string
		want   *ws.Deflate
		fails  string
	}{
		{"none, none", nil, "", nil, ""},
		{"declined", &ws.Deflate{}, "", nil, ""},
		{"plain", &ws.Deflate{}, pmd, &ws.Deflate{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, ""},
		{"all of it", &ws.Deflate{}, pmd + "; server_no_context_takeover;client_no_context_takeover ; server_max_window_bits=9; client_max_window_bits=\"10\"",
			&ws.Deflate{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 9, ClientMaxWindowBits: 10}, ""},
		{"what we said of us holds", &ws.Deflate{ClientNoContextTakeover: true, ClientMaxWindowBits: 9}, pmd,
			&ws.Deflate{ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 9}, ""},
		{"empty list elements", &ws.Deflate{}, ", " + pmd + ",", &ws.Deflate{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, ""},
		{"not offered", nil, pmd, nil, "not offered"},
		{"another one", &ws.Deflate{}, "x-foo", nil, "not offered"},
		{"twice", &ws.Deflate{}, pmd + ", " + pmd, nil, "twice"},
		{"unknown parameter", &ws.Deflate{}, pmd + "; x=1", nil, "unknown"},
		{"parameter twice", &ws.Deflate{}, pmd + "; server_no_context_takeover; server_no_context_takeover", nil, "twice"},
		{"value where none is", &ws.Deflate{}, pmd + "; server_no_context_takeover=1", nil, "has a value"},
		{"no value", &ws.Deflate{}, pmd + "; client_max_window_bits", nil, "no value"},
		{"bits 7", &ws.Deflate{}, pmd + "; server_max_window_bits=7", nil, "8 to 15"},
		{"bits 16", &ws.Deflate{}, pmd + "; client_max_window_bits=16", nil, "8 to 15"},
		{"bits 08", &ws.Deflate{}, pmd + "; server_max_window_bits=08", nil, "8 to 15"},
		{"bits +9", &ws.Deflate{}, pmd + "; server_max_window_bits=+9", nil, "8 to 15"},
		{"more than offered", &ws.Deflate{ServerMaxWindowBits: 10}, pmd + "; server_max_window_bits=11", nil, "more than"},
		{"less than offered", &ws.Deflate{ServerMaxWindowBits: 10}, pmd + "; server_max_window_bits=9",
			&ws.Deflate{ServerMaxWindowBits: 9, ClientMaxWindowBits: 15}, ""},
		{"bits not granted", &ws.Deflate{ServerMaxWindowBits: 10}, pmd, nil, "not granted"},
		{"takeover not granted", &ws.Deflate{ServerNoContextTakeover: true}, pmd, nil, "not granted"},
		{"garbage", &ws.Deflate{}, pmd + " x", nil, "unexpected"},
		{"no name", &ws.Deflate{}, ";", nil, "no name"},
		{"open quote", &ws.Deflate{}, pmd + "; server_max_window_bits=\"9", nil, "bad parameter"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := ws.Agree(offered(row.offer), row.answer)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) {
					t.Errorf("error %v, want %q", err, row.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOffer(t *testing.T) {
	for _, row := range []struct {
		offer  ws.Deflate
		want   string
		answer string
	}{
		{ws.Deflate{}, "permessage-deflate; client_max_window_bits", "permessage-deflate"},
		{ws.Deflate{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 8, ClientMaxWindowBits: 9},
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9"},
	} {
		got := row.offer.Offer()
		if got != row.want {
			t.Errorf("%+v is offered as %q", row.offer, got)
		}
		d, answer := ws.AgreeAsServer("x-other, " + got)
		if d == nil || answer != row.answer {
			t.Errorf("%q is answered by %q", got, answer)
		}
		if _, err := ws.Agree(offered(&row.offer), answer); err != nil {
			t.Errorf("our own answer: %v", err)
		}
	}
	if d, _ := ws.AgreeAsServer("permessage-deflate; server_max_window_bits=99"); d != nil {
		t.Error("a bad offer is accepted")
	}
}

// FuzzReceiver: whatever comes, a receiver takes no more than there is, asks for
// no more than a header's length, and says the same byte by byte as at once.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("\x81\x02hi\x89\x00\x01\x01a\x80\x01b"), true)
	f.Add([]byte("\x82\x7e\x00\x7e"), false)
	f.Fuzz(func(t *testing.T, wire []byte, deflate bool) {
		whole := ws.Receiver{Deflate: deflate}
		for b := wire; ; {
			h, n, err := whole.Next(b)
			if n > len(b) || n < 0 || h.Length < 0 && err == nil {
				t.Fatalf("%d of %d bytes, length %d", n, len(b), h.Length)
			}
			if err != nil || n == 0 {
				if err == nil && len(b) >= ws.MaxHeader {
					t.Fatalf("%d bytes are too few for a header", len(b))
				}
				break
			}
			if got, m, err := ws.Parse(h.Append(nil)); err != nil || m != n || got != h {
				t.Fatalf("%+v is written as %+v", h, got)
			}
			b = b[n:]
			b = b[min(int64(len(b)), h.Length):]
		}
	})
}

// FuzzUTF8: text in any pieces is judged as it is whole.
func FuzzUTF8(f *testing.F) {
	f.Add([]byte("é€😀"), uint64(1))
	f.Add([]byte("\xed\xa0\x80"), uint64(2))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		var u ws.UTF8
		ok := true
		for rest := text; ok && len(rest) > 0; {
			n := r.IntN(len(rest)) + 1
			ok = u.Write(rest[:n])
			rest = rest[n:]
		}
		if got := ok && u.Complete(); got != utf8.Valid(text) {
			t.Errorf("%q: %v", text, got)
		}
	})
}

// FuzzAgree: no answer breaks the parser, and what it accepts is within bounds.
func FuzzAgree(f *testing.F) {
	f.Add("permessage-deflate; server_max_window_bits=9; client_max_window_bits=\"10\"")
	f.Fuzz(func(t *testing.T, answer string) {
		for _, offer := range []string{offered(&ws.Deflate{}), answer} {
			d, err := ws.Agree(offer, answer)
			if err == nil && d != nil && (min(d.ServerMaxWindowBits, d.ClientMaxWindowBits) < 8 || max(d.ServerMaxWindowBits, d.ClientMaxWindowBits) > 15) {
				t.Errorf("%q gives %+v", answer, d)
			}
		}
		ws.AgreeAsServer(answer)
	})
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{64, 1 << 10, 64 << 10} {
		src, dst := make([]byte, n), make([]byte, n+14)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				ws.Mask(dst[14:], src, 0x12345678)
			}
		})
	}
}
