//go:build race || msan || asan

package socket_test

import (
	"testing"

	"github.com/godwit-go/godwit/internal/socket"
)

// TestSanitized: a sanitizer sees what goes over a connection. The race detector takes
// a Write and the Read of it for an order, as tests of who uses us rely on.
func TestSanitized(t *testing.T) {
	near, _ := connect(t)
	if socket.Of(near) != near {
		t.Error("the sanitizer can't see this connection's system calls")
	}
}
