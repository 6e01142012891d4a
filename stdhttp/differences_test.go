package stdhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/stdhttp"
)

// TestKnownDifferences holds what docs/stdhttp.md lists: answers that one side
// takes and the other refuses.
func TestKnownDifferences(t *testing.T) {
	chunks := "\r\n2\r\nok\r\n0\r\n\r\n"
	for _, tc := range []struct {
		name, method, reply string
		want                [4]string // net/http, cio, cio with Lenient, nethttp
	}{
		{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", [4]string{"ok", "refused", "ok", "ok"}},
		{"folded field", "GET", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", [4]string{"ok", "refused", "ok", "ok"}},
		{"length beside chunks", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n" + chunks, [4]string{"ok", "refused", "ok", "ok"}},
		{"chunks of HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" + chunks, [4]string{"2\r\nok\r\n0\r\n\r\n", "refused", "ok", "2\r\nok\r\n0\r\n\r\n"}},
		{"space before the colon", "GET", "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok", [4]string{"ok", "refused", "ok", "refused"}},
		{"switch that was not asked for", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", [4]string{"", "refused", "refused", "refused"}},
		{"head with length and chunks", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", [4]string{"", "", "", "refused"}},
		{"space behind a chunk's size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", [4]string{"ok", "failed", "ok", "ok"}},
		{"switch to nothing", "UPGRADE", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", [4]string{"", "refused", "refused", "refused"}},
		{"lengths in one field", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", [4]string{"refused", "ok", "ok", "refused"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			std := &http.Transport{}
			defer std.CloseIdleConnections()
			transports := []http.RoundTripper{std}
			for _, e := range []engine.Factory{cio.Config{}, cio.Config{Lenient: true}, nethttp.Config{}} {
				transports = append(transports, stdhttp.Transport(newClient(t, e)))
			}
			for i, rt := range transports {
				server := serveScript(t, &scripted{reply: tc.reply})
				r := newRequest(t, tc.method, "http://"+server.Addr().String(), nil)
				if tc.method == "UPGRADE" {
					r.Method = "GET"
					r.Header.Set("Connection", "Upgrade")
					r.Header.Set("Upgrade", "x")
				}
				resp, err := rt.RoundTrip(r)
				got := "refused"
				if err == nil {
					b, err := io.ReadAll(resp.Body)
					if got = string(b); err != nil {
						got = "failed"
					}
					resp.Body.Close()
				}
				if got != tc.want[i] {
					t.Errorf("transport %d: %q, %v; want %q", i, got, err, tc.want[i])
				}
			}
		})
	}
}

// TestUserAgentInAnyCase: a name that is not canonical is the user's agent, where
// net/http sends two.
func TestUserAgentInAnyCase(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header["User-Agent"]) })
		r := newRequest(t, "GET", s.URL, nil)
		r.Header["user-agent"] = []string{"mine"}
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != `["mine"]` {
			t.Errorf("the server got %s", got)
		}
	})
}
