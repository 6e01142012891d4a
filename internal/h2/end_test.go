package h2_test

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h2"
)

// TestSentTrailersAreBounded: the server's SETTINGS_MAX_HEADER_LIST_SIZE holds for
// the trailer section too, to the byte.
func TestSentTrailersAreBounded(t *testing.T) {
	fields := header.New("X-Sum", "17", "X-More", strings.Repeat("~", 300))
	const size = 5 + 2 + 32 + 6 + 300 + 32
	for _, tc := range []struct {
		limit uint32
		fits  bool
	}{{size, true}, {size - 1, false}} {
		t.Run(strconv.Itoa(int(tc.limit)), func(t *testing.T) {
			c, server := connect(t, config(), uint32(h2.SettingMaxHeaderListSize), tc.limit)
			ended := make(chan int, 10)
			go server.frames(func(h h2.FrameHeader, payload []byte) bool {
				if h.Type == h2.FrameHeaders && h.Flags.Has(h2.FlagEndStream) {
					total := 0
					d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { total += int(f.Size()) })
					d.Write(payload)
					ended <- total
				}
				return true
			})
			head := post()
			head.Header = header.Header{}
			s, _, err := openWith(t, c, head, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			err = s.SendTrailers(fields)
			if tc.fits {
				if got := waitFor(t, ended, "no trailers"); err != nil || got != size {
					t.Errorf("%d bytes, %v", got, err)
				}
				return
			}
			e, ok := errors.AsType[*h2.TooLargeError](err)
			if !ok || !e.Trailer || e.Size != size || e.Limit != size-1 {
				t.Fatalf("error %+v", err)
			}
			const want = "HTTP/2: the request's trailer fields take 377 bytes, more than the server's SETTINGS_MAX_HEADER_LIST_SIZE, 376"
			if e.Error() != want {
				t.Errorf("%s\nwant %s", e, want)
			}
			if _, err := s.Send(nil, true); err != nil {
				t.Errorf("the stream is spoilt: %v", err)
			}
		})
	}
}

// TestReceivedTrailers: what they may be, and which fields of them count.
func TestReceivedTrailers(t *testing.T) {
	many := []string{}
	for i := range 101 {
		many = append(many, "x-"+strconv.Itoa(i), "y")
	}
	for _, tc := range []struct {
		name   string
		fields []string
		want   string // "" = the stream is lost
		text   string
	}{
		{"fields", []string{"x-sum", "17", "x-more", "a"}, "x-sum: 17, x-more: a", ""},
		{"none", nil, "", ""},
		{"those that decide on the message", []string{"content-length", "3", "x-sum", "17", "set-cookie", "a=b", "trailer", "x"}, "x-sum: 17", ""},
		{"those alone", []string{"set-cookie", "a=b"}, "", ""},
		{"as large as may be", []string{"x-long", strings.Repeat("~", 64<<10-38)}, "x-long: " + strings.Repeat("~", 64<<10-38), ""},
		{"too large", []string{"x-long", strings.Repeat("~", 64<<10-37)}, "", "field section larger than MaxHeaderBytes, 65536"},
		{"too many", many, "", "more fields than MaxHeaderFields, 100"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, server := connect(t, config())
			sink(server)
			s := open(t, c)
			defer s.Release()
			server.send(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "200"))
			kind, flags := h2.FrameHeaders, h2.FlagEndStream
			for b, last := block(tc.fields...), false; !last; kind, flags = h2.FrameContinuation, 0 {
				piece := b[:min(len(b), 16<<10)]
				if b = b[len(piece):]; b == "" {
					flags, last = flags|h2.FlagEndHeaders, true
				}
				server.send(kind, flags, 1, piece)
			}
			server.settle()
			n, err := s.Read(make([]byte, 1))
			if tc.text != "" {
				if !h2.IsViolation(err) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %v, want %s", err, tc.text)
				}
				if err := c.Err(); err != nil {
					t.Errorf("the connection ends: %v", err)
				}
				return
			}
			var got []string
			for name, value := range s.Trailer().All() {
				got = append(got, name+": "+value)
			}
			if text := strings.Join(got, ", "); n != 0 || err != io.EOF || text != tc.want {
				t.Errorf("%d, %v, trailer %s, want %s", n, err, text, tc.want)
			}
		})
	}
}

