package oauth2_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	xoauth2 "golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/auth/oauth2"
)

// server issues tokens and takes the last one.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	issued  int
	polls   int
	grants  []string
	expires int
}

func newServer(t *testing.T) *server {
	s := &server{expires: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"device_code": "dc", "user_code": "uc", "verification_uri": s.URL, "expires_in": 60, "interval": 1})
	})
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", s.issued) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, "in")
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant := r.FormValue("grant_type")
	s.grants = append(s.grants, grant)
	switch {
	case grant == "refresh_token" && r.FormValue("refresh_token") != fmt.Sprintf("r%d", s.issued):
		answer(w, 400, map[string]any{"error": "invalid_grant"})
		return
	case grant == "urn:ietf:params:oauth:grant-type:device_code":
		if s.polls++; s.polls < 2 {
			answer(w, 400, map[string]any{"error": "authorization_pending"})
			return
		}
	}
	s.issued++
	answer(w, 200, map[string]any{"access_token": fmt.Sprintf("t%d", s.issued), "refresh_token": fmt.Sprintf("r%d", s.issued), "token_type": "bearer", "expires_in": s.expires})
}

func (s *server) config() *xoauth2.Config {
	return &xoauth2.Config{ClientID: "id", ClientSecret: "secret", Endpoint: xoauth2.Endpoint{TokenURL: s.URL + "/token", DeviceAuthURL: s.URL + "/device", AuthStyle: xoauth2.AuthStyleInParams}}
}

// use sends requests, some at once, and wants them let in.
func use(t *testing.T, s *server, p auth.Provider) {
	t.Helper()
	c := godwit.New(godwit.Install(auth.New(p)))
	defer c.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := godwit.Get[string](t.Context(), c, s.URL+"/api"); err != nil || got != "in" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func (s *server) want(t *testing.T, grants ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if fmt.Sprint(s.grants) != fmt.Sprint(grants) {
		t.Errorf("grants %v, want %v", s.grants, grants)
	}
}

func TestClientCredentials(t *testing.T) {
	s := newServer(t)
	config := clientcredentials.Config{ClientID: "id", ClientSecret: "secret", TokenURL: s.URL + "/token", AuthStyle: xoauth2.AuthStyleInHeader}
	use(t, s, oauth2.Bearer(config.TokenSource(t.Context())))
	s.want(t, "client_credentials")
}

func TestRefreshToken(t *testing.T) {
	s := newServer(t)
	s.issued = 1
	src := s.config().TokenSource(t.Context(), &xoauth2.Token{RefreshToken: "r1"})
	use(t, s, oauth2.Bearer(src))
	s.want(t, "refresh_token")
}

// TestRefused: a source that asks each time is asked again when its token is
// refused, one that keeps it is not of use.
func TestRefused(t *testing.T) {
	s := newServer(t)
	ask := sourceFunc(func() (*xoauth2.Token, error) {
		return (&clientcredentials.Config{ClientID: "id", TokenURL: s.URL + "/token"}).Token(context.Background())
	})
	p := oauth2.TokenFunc(ask)
	c := godwit.New(godwit.Install(auth.New(p)))
	defer c.Close()
	for i := range 2 {
		if got, err := godwit.Get[string](t.Context(), c, s.URL+"/api"); err != nil || got != "in" {
			t.Errorf("call %d: %q, %v", i, got, err)
		}
		s.mu.Lock()
		s.issued += 10 // the token is revoked
		s.mu.Unlock()
	}
	s.want(t, "client_credentials", "client_credentials")
	kept := godwit.New(godwit.Install(auth.New(oauth2.Bearer(xoauth2.StaticTokenSource(&xoauth2.Token{AccessToken: "old"})))))
	defer kept.Close()
	_, err := godwit.Get[string](t.Context(), kept, s.URL+"/api")
	if se, ok := errors.AsType[*godwit.StatusError](err); !ok || se.Response.Status != 401 {
		t.Errorf("%v", err)
	}
}

type sourceFunc func() (*xoauth2.Token, error)

func (f sourceFunc) Token() (*xoauth2.Token, error) { return f() }

func TestDeviceFlow(t *testing.T) {
	s := newServer(t)
	config := s.config()
	device, err := config.DeviceAuth(t.Context())
	if err != nil || device.UserCode != "uc" {
		t.Fatalf("%v, %v", device, err)
	}
	token, err := config.DeviceAccessToken(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	use(t, s, oauth2.Bearer(config.TokenSource(t.Context(), token)))
	const grant = "urn:ietf:params:oauth:grant-type:device_code"
	s.want(t, grant, grant)
}

func TestFailure(t *testing.T) {
	s := newServer(t)
	src := s.config().TokenSource(t.Context(), &xoauth2.Token{RefreshToken: "wrong"})
	for name, p := range map[string]auth.Provider{"refused": oauth2.Bearer(src), "nil": oauth2.TokenFunc(nil)} {
		c := godwit.New(godwit.Install(auth.New(p)))
		_, err := godwit.Get[string](t.Context(), c, s.URL+"/api")
		if _, ok := errors.AsType[*xoauth2.RetrieveError](err); err == nil || name == "refused" && !ok {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}
