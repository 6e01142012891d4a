package socket_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/socket"
)

// connect returns the two ends of a connection.
func connect(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// TestLikeNet: whatever happens on a connection, Of's says the same as net's.
func TestLikeNet(t *testing.T) {
	past := time.Unix(1, 0)
	for name, test := range map[string]struct {
		do func(c net.Conn, far *net.TCPConn) (int, error)
		is error // nil = no error
	}{
		"read": {func(c net.Conn, far *net.TCPConn) (int, error) {
			far.Write([]byte("hello"))
			return c.Read(make([]byte, 3))
		}, nil},
		"read nothing": {func(c net.Conn, far *net.TCPConn) (int, error) { return c.Read(nil) }, nil},
		"read the end": {func(c net.Conn, far *net.TCPConn) (int, error) {
			far.Close()
			return c.Read(make([]byte, 3))
		}, io.EOF},
		"read what was reset": {func(c net.Conn, far *net.TCPConn) (int, error) {
			far.SetLinger(0)
			far.Close()
			return c.Read(make([]byte, 3))
		}, syscall.ECONNRESET},
		"read too late": {func(c net.Conn, far *net.TCPConn) (int, error) {
			far.Write([]byte("hello"))
			c.SetReadDeadline(past)
			return c.Read(make([]byte, 3))
		}, os.ErrDeadlineExceeded},
		"read until it is too late": {func(c net.Conn, far *net.TCPConn) (int, error) {
			time.AfterFunc(time.Millisecond, func() { c.SetReadDeadline(past) })
			return c.Read(make([]byte, 3))
		}, os.ErrDeadlineExceeded},
		"read after a deadline was taken off": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.SetReadDeadline(past)
			c.Read(make([]byte, 3))
			c.SetReadDeadline(time.Time{})
			far.Write([]byte("hello"))
			return c.Read(make([]byte, 3))
		}, nil},
		"read what is closed": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.Close()
			return c.Read(make([]byte, 3))
		}, net.ErrClosed},
		"read nothing from what is closed": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.Close()
			return c.Read(nil)
		}, net.ErrClosed},
		"read until it is closed": {func(c net.Conn, far *net.TCPConn) (int, error) {
			time.AfterFunc(time.Millisecond, func() { c.Close() })
			return c.Read(make([]byte, 3))
		}, net.ErrClosed},
		"write": {func(c net.Conn, far *net.TCPConn) (int, error) { return c.Write([]byte("hello")) }, nil},
		"write nothing": {func(c net.Conn, far *net.TCPConn) (int, error) {
			return c.Write(nil)
		}, nil},
		"write too late": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.SetWriteDeadline(past)
			return c.Write([]byte("hello"))
		}, os.ErrDeadlineExceeded},
		"write what is closed": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.Close()
			return c.Write([]byte("hello"))
		}, net.ErrClosed},
		"write after the half was closed": {func(c net.Conn, far *net.TCPConn) (int, error) {
			c.(interface{ CloseWrite() error }).CloseWrite()
			return c.Write([]byte("hello"))
		}, syscall.EPIPE},
		"write what was reset": {func(c net.Conn, far *net.TCPConn) (int, error) {
			far.SetLinger(0)
			far.Close()
			c.Read(make([]byte, 1))
			return c.Write([]byte("hello"))
		}, syscall.EPIPE},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := connect(t)
			wantN, want := test.do(near, far)
			text := ""
			if want != nil {
				text = strings.NewReplacer(near.LocalAddr().String(), "here", near.RemoteAddr().String(), "there").Replace(want.Error())
			}
			near, far = connect(t)
			n, err := test.do(socket.Of(near), far)
			if n != wantN || !errors.Is(err, test.is) || !errors.Is(want, test.is) {
				t.Fatalf("%d, %v; package net: %d, %v", n, err, wantN, want)
			}
			if err == nil {
				return
			}
			if got := strings.NewReplacer(near.LocalAddr().String(), "here", near.RemoteAddr().String(), "there").Replace(err.Error()); got != text {
				t.Errorf("%q; package net says %q", got, text)
			}
			if isTimeout := func(err error) bool {
				e, ok := err.(net.Error)
				return ok && e.Timeout()
			}; isTimeout(err) != isTimeout(want) {
				t.Errorf("%v is or is not a timeout; for package net it is the other way", err)
			}
		})
	}
}

// TestWholeWrites: a Write goes on until all is taken, and what a deadline leaves of it
// is what it says.
func TestWholeWrites(t *testing.T) {
	near, far := connect(t)
	near.SetWriteBuffer(64 << 10)
	far.SetReadBuffer(64 << 10)
	c := socket.Of(near)
	sent := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(sent)
	wrote := make(chan int, 1)
	go func() {
		n, err := c.Write(sent)
		if err != nil {
			t.Error(err)
		}
		wrote <- n
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%v, or other bytes", err)
	}
	if n := <-wrote; n != len(sent) {
		t.Fatalf("Write returned %d of %d", n, len(sent))
	}

	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)) // nobody reads
	n, err := c.Write(sent)
	if n == 0 || n == len(sent) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d, %v", n, err)
	}
	c.Close()
	rest, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(rest, sent[:n]) {
		t.Fatalf("%d bytes came, %v; Write said %d", len(rest), err, n)
	}
}

// TestManyAtOnce: Reads and Writes of many goroutines don't mix.
func TestManyAtOnce(t *testing.T) {
	const (
		each, size = 200, 64
		many       = 8
	)
	near, far := connect(t)
	c := socket.Of(near)
	go func() {
		io.Copy(far, far)
		far.CloseWrite()
	}()
	var writers, readers sync.WaitGroup
	for i := range many {
		writers.Go(func() {
			for range each {
				if _, err := c.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	var count ['a' + many]int
	for range many {
		readers.Go(func() {
			b := make([]byte, 100)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				mu.Lock()
				for _, letter := range b[:n] {
					count[letter]++
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	near.CloseWrite()
	readers.Wait()
	for i := range many {
		if n := count['a'+i]; n != each*size {
			t.Errorf("%c came %d times, want %d", 'a'+i, n, each*size)
		}
	}
}

// TestStillTCP: what a TCP connection can do it can do still, and nothing else is
// touched.
func TestStillTCP(t *testing.T) {
	near, far := connect(t)
	c := socket.Of(near)
	if socket.TCP(c) != near || socket.TCP(near) != near {
		t.Error("TCP doesn't return the connection")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if socket.Of(a) != a || socket.TCP(a) != nil {
		t.Error("a pipe is taken for a TCP connection")
	}
	if socket.Of(c) != c {
		t.Error("Of makes a second one of its own")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := c.(io.ReaderFrom); !ok {
		t.Error("it doesn't take files")
	}
	if n, err := io.Copy(c, f); n != 11 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(uintptr) {}); err != nil {
		t.Error(err)
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(far); string(got) != "from a file" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAllocations(t *testing.T) {
	near, far := connect(t)
	c := socket.Of(near)
	go io.Copy(far, far)
	b := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		c.Write(b)
		c.Read(b)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEcho(b *testing.B) {
	for name, of := range map[string]func(net.Conn) net.Conn{"net": func(c net.Conn) net.Conn { return c }, "Of": socket.Of} {
		b.Run(name, func(b *testing.B) {
			near, far := connect(b)
			c := of(near)
			go io.Copy(struct{ io.Writer }{far}, struct{ io.Reader }{far})
			p := make([]byte, 64)
			for b.Loop() {
				c.Write(p)
				c.Read(p)
			}
		})
	}
}
