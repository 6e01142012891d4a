package nethttp_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// TestHeaderTimeoutEndsWithTheHead: a request that is sent to its end after the
// answer has begun has no header timeout left.
func TestHeaderTimeoutEndsWithTheHead(t *testing.T) {
	const limit = 50 * time.Millisecond
	s := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		_ = c.Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		<-time.After(4 * limit)
		_, _ = io.WriteString(w, "late")
	})
	sent := make(chan struct{})
	in, out := io.Pipe()
	req := request(t, s.URL)
	req.Method, req.Body, req.Timeouts.Header = "POST", content.Reader(in, "", -1), limit
	req.Trace = &engine.Trace{WroteRequest: func(error) { close(sent) }}
	resp, err := newEngine(t, nethttp.Config{}, engine.Config{}).Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out.Close()
	<-sent
	if text, err := io.ReadAll(resp.Body); string(text) != "late" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
