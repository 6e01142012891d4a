package auth_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/auth"
)

// digestServer checks Digest credentials by a reading of RFC 7616 of its own.
type digestServer struct {
	algorithm, qop, realm, extra string
	user, password               string
	once                         bool // a nonce for each request, given in Authentication-Info
	lifetime                     int  // uses of a nonce before it is stale; 0 = any
	wrongProof                   bool

	mu       sync.Mutex
	nonce    int
	counts   map[string]bool // nonce:nc seen
	uses     int
	problems []string
}

func (s *digestServer) hash(parts ...string) string {
	news := map[string]func() hash.Hash{"MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}
	h := news[strings.TrimSuffix(s.algorithm, "-sess")]()
	h.Write([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(h.Sum(nil))
}

func (s *digestServer) challenge(more string) *mock.Response {
	return unauthorized(fmt.Sprintf(`Digest realm="%s", nonce="n%d", algorithm=%s, qop="%s", opaque="op%s"%s`, s.realm, s.nonce, s.algorithm, s.qop, `\"aque`, s.extra+more))
}

func (s *digestServer) handle(_ context.Context, r *mock.Request) *mock.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := r.Header.Get("Authorization")
	if value == "" {
		return s.challenge("")
	}
	c := header.ParseChallenges(header.New("A", value), "A")[0]
	if c.Param("nonce") != fmt.Sprintf("n%d", s.nonce) {
		return s.challenge(", stale=true")
	}
	if s.uses++; s.lifetime > 0 && s.uses > s.lifetime {
		s.nonce, s.uses = s.nonce+1, 0
		return s.challenge(", stale=TRUE")
	}
	problem := func(format string, args ...any) { s.problems = append(s.problems, fmt.Sprintf(format, args...)) }
	name := c.Param("username")
	if strings.Contains(s.extra, "userhash=true") {
		if c.Param("userhash") != "true" || name != s.hash(s.user, s.realm) {
			problem("userhash: %q in %s", name, value)
		}
	}
	key := c.Param("nonce") + ":" + c.Param("nc")
	if s.counts == nil {
		s.counts = make(map[string]bool)
	}
	if s.counts[key] || len(c.Param("nc")) != 8 {
		problem("nc %s", key)
	}
	s.counts[key] = true
	if c.Param("uri") != r.URL.RequestURI() || c.Param("opaque") != `op"aque` || c.Param("realm") != s.realm {
		problem("%s for %s", value, r.URL)
	}
	a1 := s.hash(s.user, s.realm, s.password)
	if strings.HasSuffix(s.algorithm, "-sess") {
		a1 = s.hash(a1, c.Param("nonce"), c.Param("cnonce"))
	}
	a2 := []string{r.Method, c.Param("uri")}
	proof := []string{"", c.Param("uri")}
	if c.Param("qop") == "auth-int" {
		a2, proof = append(a2, s.hash(r.Text())), append(proof, s.hash("in"))
	}
	rest := []string{c.Param("nonce"), c.Param("nc"), c.Param("cnonce"), c.Param("qop")}
	if want := s.hash(append(append([]string{a1}, rest...), s.hash(a2...))...); c.Param("response") != want {
		return s.challenge("")
	}
	rspauth := s.hash(append(append([]string{a1}, rest...), s.hash(proof...))...)
	if s.wrongProof {
		rspauth = s.hash(rspauth)
	}
	info := fmt.Sprintf(`rspauth="%s", qop=%s, cnonce="%s", nc=%s`, rspauth, c.Param("qop"), c.Param("cnonce"), c.Param("nc"))
	if s.once {
		s.nonce++
		info += fmt.Sprintf(`, nextnonce="n%d"`, s.nonce)
	}
	return mock.OK("in").WithHeader("Authentication-Info", info)
}

func newDigestServer() *digestServer {
	return &digestServer{algorithm: "SHA-256", qop: "auth", realm: `the "realm"`, user: "ada", password: "pw"}
}

func (s *digestServer) check(t *testing.T) {
	t.Helper()
	for _, p := range s.problems {
		t.Error(p)
	}
}

// TestDigestMatrix: each algorithm and qop, with bodies; the second request needs
// no round trip.
func TestDigestMatrix(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "SHA-512-256-sess"} {
		for _, qop := range []string{"auth", "auth-int", "auth,auth-int"} {
			for _, extra := range []string{"", ", userhash=true"} {
				for _, once := range []bool{false, true} {
					t.Run(fmt.Sprint(algorithm, " ", qop, extra, once), func(t *testing.T) {
						s := newDigestServer()
						s.algorithm, s.qop, s.extra, s.once = algorithm, qop, extra, once
						s.realm = strings.ReplaceAll(s.realm, `"`, "")
						eng := serve(s.handle)
						c := client(t, eng, auth.Digest{User: "ada", Password: "pw", Integrity: true})
						for i := range 3 {
							if got, err := godwit.Post[string](t.Context(), c, "http://h/a%20b?c=d%2F", fmt.Sprint("body", i)); err != nil || got != "in" {
								t.Errorf("%q, %v", got, err)
							}
						}
						if n := len(eng.Requests()); n != 4 {
							t.Errorf("%d requests, want 4", n)
						}
						if got := param(t, eng.Requests()[3].Header.Get("Authorization"), "qop"); got != strings.TrimPrefix(qop, "auth,") {
							t.Errorf("qop %s", got)
						}
						s.check(t)
					})
				}
			}
		}
	}
}

func TestDigestStale(t *testing.T) {
	s := newDigestServer()
	s.lifetime, s.realm = 2, "r"
	eng := serve(s.handle)
	c := client(t, eng, auth.Digest{User: "ada", Password: "pw"})
	for range 5 {
		if resp := get(t, c, url); resp.Status != 200 {
			t.Errorf("%v", resp.Status)
		}
	}
	s.check(t)
	if n := len(eng.Requests()); n != 8 { // one challenge, two stale nonces
		t.Errorf("%d requests", n)
	}
	// A server that always says stale is given up.
	eng = serve(func(context.Context, *mock.Request) *mock.Response {
		return unauthorized(`Digest realm="r", nonce="n", qop="auth", stale=true`)
	})
	if resp := get(t, client(t, eng, auth.Digest{User: "ada"}), url); resp.Status != 401 || len(eng.Requests()) != 4 || resp.Text() != "refused" {
		t.Errorf("%v after %d requests", resp.Status, len(eng.Requests()))
	}
}

func TestDigestWrongPassword(t *testing.T) {
	s := newDigestServer()
	s.realm = "r"
	eng := serve(s.handle)
	c := client(t, eng, auth.Digest{User: "ada", Password: "wrong"})
	for range 2 {
		if resp := get(t, c, url); resp.Status != 401 || resp.Text() != "refused" {
			t.Errorf("%v", resp.Status)
		}
	}
	if n := len(eng.Requests()); n != 4 { // nothing is sent unasked after a refusal
		t.Errorf("%d requests", n)
	}
}

// TestDigestProof: a wrong rspauth fails the call; that of auth-int at the body's
// end.
func TestDigestProof(t *testing.T) {
	for _, qop := range []string{"auth", "auth-int"} {
		s := newDigestServer()
		s.realm, s.qop, s.wrongProof = "r", qop, true
		c := client(t, serve(s.handle), auth.Digest{User: "ada", Password: "pw"})
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, auth.ErrDigestMismatch) {
			t.Errorf("%s: %v", qop, err)
		}
	}
	for _, info := range []string{`rspauth="x", nc=00000009`, `rspauth="x", cnonce="other"`} {
		eng := mock.New(unauthorized(`Digest realm="r", nonce="n", qop="auth"`), mock.OK("").WithHeader("Authentication-Info", info))
		if _, err := client(t, eng, auth.Digest{User: "ada"}).Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, auth.ErrDigestMismatch) {
			t.Errorf("%s: %v", info, err)
		}
	}
}

