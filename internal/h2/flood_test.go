package h2_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
)

// TestFloods: a server that sends frames without end which carry nothing is given
// up with a *engine.ProtocolError, whether it reads our answers or not, and until
// then it has made us keep little. Stream 1 is open when the flood begins, stream
// 3 was canceled.
func TestFloods(t *testing.T) {
	const (
		flood  = "a flood of frames that carry nothing"
		endAll = h2.FlagEndHeaders | h2.FlagEndStream
	)
	head := block(":status", "200")
	for _, tc := range []struct {
		name   string
		before []byte
		frame  []byte
		frames int // are taken at most
		text   string
	}{
		{"SETTINGS", nil, raw(h2.FrameSettings, 0, 0, ""), 1100, flood},
		{"SETTINGS that move the windows", nil, raw(h2.FrameSettings, 0, 0, strings.Repeat("\x00\x04\x00\x00\x00\x01"+"\x00\x04\x00\x00\x00\x02", 1000)), 20, flood},
		{"SETTINGS, acknowledged", nil, raw(h2.FrameSettings, h2.FlagAck, 0, ""), 1100, flood},
		{"PING", nil, raw(h2.FramePing, 0, 0, "12345678"), 1100, flood},
		{"PING, acknowledged", nil, raw(h2.FramePing, h2.FlagAck, 0, "12345678"), 1100, flood},
		{"GOAWAY", nil, raw(h2.FrameGoAway, 0, 0, "\x7f\xff\xff\xff\x00\x00\x00\x00"), 1100, flood},
		{"PRIORITY", nil, raw(h2.FramePriority, 0, 1, "\x00\x00\x00\x00\x07"), 1100, flood},
		{"PRIORITY of an idle stream", nil, raw(h2.FramePriority, 0, 77, "\x00\x00\x00\x00\x07"), 1100, flood},
		{"PRIORITY_UPDATE", nil, raw(h2.FramePriorityUpdate, 0, 0, "\x00\x00\x00\x01u=1"), 1100, flood},
		{"unknown", nil, raw(0x77, 0xff, 1, "whatever"), 1100, flood},
		{"unknown and empty", nil, raw(0x77, 0, 0, ""), 1100, flood},
		{"WINDOW_UPDATE of the connection", nil, raw(h2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), 1100, flood},
		{"WINDOW_UPDATE of a stream", nil, raw(h2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x01"), 1100, flood},
		{"WINDOW_UPDATE of a closed stream", nil, raw(h2.FrameWindowUpdate, 0, 3, "\x00\x00\x00\x01"), 1100, flood},
		{"RST_STREAM of a closed stream", nil, raw(h2.FrameRSTStream, 0, 3, "\x00\x00\x00\x08"), 1100, flood},
		{"empty DATA", raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, head), raw(h2.FrameData, 0, 1, ""), 1100, flood},
		{"padding", raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, head), raw(h2.FrameData, h2.FlagPadded, 1, "\x01\x00"), 1100, flood},
		{"empty DATA on a closed stream", nil, raw(h2.FrameData, 0, 3, ""), 1100, flood},
		{"empty DATA that ends a closed stream", nil, raw(h2.FrameData, h2.FlagEndStream, 3, ""), 1100, flood},
		{"padding on a closed stream", nil, raw(h2.FrameData, h2.FlagPadded, 3, "\x00"), 1100, flood},
		{"DATA on a closed stream", nil, raw(h2.FrameData, 0, 3, strings.Repeat("x", 1000)), 1100, "more DATA on streams that have ended"},
		{"interim responses", nil, raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "103")), 1200, flood},
		{"HEADERS without fields", nil, raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, ""), 1100, flood},
		{"HEADERS of a closed stream", nil, raw(h2.FrameHeaders, endAll, 3, head), 1100, flood},
		{"CONTINUATION without fields", raw(h2.FrameHeaders, 0, 1, head), raw(h2.FrameContinuation, 0, 1, ""), 1100, flood},
		{"CONTINUATION of a field", raw(h2.FrameHeaders, 0, 1, head), raw(h2.FrameContinuation, 0, 1, "\x00\x01x\x01y"), 1100, flood},
		{"CONTINUATION of many fields", raw(h2.FrameHeaders, 0, 1, head), raw(h2.FrameContinuation, 0, 1, strings.Repeat("\x00\x01x\x01y", 200)), 82, "larger than MaxHeaderBytes, 65536"},
		{"CONTINUATION of a closed stream", raw(h2.FrameHeaders, 0, 3, head), raw(h2.FrameContinuation, 0, 3, strings.Repeat("\x00\x01x\x01y", 200)), 82, "larger than MaxHeaderBytes, 65536"},
	} {
		for _, reads := range []bool{true, false} {
			t.Run(tc.name+map[bool]string{true: "", false: ", unread"}[reads], func(t *testing.T) {
				c, server := connect(t, config())
				if reads {
					sink(server)
				}
				s := open(t, c)
				defer s.Release()
				open(t, c).Release()
				if _, err := server.Write(tc.before); err != nil {
					t.Fatal(err)
				}
				sent, most := 0, 0
				for ; sent < 10_000; sent++ {
					if _, err := server.Write(tc.frame); err != nil {
						break
					}
					most = max(most, c.Kept())
				}
				if sent > tc.frames {
					t.Fatalf("%d frames were taken", sent)
				}
				<-c.Done()
				e, ok := errors.AsType[*engine.ProtocolError](c.Err())
				if !ok || !strings.Contains(e.Reason, tc.text) {
					t.Errorf("after %d frames: %v, want %s", sent, c.Err(), tc.text)
				}
				if most > 128<<10 {
					t.Errorf("%d bytes were kept", most)
				}
			})
		}
	}
}

// TestInterimResponsesAreBounded: those that nobody takes count as one field
// section.
func TestInterimResponsesAreBounded(t *testing.T) {
	c, server := connect(t, config())
	sink(server)
	head := post()
	if _, _, ok := c.Reserve(); !ok || head.Check() != nil {
		t.Fatal("no place")
	}
	s := &h2.Stream{KeepInterim: true}
	s.Bind(c)
	if _, err := c.Open(s, head, nil, false); err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	hint := raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "103", "link", strings.Repeat("~", 10_000)))
	for range 20 { // taken at once
		server.Write(hint)
		server.settle()
		if h, ok := s.Interim(); !ok || h.Status != 103 {
			t.Fatalf("interim response %+v, %v", h, ok)
		}
	}
	for range 20 {
		server.Write(hint)
	}
	server.settle()
	if n := c.Kept(); n > 64<<10 {
		t.Errorf("%d bytes of interim responses are kept", n)
	}
	if _, _, err := s.Head(); !h2.IsViolation(err) || !strings.Contains(err.Error(), "MaxHeaderBytes, 65536") {
		t.Errorf("error %v", err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the connection ends: %v", err)
	}
}