// TestGoAwayAgain: a server may send GOAWAY more than once, and leave out more
// streams each time (RFC 9113 §6.8).
func TestGoAwayAgain(t *testing.T) {
	c, server := connect(t, config())
	sink(server)
	var streams []*h2.Stream
	for range 4 { // 1, 3, 5, 7
		s := open(t, c)
		defer s.Release()
		streams = append(streams, s)
	}
	lost := func(last uint32, want ...bool) {
		t.Helper()
		server.send(h2.FrameGoAway, 0, 0, string(binary.BigEndian.AppendUint32(nil, last))+"\x00\x00\x00\x00")
		server.settle()
		for i, s := range streams {
			_, _, err := s.Head()
			if gone := err != nil; gone != want[i] || gone && !h2.Unprocessed(err) {
				t.Errorf("GOAWAY up to %d: stream %d: %v", last, 1+2*i, err)
			}
		}
		if _, _, ok := c.Reserve(); ok {
			t.Error("a place on a connection that goes away")
		}
	}
	lost(1<<31-1, false, false, false, false)
	lost(5, false, false, false, true)
	lost(1, false, true, true, true)
	lost(7, false, true, true, true) // against the rules; what is lost stays lost
	server.send(h2.FrameData, 0, 7, "late")
	server.send(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, 1, block(":status", "200"))
	<-c.Done()
	if _, ok, err := streams[0].Head(); !ok || err != nil {
		t.Errorf("the stream that was processed: %v", err)
	}
	if !errors.Is(c.Err(), h2.ErrClosed) {
		t.Errorf("the connection: %v", c.Err())
	}
}

// TestTableSizeUpdates: where a field block may change the size of the table
// (RFC 7541 §4.2, §6.3).
func TestTableSizeUpdates(t *testing.T) {
	const indexed = "\x40\x01x\x01y" // a field that goes to the table
	for _, tc := range []struct {
		name   string
		blocks []string
		lost   bool
	}{
		{"at the beginning", []string{"\x20\x88" + indexed}, false},
		{"to zero and back", []string{"\x88" + indexed, "\x20\x3f\xe1\x1f\x88" + indexed, "\x88\xbe"}, false},
		{"to what is allowed", []string{"\x3f\xe1\x1f\x88"}, false},
		{"beyond what is allowed", []string{"\x3f\xe2\x1f\x88"}, true},
		{"after a field", []string{"\x88" + indexed + "\x20"}, true},
		{"emptied: the index is gone", []string{"\x88" + indexed, "\x20\x88\xbe"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, server := connect(t, config())
			sink(server)
			for i, b := range tc.blocks {
				s := open(t, c)
				defer s.Release()
				server.send(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, uint32(1+2*i), b)
			}
			if tc.lost {
				<-c.Done()
			} else {
				server.settle()
			}
			e, ok := errors.AsType[*h2.Error](c.Err())
			if ok != tc.lost || ok && e.Code != h2.CodeCompression {
				t.Errorf("the connection: %v", c.Err())
			}
		})
	}
}

// TestEncoderTable: the server's SETTINGS_HEADER_TABLE_SIZE holds for our field
// blocks, its steps included.
func TestEncoderTable(t *testing.T) {
	for _, sizes := range [][]uint32{nil, {0}, {100}, {4096, 0, 200}, {0, 4096}, {1 << 20}, {1<<32 - 1}} {
		c, server := connect(t, config())
		decoded := make(chan error, 10)
		go func() {
			d := hpack.NewDecoder(4096, func(hpack.HeaderField) {})
			server.frames(func(h h2.FrameHeader, payload []byte) bool {
				if h.Type == h2.FrameHeaders {
					_, err := d.Write(payload)
					if err == nil {
						err = d.Close()
					}
					if update := payload[0]&0xe0 == 0x20; err == nil && h.StreamID == 3 && !update && slices.ContainsFunc(sizes, func(n uint32) bool { return n < 4096 }) {
						err = errors.New("the block does not begin with the new size of the table")
					}
					decoded <- err
					for _, n := range sizes { // from the next block on
						d.SetAllowedMaxDynamicTableSize(min(n, 4096))
					}
				}
				return true
			})
		}()
		for i := range 3 {
			s := open(t, c)
			if err := waitFor(t, decoded, "no HEADERS"); err != nil {
				t.Errorf("sizes %v, block %d: %v", sizes, i, err)
			}
			s.Release()
			if i == 0 {
				var all string
				for _, n := range sizes {
					all += "\x00\x01" + string(binary.BigEndian.AppendUint32(nil, n))
				}
				server.send(h2.FrameSettings, 0, 0, all)
				server.settle()
			}
		}
	}
}
