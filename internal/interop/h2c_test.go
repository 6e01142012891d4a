package interop_test

import (
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/h2"
)

// TestH2CByTinyproxy: nghttpd sends its SETTINGS at once, and they often come in one
// packet with the proxy's answer to CONNECT.
func TestH2CByTinyproxy(t *testing.T) {
	origin, proxy := startNghttpd(t, nil, false), "http://ada:secret@"+startTinyproxy(t)
	for range 20 { // connections
		c := newClient(t, h2.Config{}, nil, via(proxy))
		if got, err := godwit.Get[string](t.Context(), c, origin+"/small"); err != nil || strings.TrimSpace(got) != "small" {
			t.Errorf("%q, %v", got, err)
		}
		c.Close()
	}
}
