package stdhttp_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/stdhttp"
)

// readers are bodies that http.NewRequest knows, and what is left of them.
var readers = []struct {
	name string
	make func(string) (r io.Reader, left func() int)
}{
	{"bytes.Buffer", func(s string) (io.Reader, func() int) { r := bytes.NewBufferString(s); return r, r.Len }},
	{"bytes.Reader", func(s string) (io.Reader, func() int) { r := bytes.NewReader([]byte(s)); return r, r.Len }},
	{"strings.Reader", func(s string) (io.Reader, func() int) { r := strings.NewReader(s); return r, r.Len }},
}

// TestReaderIsConsumed: what was sent of a reader is gone from it.
func TestReaderIsConsumed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		for _, tc := range readers {
			body, left := tc.make("hello")
			resp, err := rt.RoundTrip(newRequest(t, "POST", s.URL, body))
			if got := mustRead(t, resp, err); got != "hello" || left() != 0 {
				t.Errorf("%s: the server got %q, %d bytes are left", tc.name, got, left())
			}
		}
		var buf bytes.Buffer
		c := &http.Client{Transport: rt}
		for i := range 3 { // one buffer, filled again after each request
			fmt.Fprintf(&buf, "rec%d;", i)
			resp, err := c.Post(s.URL, "text/plain", &buf)
			if got, want := mustRead(t, resp, err), fmt.Sprintf("rec%d;", i); got != want {
				t.Errorf("request %d: the server got %q, want %q", i, got, want)
			}
		}
		shared := strings.NewReader("hello")
		r := newRequest(t, "POST", s.URL, io.NopCloser(shared))
		r.ContentLength = 5
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != "hello" || shared.Len() != 0 {
			t.Errorf("the server got %q, %d bytes are left", got, shared.Len())
		}
	})
}

// TestReaderOfAnUnsentRequest: nothing was sent, nothing is gone.
func TestReaderOfAnUnsentRequest(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		for _, tc := range readers {
			body, left := tc.make("hello")
			if _, err := rt.RoundTrip(newRequest(t, "POST", "http://127.0.0.1:1/", body)); err == nil || left() != 5 {
				t.Errorf("%s: error %v, %d bytes are left, want 5", tc.name, err, left())
			}
		}
	})
}

// TestNoGetBodyIsSentOnce: a body that cannot be had again is not sent again on a
// fresh connection. The server closes the first one when it has read the second
// request.
func TestNoGetBodyIsSentOnce(t *testing.T) {
	send := func(t *testing.T, rt http.RoundTripper) (bodies []string, failed bool) {
		var mu sync.Mutex
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			bodies = append(bodies, string(b))
			n := len(bodies)
			mu.Unlock()
			if n == 2 {
				panic(http.ErrAbortHandler)
			}
		})
		resp, err := rt.RoundTrip(newRequest(t, "GET", s.URL, nil))
		mustRead(t, resp, err)
		r := newRequest(t, "PUT", s.URL, strings.NewReader("hello"))
		r.GetBody = nil
		resp, err = rt.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		mu.Lock()
		defer mu.Unlock()
		return bodies, err != nil
	}
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			rt := stdhttp.Transport(newClient(t, e))
			bodies, failed := send(t, rt)
			if diff := cmp.Diff([]string{"", "hello"}, bodies); diff != "" || !failed {
				t.Errorf("failed %t, sent (-want +got):\n%s", failed, diff)
			}
		})
	}
}
