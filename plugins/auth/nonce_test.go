package auth_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/auth"
)

// nonces is a server that takes any Digest credentials, but for those of user
// "wrong", and hands out the nonces that requests ask for: "?first=" in its
// challenge, "?next=" in Authentication-Info. It notes the counts it sees.
type nonces struct {
	challenge string // beside the nonce
	hold      chan struct{}

	mu      sync.Mutex
	uses    []string // nonce/nc
	cnonces map[string]string
	t       *testing.T
}

func (s *nonces) handle(ctx context.Context, r *mock.Request) *mock.Response {
	query := r.URL.Query()
	first := query.Get("first")
	if first == "" {
		first = "N0"
	}
	all := header.ParseChallenges(header.New("A", r.Header.Get("Authorization")), "A")
	if len(all) == 0 {
		return unauthorized(`Digest realm="r", nonce="` + first + `", ` + s.challenge)
	}
	nonce, use := all[0].Param("nonce"), all[0].Param("nonce")+"/"+strings.TrimLeft(all[0].Param("nc"), "0")
	s.mu.Lock()
	if slices.Contains(s.uses, use) {
		s.t.Errorf("%s: %s again", r.URL, use)
	}
	s.uses = append(s.uses, use)
	if had, ok := s.cnonces[nonce]; ok && had != all[0].Param("cnonce") && strings.Contains(s.challenge, "-sess") {
		s.t.Errorf("%s: nonce %s has another cnonce", r.URL, nonce)
	}
	s.cnonces[nonce] = all[0].Param("cnonce")
	s.mu.Unlock()
	if all[0].Param("username") == "wrong" {
		return unauthorized(`Digest realm="r", nonce="` + first + `", ` + s.challenge)
	}
	if query.Has("hold") {
		<-s.hold
	}
	resp := mock.OK("in")
	if next := query.Get("next"); next != "" {
		resp.WithHeader("Authentication-Info", `nextnonce="`+next+`"`)
	}
	return resp
}

// TestNonceCounts: no count of a nonce is ever sent twice, in whatever order a
// server hands nonces out and its answers come in.
func TestNonceCounts(t *testing.T) {
	for name, row := range map[string]struct {
		challenge string
		digest    auth.Digest
		paths     []string // "+" before one = in the background, "-" = let it end
		want      string
	}{
		"one":           {`qop="auth"`, auth.Digest{User: "u"}, []string{"/", "/"}, "N0/1 N0/2"},
		"the next":      {`qop="auth"`, auth.Digest{User: "u"}, []string{"/?next=N1", "/", "/"}, "N0/1 N1/1 N1/2"},
		"the same next": {`qop="auth"`, auth.Digest{User: "u"}, []string{"/?next=N0", "/"}, "N0/1 N0/2"},
		"late":          {`qop="auth"`, auth.Digest{User: "u"}, []string{"/", "+/?hold&next=N1", "/?next=N1", "/?next=N2", "/", "-", "/"}, "N0/1 N0/2 N0/3 N1/1 N2/1 N2/2"},
		"late, sess":    {`algorithm=SHA-256-sess, qop="auth"`, auth.Digest{User: "u"}, []string{"/", "+/?hold&next=N1", "/?next=N2", "-", "/"}, "N0/1 N0/2 N0/3 N2/1"},
		"back":          {`qop="auth"`, auth.Digest{User: "u"}, []string{"/?next=N1", "/?next=N0", "/?next=N1", "/"}, "N0/1 N1/1 N0/2 N1/2"},
		"back, sess":    {`algorithm=MD5-sess, qop="auth"`, auth.Digest{User: "u"}, []string{"/?next=N1", "/?next=N0", "/"}, "N0/1 N1/1 N0/2"},
		"asked again":   {`domain="/dir/", qop="auth"`, auth.Digest{User: "u"}, []string{"/dir/?next=N1", "/", "/dir/"}, "N0/1 N0/2 N0/3"},
		"refused":       {`qop="auth"`, auth.Digest{Credentials: changing("wrong", "right")}, []string{"/", "/"}, "N0/1 N0/2"},
		"two users":     {`qop="auth"`, auth.Digest{Credentials: changing("a", "b", "a")}, []string{"/", "/", "/"}, "N0/1 N0/2 N0/3"},
		"two origins":   {`qop="auth"`, auth.Digest{User: "u", Hosts: []string{"*"}}, []string{"/?first=A", "http://b.example/?first=B", "/"}, "A/1 B/1 A/2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &nonces{challenge: row.challenge, hold: make(chan struct{}), cnonces: map[string]string{}, t: t}
				eng := serve(s.handle)
				defer eng.Close()
				c := client(t, eng, row.digest)
				var wg sync.WaitGroup
				for _, path := range row.paths {
					switch u, background := strings.CutPrefix(path, "+"); {
					case path == "-":
						close(s.hold)
						wg.Wait()
					case background:
						wg.Go(func() {
							if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://a.example"+u)); err != nil {
								t.Error(err)
							}
						})
						synctest.Wait()
					case strings.HasPrefix(path, "/"):
						get(t, c, "http://a.example"+path)
					default:
						get(t, c, path)
					}
				}
				if got := strings.Join(s.uses, " "); got != row.want {
					t.Errorf("sent %s\nwant %s", got, row.want)
				}
			})
		})
	}
}

// changing returns credentials of one user after the other.
func changing(users ...string) auth.CredentialsFunc {
	n := 0
	return func(context.Context, *godwit.Request) (string, string, error) {
		user := users[min(n, len(users)-1)]
		n++
		return user, "pw", nil
	}
}
