package h2_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/godwit-go/godwit/internal/h2"
)

// TestAnswersNobodyReads: a server that asks, and reads no answer, is given up
// before the answers fill the memory.
func TestAnswersNobodyReads(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stream string // what goes before each PING
	}{
		{"PING", ""},
		{"PING and DATA", string(raw(h2.FrameData, 0, 1, "x"))},
		{"PING and DATA on a closed stream", string(raw(h2.FrameData, 0, 3, "x"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, server := connect(t, config())
			s := open(t, c)
			defer s.Release()
			open(t, c).Release()
			server.send(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "200"))
			both := append([]byte(tc.stream), raw(h2.FramePing, 0, 0, "12345678")...)
			sent := 0
			for ; sent < 20_000; sent++ {
				if _, err := server.Write(both); err != nil {
					break
				}
			}
			<-c.Done()
			if e, ok := errors.AsType[*h2.Error](c.Err()); !ok || e.Code != h2.CodeEnhanceYourCalm {
				t.Errorf("after %d PINGs: %v", sent, c.Err())
			}
		})
	}
}

// TestLateFrames: what comes on streams that were canceled, since it was on its
// way, is no flood; what comes after that is.
func TestLateFrames(t *testing.T) {
	c, server := connect(t, config())
	sink(server)
	head := block(":status", "200")
	const streams = 1200
	for range streams {
		s := open(t, c)
		s.Cancel(h2.CodeCancel)
		s.Release()
	}
	for i := range uint32(streams) {
		server.send(h2.FrameHeaders, h2.FlagEndHeaders, 1+2*i, head)
		server.send(h2.FrameData, 0, 1+2*i, "")
		server.send(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, 1+2*i, block("x", "y"))
		server.send(h2.FrameRSTStream, 0, 1+2*i, "\x00\x00\x00\x00")
	}
	server.settle()
	if err := c.Err(); err != nil {
		t.Fatalf("frames that were on their way end the connection: %v", err)
	}
	for range 2000 {
		if _, err := server.Write(raw(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, 1, head)); err != nil {
			break
		}
	}
	<-c.Done()
	if !h2.IsViolation(c.Err()) {
		t.Errorf("after a flood: %v", c.Err())
	}
}

// TestResetsOfOpenStreams: a server that has no time may refuse them all.
func TestResetsOfOpenStreams(t *testing.T) {
	c, server := connect(t, config())
	sink(server)
	for i := range uint32(3000) {
		s := open(t, c)
		server.send(h2.FrameRSTStream, 0, 1+2*i, "\x00\x00\x00\x07")
		var err error
		for err == nil { // it is also woken when its HEADERS are out
			<-s.Wake()
			_, _, err = s.Head()
		}
		if !h2.Unprocessed(err) {
			t.Fatalf("stream %d: %v", i, err)
		}
		s.Release()
	}
}

// TestPingsDuringUpload: servers measure the path by a PING for what they
// receive, and some give back the windows with each frame.
func TestPingsDuringUpload(t *testing.T) {
	c, server := connect(t, config(), uint32(h2.SettingInitialWindowSize), 1<<20)
	go server.frames(func(h h2.FrameHeader, _ []byte) bool {
		if h.Type == h2.FrameData {
			for id := range uint32(2) {
				server.Write(raw(h2.FrameWindowUpdate, 0, id, "\x00\x00\x00\x08"))
			}
			server.Write(raw(h2.FramePing, 0, 0, "12345678"))
			if h.Flags.Has(h2.FlagEndStream) {
				server.Write(raw(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, 1, block(":status", "200")))
			}
		}
		return true
	})
	s, _, err := openWith(t, c, post(), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	s.Upload()
	defer s.EndUpload()
	const frames = 3000
	for i := range frames {
		for {
			n, err := s.Send([]byte("message."), i == frames-1)
			if err != nil {
				t.Fatalf("after %d frames: %v", i, err)
			}
			if n > 0 {
				break
			}
			<-s.Room()
		}
	}
	for {
		if h, ok, err := s.Head(); ok && h.Status == 200 {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		<-s.Wake()
	}
}

// TestPaddingGivesWindowBack: padding takes from the window of a stream too, and
// is given back though no bytes are there to be read.
func TestPaddingGivesWindowBack(t *testing.T) {
	cfg := config()
	cfg.StreamWindow = 1<<16 - 1
	c, server := connect(t, cfg)
	granted, over := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(over)
		server.frames(func(h h2.FrameHeader, _ []byte) bool {
			if h.Type == h2.FrameWindowUpdate && h.StreamID == 1 {
				granted <- struct{}{}
				io.Copy(io.Discard, server)
			}
			return true
		})
	}()
	s := open(t, c)
	go func() {
		server.Write(raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "200")))
		for range 255 { // 255 bytes and their number
			server.Write(raw(h2.FrameData, h2.FlagPadded, 1, "\xff"+string(make([]byte, 255))))
		}
		select {
		case <-granted:
			server.Write(raw(h2.FrameData, h2.FlagEndStream, 1, "z"))
		case <-over:
		}
	}()
	p := make([]byte, 10)
	for {
		n, err := s.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			break
		}
		waitFor(t, s.Wake(), "the window was not given back")
	}
	s.Release()
}

// TestErrorsSay: what the errors of a GOAWAY say, and what they are not.
func TestErrorsSay(t *testing.T) {
	goAway := func(last byte, code h2.ErrCode) string {
		return fmt.Sprintf("\x00\x00\x00%c\x00\x00\x00%c%s", last, code, "too many")
	}
	for _, tc := range []struct {
		name                  string
		last                  byte
		code                  h2.ErrCode
		want                  string
		unprocessed, required bool
	}{
		{"left out", 0, h2.CodeEnhanceYourCalm, `HTTP/2: the server goes away: ENHANCE_YOUR_CALM "too many"`, true, false},
		{"lost", 1, h2.CodeEnhanceYourCalm, `HTTP/2: the connection is lost: unexpected EOF, after GOAWAY with ENHANCE_YOUR_CALM "too many"`, false, false},
		{"left out for HTTP/1.1", 0, h2.CodeHTTP11Required, `HTTP/2: the server goes away: HTTP_1_1_REQUIRED "too many"`, true, true},
		{"lost for HTTP/1.1", 1, h2.CodeHTTP11Required, `HTTP/2: the connection is lost: unexpected EOF, after GOAWAY with HTTP_1_1_REQUIRED "too many"`, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, server := connect(t, config())
			sink(server)
			s := open(t, c)
			defer s.Release()
			server.send(h2.FrameGoAway, 0, 0, goAway(tc.last, tc.code))
			server.Close()
			<-c.Done()
			_, _, err := s.Head()
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v\nwant  %s", err, tc.want)
			}
			if h2.Unprocessed(err) != tc.unprocessed {
				t.Errorf("Unprocessed is %v", !tc.unprocessed)
			}
			if h2.HTTP11Required(err) != tc.required {
				t.Errorf("HTTP11Required is %v", !tc.required)
			}
		})
	}
	for _, code := range []h2.ErrCode{h2.CodeHTTP11Required, h2.CodeCancel} {
		if h2.HTTP11Required(fmt.Errorf("wrapped: %w", &h2.ResetError{Code: code})) != (code == h2.CodeHTTP11Required) {
			t.Errorf("HTTP11Required of RST_STREAM with %v", code)
		}
	}
}
