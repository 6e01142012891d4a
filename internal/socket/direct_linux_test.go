//go:build !386 && !s390x && !race && !msan && !asan

package socket_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/socket"
)

// TestReadTwo: the second piece gets what the first has no room for.
func TestReadTwo(t *testing.T) {
	near, far := connect(t)
	c := socket.Of(near).(*socket.Conn)
	a, b := make([]byte, 2), make([]byte, 10)
	far.Write([]byte("hello"))
	if n, err := c.ReadTwo(a, b); n != 5 || err != nil || string(a)+string(b[:3]) != "hello" {
		t.Errorf("%d, %v: %q and %q", n, err, a, b)
	}
	for _, one := range []func() (int, error){
		func() (int, error) { return c.ReadTwo(a, nil) },
		func() (int, error) { return c.ReadTwo(nil, b) },
	} {
		far.Write([]byte("!?"))
		n, err := one()
		if err != nil || n != 0 && n != 2 {
			t.Errorf("%d, %v", n, err)
		}
	}
	c.SetReadDeadline(time.Unix(1, 0))
	if n, err := c.ReadTwo(a, b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	c.SetReadDeadline(time.Time{})
	far.Close()
	for range 2 {
		if n, err := c.ReadTwo(a, b); n == 0 && err == io.EOF {
			return
		}
	}
	t.Error("the end didn't come")
}