// TestDigestChoice: which of several challenges is answered.
func TestDigestChoice(t *testing.T) {
	digest := func(more string) string { return `Digest realm="r", nonce="n", qop="auth"` + more }
	for name, row := range map[string]struct {
		digest     auth.Digest
		challenges []string
		algorithm  string // answered; "-" = none at all
	}{
		"strongest last":      {auth.Digest{}, []string{digest(", algorithm=MD5"), digest(", algorithm=SHA-256")}, "SHA-256"},
		"strongest first":     {auth.Digest{}, []string{digest(", algorithm=SHA-512-256"), digest(", algorithm=SHA-256")}, "SHA-512-256"},
		"in one field":        {auth.Digest{}, []string{digest(", algorithm=MD5") + ", " + digest(", algorithm=SHA-256")}, "SHA-256"},
		"no algorithm":        {auth.Digest{}, []string{digest("")}, ""},
		"unknown algorithm":   {auth.Digest{}, []string{digest(", algorithm=SHA-3"), digest(", algorithm=MD5")}, "MD5"},
		"lower case":          {auth.Digest{}, []string{digest(", algorithm=sha-256")}, "sha-256"},
		"only unknown":        {auth.Digest{}, []string{digest(", algorithm=SHA-3")}, "-"},
		"no MD5 wanted":       {auth.Digest{Algorithms: []string{"SHA-256"}}, []string{digest(", algorithm=MD5")}, "-"},
		"unknown qop":         {auth.Digest{}, []string{`Digest realm="r", nonce="n", qop="auth-x"`}, "-"},
		"no nonce":            {auth.Digest{}, []string{`Digest realm="r", qop="auth"`}, "-"},
		"realm":               {auth.Digest{Realm: "r"}, []string{`Digest realm="s", nonce="n", qop="auth", algorithm=SHA-256`, digest(", algorithm=MD5")}, "MD5"},
		"other realm":         {auth.Digest{Realm: "x"}, []string{digest("")}, "-"},
		"without qop":         {auth.Digest{}, []string{`Digest realm="r", nonce="n"`}, ""},
		"sess without a qop":  {auth.Digest{}, []string{`Digest realm="r", nonce="n", algorithm=MD5-sess`}, "-"},
		"no challenge at all": {auth.Digest{}, nil, "-"},
	} {
		row.digest.User = "ada"
		eng := serve(func(context.Context, *mock.Request) *mock.Response { return unauthorized(row.challenges...) })
		get(t, client(t, eng, row.digest), url)
		got := sent(eng, "Authorization")
		if row.algorithm == "-" {
			if !slices.Equal(got, []string{"-"}) {
				t.Errorf("%s: sent %q", name, got)
			}
			continue
		}
		if len(got) != 2 || param(t, got[1], "algorithm") != row.algorithm {
			t.Errorf("%s: sent %q", name, got)
		}
	}
}

