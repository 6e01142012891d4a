package main

import (
	"time"

	"github.com/godwit-go/godwit"
)

// newClient returns the program's client: what all platforms share, then what
// this platform adds (see the files engine_*.go), then what the caller wants. The
// last word counts, so that a test can bring its own engine.
func newClient(opts ...godwit.ClientOption) *godwit.Client {
	shared := []godwit.ClientOption{
		godwit.UserAgent("platforms/1.0"),
		godwit.Timeout(30 * time.Second),
		godwit.Header("Accept-Language", "en"),
	}
	return godwit.New(append(append(shared, platform()...), opts...)...)
}
