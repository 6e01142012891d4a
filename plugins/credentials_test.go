package plugins_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/retry"
)

// guarded is a server that wants credentials: at /start and at /end, to which
// that redirects, the first request is answered with 503.
type guarded struct {
	// check returns "" if a request, with its body, has good credentials, else the
	// challenge.
	check func(r *http.Request, body []byte) string

	mu    sync.Mutex
	tries map[string]int
	seen  []string // the credentials
}

func (g *guarded) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries, g.seen = make(map[string]int), nil
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries[r.URL.Path]++
	g.seen = append(g.seen, r.Header.Get("Authorization"))
	challenge := g.check(r, body)
	switch {
	case string(body) != "body":
		http.Error(w, "no body", 400)
	case g.tries[r.URL.Path] == 1:
		w.WriteHeader(503)
	case challenge != "":
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(401)
	case r.URL.Path == "/start":
		w.Header().Set("Location", "/end?q=a%20b")
		w.WriteHeader(307)
	default:
		io.WriteString(w, "in")
	}
}

func md5Of(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// digestCheck wants Digest credentials and no count twice.
func digestCheck() func(r *http.Request, _ []byte) string {
	used := make(map[string]bool)
	return func(r *http.Request, _ []byte) string {
		all := header.ParseChallenges(header.New("A", r.Header.Get("Authorization")), "A")
		const challenge = `Digest realm="r", nonce="n", qop="auth"`
		if len(all) != 1 {
			return challenge
		}
		c := all[0]
		want := md5Of(md5Of("ada", "r", "pw"), "n", c.Param("nc"), c.Param("cnonce"), "auth", md5Of(r.Method, r.URL.RequestURI()))
		// A client made for another run begins to count anew, with a cnonce of its own.
		use := c.Param("nc") + c.Param("cnonce")
		if c.Param("response") != want || used[use] {
			return challenge
		}
		used[use] = true
		return ""
	}
}

var sig = auth.SigV4{
	AWSCredentials: auth.AWSCredentials{AccessKey: "key", SecretKey: "secret", SessionToken: "session"},
	Region:         "eu-central-1", Service: "execute-api",
}

// sigCheck signs what came as it says that it was signed.
func sigCheck(t *testing.T) func(r *http.Request, body []byte) string {
	return func(r *http.Request, body []byte) string {
		given := r.Header.Get("Authorization")
		_, after, _ := strings.Cut(given, "SignedHeaders=")
		names, _, _ := strings.Cut(after, ",")
		req := &godwit.Request{Method: r.Method, URL: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}}
		for name := range strings.SplitSeq(names, ";") {
			req.Header.AddAll(name, r.Header.Values(name)...)
		}
		req.Header.Del("Host")
		if len(body) > 0 {
			req.Body = content.Bytes(body, "")
		}
		again := sig
		again.Now = func() time.Time {
			at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			return at
		}
		if err := again.Sign(context.Background(), req); err != nil || req.Header.Get("Authorization") != given {
			t.Errorf("%s %s: %v\ngot  %s\nwant %s", r.Method, r.URL, err, given, req.Header.Get("Authorization"))
		}
		return ""
	}
}

// ticking returns sig with a clock that goes on by a second each time.
func ticking() auth.SigV4 {
	var n atomic.Int64
	s := sig
	s.Now = func() time.Time { return time.Unix(1e9+n.Add(1), 0) }
	return s
}

// TestCredentialsRetriesAndRedirects: each attempt of each hop has credentials of
// its own.
func TestCredentialsRetriesAndRedirects(t *testing.T) {
	bearer := func(r *http.Request, _ []byte) string {
		if r.Header.Get("Authorization") == "Bearer new" {
			return ""
		}
		return "Bearer"
	}
	refresh := func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: "new"}, nil }
	for _, row := range []struct {
		name     string
		check    func(*http.Request, []byte) string
		provider func() auth.Provider
		sends    int // 5 with a 401
		differ   bool
	}{
		{"Bearer", bearer, func() auth.Provider { return auth.Bearer{Token: "old", Refresh: refresh} }, 5, false},
		{"Digest", digestCheck(), func() auth.Provider { return auth.Digest{User: "ada", Password: "pw"} }, 5, true},
		{"SigV4", sigCheck(t), func() auth.Provider { return ticking() }, 4, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := &guarded{check: row.check}
			everyengine.Run(t, server.ServeHTTP, func(t *testing.T, c *godwit.Client, base string) {
				server.reset()
				c = c.With(godwit.Install(auth.New(row.provider()), retry.New(retry.Config{BaseDelay: time.Millisecond})))
				defer c.Close()
				resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", base+"/start", godwit.Body("body")))
				if err != nil || resp.Text() != "in" || resp.Call().Sends() != row.sends {
					t.Fatalf("%v, %v, credentials %q", resp, err, server.seen)
				}
				last := server.seen[len(server.seen)-3:] // 307, 503, 200
				if differ := last[0] != last[1] && last[1] != last[2] && last[0] != last[2]; differ != row.differ || last[0] == "" {
					t.Errorf("credentials %q", server.seen)
				}
			})
		})
	}
}

// TestSigV4Hedged: both requests of a hedged attempt are signed, each by itself.
func TestSigV4Hedged(t *testing.T) {
	check := sigCheck(t)
	var mu sync.Mutex
	var dates []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		check(r, nil)
		dates = append(dates, r.Header.Get("X-Amz-Date"))
		n := len(dates)
		mu.Unlock()
		switch n {
		case 1:
			w.WriteHeader(503) // the attempt before
		case 2:
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "third")
		}
	}
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		mu.Lock()
		dates = nil
		mu.Unlock()
		hedge := retry.Config{BaseDelay: time.Millisecond, Hedge: retry.Hedge{Delay: 50 * time.Millisecond}}
		c = c.With(godwit.Install(auth.New(ticking()), retry.New(hedge)))
		defer c.Close()
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/a%20b?x=1&x=0"))
		if err != nil || resp.Text() != "third" || resp.Call().Sends() != 3 {
			t.Fatalf("%v, %v", resp, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(dates) != 3 || dates[0] == dates[1] || dates[1] == dates[2] {
			t.Errorf("signed at %q", dates)
		}
	})
}