// TestDigestRFC2069: a challenge without qop is answered as RFC 2069 has it, and
// with the numbers of its known example.
func TestDigestRFC2069(t *testing.T) {
	eng := serve(func(context.Context, *mock.Request) *mock.Response {
		return unauthorized(`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
	})
	get(t, client(t, eng, auth.Digest{User: "Mufasa", Password: "CircleOfLife"}), "http://www.nowhere.org/dir/index.html")
	want := `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea", opaque="5ccc069c403ebaf9f0171e9517f40e41"`
	if diff := cmp.Diff([]string{"-", want}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
}

func TestDigestNames(t *testing.T) {
	for name, row := range map[string]struct{ user, want string }{
		"quotes":        {`a"b\c`, `username="a\"b\\c", `},
		"international": {"Jäsøn Doe", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, "}, // RFC 7616 §3.9.2's name
		"colon":         {"a:b", `username="a:b", `},
	} {
		eng := serve(func(context.Context, *mock.Request) *mock.Response {
			return unauthorized(`Digest realm="r", nonce="n", qop="auth"`)
		})
		get(t, client(t, eng, auth.Digest{User: row.user, Password: "p"}), url)
		if got := sent(eng, "Authorization")[1]; !strings.HasPrefix(got, "Digest "+row.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDigestDomain: what lies outside of the named space is asked first.
func TestDigestDomain(t *testing.T) {
	s := newDigestServer()
	s.realm, s.extra = "r", `, domain="/in http://other.org/"`
	eng := serve(s.handle)
	c := client(t, eng, auth.Digest{User: "ada", Password: "pw"})
	for _, path := range []string{"/in/1", "/in/2", "/out"} {
		get(t, c, "http://h"+path)
	}
	if got := sent(eng, "Authorization"); len(got) != 5 || got[2] == "-" || got[3] != "-" {
		t.Errorf("%q", got)
	}
}

// TestDigestOpaque: it is returned as it came, if it came.
func TestDigestOpaque(t *testing.T) {
	for extra, want := range map[string]string{"": "", `, opaque=""`: `opaque=""`, `, opaque="a\"b"`: `opaque="a\"b"`, `, OPAQUE=x`: `opaque="x"`} {
		eng := serve(func(_ context.Context, r *mock.Request) *mock.Response {
			if r.Header.Has("Authorization") {
				return mock.OK("in")
			}
			return unauthorized(`Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"` + extra)
		})
		get(t, client(t, eng, auth.Digest{User: "ada", Password: "pw"}), url)
		got := sent(eng, "Authorization")[1]
		if strings.Contains(got, "opaque") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", extra, got)
		}
	}
}

// TestDigestUsers: each user has a nonce of their own.
func TestDigestUsers(t *testing.T) {
	s := newDigestServer()
	s.realm = "r"
	eng := serve(s.handle)
	c := client(t, eng, auth.Digest{Credentials: func(_ context.Context, r *godwit.Request) (string, string, error) {
		return r.URL.Query().Get("user"), "pw", nil
	}})
	for i, row := range []struct {
		user   string
		status godwit.Status
	}{{"ada", 200}, {"bob", 401}, {"ada", 200}, {"", 401}} {
		if resp := get(t, c, url+"?user="+row.user); resp.Status != row.status {
			t.Errorf("call %d: %v", i, resp.Status)
		}
	}
	if n := len(eng.Requests()); n != 6 {
		t.Errorf("%d requests", n)
	}
	s.check(t)
}

// TestDigestConcurrent: no nc is used twice, whoever sends.
func TestDigestConcurrent(t *testing.T) {
	s := newDigestServer()
	s.realm = "r"
	c := client(t, serve(s.handle), auth.Digest{User: "ada", Password: "pw"})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || resp.Status != 200 {
					t.Errorf("%v, %v", resp, err)
				}
			}
		})
	}
	wg.Wait()
	s.check(t)
}

func TestDigestProxy(t *testing.T) {
	remote := "127.0.0.1:3128"
	eng := serve(func(_ context.Context, r *mock.Request) *mock.Response {
		if r.Header.Has("Proxy-Authorization") {
			return mock.OK("in").WithConn(via(remote), true)
		}
		// The domain is to be ignored, as it has no meaning to a proxy.
		return mock.Text(407, "no").WithConn(via(remote), true).WithHeader("Proxy-Authenticate", `Digest realm="p", nonce="n", qop="auth", algorithm=SHA-256, domain="/elsewhere"`)
	})
	c := client(t, eng, auth.Digest{User: "ada", Password: "pw", Proxy: remote})
	for _, u := range []string{"http://a/1", "http://a/2", "http://b/"} {
		if resp := get(t, c, u); resp.Status != 200 {
			t.Errorf("%s: %v", u, resp.Status)
		}
	}
	var nc []string
	for _, v := range sent(eng, "Proxy-Authorization") {
		if v != "-" {
			v = param(t, v, "nc")
		}
		nc = append(nc, v)
	}
	// Another origin may be reached directly, so that it is not sent unasked.
	if diff := cmp.Diff([]string{"-", "00000001", "00000002", "-", "00000001"}, nc); diff != "" {
		t.Error(diff)
	}
	remote = "10.0.0.1:80" // an origin that plays proxy
	if resp := get(t, c, "http://c/"); resp.Status != 407 || resp.Text() != "no" {
		t.Errorf("%v", resp.Status)
	}
}
