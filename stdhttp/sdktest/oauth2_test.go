package sdktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func TestOAuth2(t *testing.T) {
	var issued atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "id" || secret != "secret" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "invalid_client"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": "%s-%d", "token_type": "bearer", "expires_in": 3600, "refresh_token": "again"}`, r.FormValue("grant_type"), issued.Add(1))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Header.Get("Authorization"), " ", string(b))
	})
	s := serve(t, mux)
	endpoint := oauth2.Endpoint{TokenURL: s.URL + "/token", AuthStyle: oauth2.AuthStyleInHeader}
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, hc)
		issued.Store(0)
		read := func(resp *http.Response, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return string(b)
		}
		machine := clientcredentials.Config{ClientID: "id", ClientSecret: "secret", TokenURL: endpoint.TokenURL, AuthStyle: oauth2.AuthStyleInHeader}
		if got := read(machine.Client(ctx).Get(s.URL + "/x")); got != "Bearer client_credentials-1 " {
			t.Errorf("client credentials: %q", got)
		}
		user := oauth2.Config{ClientID: "id", ClientSecret: "secret", Endpoint: endpoint}
		token, err := user.Exchange(ctx, "code")
		if err != nil || token.AccessToken != "authorization_code-2" {
			t.Fatalf("Exchange: %v, %v", token, err)
		}
		token.Expiry = time.Now().Add(-time.Hour)
		if got := read(user.Client(ctx, token).Post(s.URL+"/x", "text/plain", http.NoBody)); got != "Bearer refresh_token-3 " {
			t.Errorf("refreshed: %q", got)
		}
		machine.ClientSecret = "wrong"
		_, err = machine.Token(ctx)
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
			t.Errorf("wrong secret: %v", err)
		}
	})
}
