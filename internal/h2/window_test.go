package h2_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h2"
)

// TestQueueIsBounded: requests that are sent and canceled while the server reads
// nothing don't pile up: the connection takes no more until they are written.
func TestQueueIsBounded(t *testing.T) {
	cfg := config()
	changed := make(chan struct{}, 1)
	cfg.Changed = func(*h2.Conn) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	c, server := connect(t, cfg)
	awaitWriter(c)
	field := strings.Repeat("~", 4000)
	head := func() *h2.RequestHead {
		r := post()
		r.Header = header.New("Authorization", field) // which is in no table
		return r
	}
	runs := open(t, c)
	defer runs.Release()
	opened := 0
	for ; opened < 10_000; opened++ {
		if _, _, ok := c.Reserve(); !ok {
			break
		}
		c.Unreserve()
		s, _, err := openWith(t, c, head(), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		s.Cancel(h2.CodeCancel)
		s.Release()
	}
	for range 1000 {
		runs.Reprioritize("u=1")
	}
	if n := c.Kept(); opened < 200 || n < 1<<20 || n > 1<<20+8<<10 {
		t.Errorf("%d requests were taken, and %d bytes wait to be written", opened, n)
	}
	for len(changed) > 0 {
		<-changed
	}
	sink(server)
	for {
		waitFor(t, changed, "nobody is told that the connection takes streams again")
		if _, _, ok := c.Reserve(); ok {
			c.Unreserve()
			break
		}
	}
}

// awaitWriter returns when somebody writes the preface of a connection whose server
// reads nothing: what is sent from then on is kept.
func awaitWriter(c *h2.Conn) {
	const ack = h2.FrameHeaderLen
	for c.Kept() > ack {
		runtime.Gosched()
	}
}

// TestQueueFullAtOpen: a place that was reserved before is given back.
func TestQueueFullAtOpen(t *testing.T) {
	c, _ := connect(t, config())
	if _, _, ok := c.Reserve(); !ok {
		t.Fatal("no place")
	}
	large := post()
	large.Header = header.New("Authorization", strings.Repeat("~", 2<<20))
	awaitWriter(c)
	first, _, err := openWith(t, c, large, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	s := new(h2.Stream)
	s.Bind(c)
	defer s.Release()
	if _, err := c.Open(s, large, nil, true); !errors.Is(err, h2.ErrUnfit) {
		t.Errorf("error %v", err)
	}
	if st := c.State(); st.Streams != 1 {
		t.Errorf("state %+v", st)
	}
}

// TestCanceledUploadsAreForgotten: bodies that wait for the connection's window
// are let go of when they are canceled, though the window stays shut.
func TestCanceledUploadsAreForgotten(t *testing.T) {
	c, server := connect(t, config(), uint32(h2.SettingInitialWindowSize), 1<<20)
	sink(server)
	for range 50 {
		s, _, err := openWith(t, c, post(), nil, false)
		if err != nil {
			t.Fatal(err)
		}
		s.Upload()
		for {
			n, err := s.Send(make([]byte, 60<<10), false)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if c.Starving() != 1 {
			t.Fatalf("%d streams wait", c.Starving())
		}
		s.EndUpload()
		s.Cancel(h2.CodeCancel)
		s.Release()
		if n := c.Starving(); n > 0 {
			t.Fatalf("%d streams wait that were canceled", n)
		}
	}
	// The window that comes goes to who is still there.
	s, _, err := openWith(t, c, post(), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	s.Upload()
	defer s.EndUpload()
	if n, err := s.Send([]byte("body"), true); n != 0 || err != nil {
		t.Fatalf("sent %d bytes without a window, %v", n, err)
	}
	server.send(h2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x04")
	waitFor(t, s.Room(), "the window was given to nobody")
	if n, err := s.Send([]byte("body"), true); n != 4 || err != nil {
		t.Errorf("sent %d bytes, %v", n, err)
	}
}

// TestCanceledBodyKeepsWindow: what comes of a canceled stream, and what had come
// and was not read, takes nothing from the connection's window for good.
func TestCanceledBodyKeepsWindow(t *testing.T) {
	cfg := config()
	cfg.StreamWindow, cfg.ConnWindow = 1<<16-1, 1<<16-1
	c, server := connect(t, cfg)
	granted := make(chan int, 10_000)
	go server.frames(func(h h2.FrameHeader, payload []byte) bool {
		if h.Type == h2.FrameWindowUpdate && h.StreamID == 0 {
			granted <- int(binary.BigEndian.Uint32(payload))
		}
		return true
	})
	window, piece := 1<<16-1, strings.Repeat("x", 10_000)
	send := func(id uint32) {
		for window < len(piece) {
			window += waitFor(t, granted, "the connection's window stays shut")
		}
		window -= len(piece)
		server.send(h2.FrameData, 0, id, piece)
	}
	for i := range uint32(50) {
		s := open(t, c)
		id := 1 + 2*i
		server.send(h2.FrameHeaders, h2.FlagEndHeaders, id, block(":status", "200"))
		for range 3 {
			send(id)
		}
		server.settle()
		s.Cancel(h2.CodeCancel)
		s.Release()
		for range 3 { // on their way when it was canceled
			send(id)
		}
	}
	server.settle()
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	if n := c.Kept(); n > 1000 {
		t.Errorf("%d bytes are kept", n)
	}
}

// TestSendWindows: what SETTINGS_INITIAL_WINDOW_SIZE does to open streams
// (RFC 9113 §6.9.2).
func TestSendWindows(t *testing.T) {
	settings := func(window uint32) []byte {
		return raw(h2.FrameSettings, 0, 0, "\x00\x04"+string(binary.BigEndian.AppendUint32(nil, window)))
	}
	update := func(n uint32) []byte {
		return raw(h2.FrameWindowUpdate, 0, 1, string(binary.BigEndian.AppendUint32(nil, n)))
	}
	join := func(frames ...[]byte) (all []byte) {
		for _, f := range frames {
			all = append(all, f...)
		}
		return all
	}
	for _, tc := range []struct {
		name   string
		frames []byte // after 10 bytes were sent of a window of 100
		want   int    // what is left
		lost   string // why the connection is, or else the stream
		stream bool
	}{
		{"raised", settings(150), 140, "", false},
		{"lowered", settings(50), 40, "", false},
		{"below zero", settings(0), 0, "", false},
		{"below zero and back", join(settings(0), settings(20)), 10, "", false},
		{"below zero and paid", join(settings(0), update(15)), 5, "", false},
		{"below zero and not all paid", join(settings(0), update(10)), 0, "", false},
		{"raised in one frame", raw(h2.FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00"+"\x00\x04\x00\x00\x00\x0b"), 1, "", false},
		{"to the brim", settings(1<<31 - 1), 1 << 14, "", false},
		{"over the brim", join(update(11), settings(1<<31-1)), 0, "a window above 2³¹-1 on stream 1", false},
		{"over the brim and down again", join(settings(1<<31-1), update(11), settings(5)), 0, "a window above 2³¹-1 on stream 1", true},
		{"too large", settings(1 << 31), 0, "setting 4 with value 2147483648", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, server := connect(t, config(), uint32(h2.SettingInitialWindowSize), 100)
			sink(server)
			s, _, err := openWith(t, c, post(), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			s.Upload()
			defer s.EndUpload()
			if n, err := s.Send(make([]byte, 10), false); n != 10 || err != nil {
				t.Fatal(n, err)
			}
			if _, err := server.Write(tc.frames); err == nil && (tc.lost == "" || tc.stream) {
				server.settle()
			} else {
				<-c.Done()
			}
			n, err := s.Send(make([]byte, 1<<14), false)
			if n != tc.want {
				t.Errorf("%d bytes are sent, want %d", n, tc.want)
			}
			if tc.lost == "" && err != nil || tc.lost != "" && (!h2.IsViolation(err) || !strings.Contains(err.Error(), tc.lost)) {
				t.Errorf("error %v, want %q", err, tc.lost)
			}
			if alive := c.Err() == nil; alive != (tc.lost == "" || tc.stream) {
				t.Errorf("the connection: %v", c.Err())
			}
		})
	}
}

// TestTinyWindow: a window of few bytes is given back, and never by nothing.
func TestTinyWindow(t *testing.T) {
	for _, size := range []uint32{1, 2, 3, 10} {
		cfg := config()
		cfg.StreamWindow = size
		c, server := connect(t, cfg)
		granted := make(chan uint32, 1000)
		go server.frames(func(h h2.FrameHeader, payload []byte) bool {
			if h.Type == h2.FrameWindowUpdate && h.StreamID == 1 {
				granted <- binary.BigEndian.Uint32(payload)
			}
			return true
		})
		s := open(t, c)
		defer s.Release()
		server.send(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(":status", "200"))
		p := make([]byte, 100)
		for left := int(size); left > 0; left-- {
			server.send(h2.FrameData, 0, 1, "x")
		}
		server.settle()
		for i := range 20 {
			for {
				n, err := s.Read(p)
				if err != nil {
					t.Fatalf("window %d: %v", size, err)
				}
				if n == 0 {
					break
				}
			}
			more := waitFor(t, granted, "the window is not given back")
			if more == 0 || more > size {
				t.Fatalf("window %d, piece %d: it is given back by %d", size, i, more)
			}
			for range more {
				server.send(h2.FrameData, 0, 1, "x")
			}
			server.settle()
		}
		if err := c.Err(); err != nil {
			t.Errorf("window %d: %v", size, err)
		}
	}
}
