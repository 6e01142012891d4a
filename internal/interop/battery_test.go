package interop_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
)

const (
	large = 16 << 20 // more than any buffer on the way
	crowd = 16
)

// trait is how a program differs from what it should be.
type trait int

const (
	// abrupt is one that closes every connection after one response, without saying
	// so, and resets it if there is still a request body to come. No client can be
	// sure to get an answer then.
	abrupt trait = iota
	// forgetful is one that under load closes a connection in the middle of some
	// request bodies of 16 MiB, and says nothing: squid 5.7 does so to 2 in 100, and
	// to those of curl, too. What it has lost is sent again.
	forgetful
)

// battery runs all that must work through whatever stands at base, in front of
// an origin.
func battery(t *testing.T, c *godwit.Client, base string, is ...trait) {
	polite := !slices.Contains(is, abrupt)
	tries := 1
	if slices.Contains(is, forgetful) {
		tries = 5
	}
	reached := t.Run("keep-alive", func(t *testing.T) {
		for i := range 20 {
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/echo"))
			if err != nil || resp.Text() != echoed(t, "GET", 0) {
				t.Fatalf("request %d: %v, %v", i, resp, err)
			}
			if polite && resp.Reused() != (i > 0) {
				t.Errorf("request %d: reused %v", i, resp.Reused())
			}
		}
	})
	if !reached {
		return // nor will the others
	}
	t.Run("crowd", func(t *testing.T) {
		var wg sync.WaitGroup
		for g := range crowd {
			wg.Go(func() {
				for i := range 10 {
					n := int64(g*1000 + i)
					got, err := godwit.Post[string](t.Context(), c, base+"/echo", reader(n))
					if err != nil || got != echoed(t, "POST", n) {
						t.Errorf("%d bytes: %q, %v", n, got, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("upload", func(t *testing.T) {
		for name, length := range map[string]int64{"length": large, "chunked": -1} {
			var got string
			err := errors.New("not sent")
			for n := 0; n < tries && err != nil; n++ {
				got, err = godwit.Put[string](t.Context(), c, base+"/echo", content.Reader(pattern(0, large), "", length))
			}
			if err != nil || got != echoed(t, "PUT", large) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
	t.Run("download", func(t *testing.T) { download(t, c, fmt.Sprintf("%s/stream?n=%d", base, large), large) })
	t.Run("no body", func(t *testing.T) { noBodies(t, c, base) })
	t.Run("expect", func(t *testing.T) { expect(t, c, base, polite) })
	t.Run("abandoned download", func(t *testing.T) {
		err := c.Stream(t.Context(), godwit.NewRequest("GET", fmt.Sprintf("%s/stream?n=%d", base, large)), func(r *godwit.Response) error {
			_, err := io.ReadFull(r.Body, make([]byte, 10))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if got, err := godwit.Get[string](t.Context(), c, base+"/echo"); err != nil || got != echoed(t, "GET", 0) {
			t.Errorf("the request after it: %q, %v", got, err)
		}
	})
}

func reader(n int64) io.Reader { return pattern(0, n) }

// download checks that url is pattern(0, n).
func download(t *testing.T, c *godwit.Client, url string, n int64) {
	t.Helper()
	err := c.Stream(t.Context(), godwit.NewRequest("GET", url), func(r *godwit.Response) error {
		if r.Status != 200 {
			return fmt.Errorf("status %v", r.Status)
		}
		if got, want := sum(t, r.Body), sum(t, pattern(0, n)); got != want {
			t.Errorf("%s is not what was sent", url)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func noBodies(t *testing.T, c *godwit.Client, base string) {
	for _, tc := range []struct {
		method, path string
		status       godwit.Status
		opts         []godwit.Option
	}{
		{"HEAD", "/text", 200, nil},
		{"GET", "/nothing", 204, nil},
		{"GET", "/kept", 304, []godwit.Option{godwit.Header("If-None-Match", `"1"`)}},
		{"POST", "/nothing", 204, nil},
	} {
		resp, err := c.Do(t.Context(), godwit.NewRequest(tc.method, base+tc.path, tc.opts...))
		if err != nil || resp.Status != tc.status || resp.Text() != "" {
			t.Errorf("%s %s: %v, %v", tc.method, tc.path, resp, err)
		}
	}
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/kept"))
	if err != nil || resp.Text() != "kept" {
		t.Errorf("the request after them: %v, %v", resp, err)
	}
}

// expect sends bodies that wait for a 100.
func expect(t *testing.T, c *godwit.Client, base string, polite bool) {
	const n = 1 << 20
	opt := godwit.Header("Expect", "100-continue")
	got, err := godwit.Post[string](t.Context(), c, base+"/echo", reader(n), opt)
	if err != nil || got != echoed(t, "POST", n) {
		t.Errorf("%q, %v", got, err)
	}
	if !polite {
		return
	}
	resp, err := godwit.Post[*godwit.Response](t.Context(), c, base+"/refuse", content.Bytes([]byte(strings.Repeat("x", n)), ""), opt)
	if err != nil || resp.Status != 403 {
		t.Errorf("refused: %v, %v", resp, err)
	}
}
