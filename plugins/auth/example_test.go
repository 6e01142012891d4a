package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

// A token that expires is refreshed when the server says so, once for all
// requests that need it.
func ExampleBearer() {
	server := mock.Serve(mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
		if req.Header.Get("Authorization") != "Bearer new" {
			return mock.Status(401).WithHeader("WWW-Authenticate", `Bearer error="invalid_token"`), nil
		}
		return mock.OK("welcome"), nil
	}))
	defer server.Close()
	c := godwit.New(godwit.WithEngineInstance(server), godwit.Install(auth.New(auth.Bearer{
		Hosts: []string{"https://api.example.org"},
		Load: func(context.Context) (auth.Token, error) {
			return auth.Token{Access: "old", Refresh: "r"}, nil
		},
		Refresh: func(_ context.Context, old auth.Token) (auth.Token, error) {
			fmt.Println("refresh", old.Access)
			return auth.Token{Access: "new", Refresh: "r"}, nil
		},
	})))
	defer c.Close()

	page, err := godwit.Get[string](context.Background(), c, "https://api.example.org/")
	fmt.Println(page, err)
	// Output:
	// refresh old
	// welcome <nil>
}

// Several providers on one client; the first that a challenge fits answers it.
func ExampleNew() {
	c := godwit.New(godwit.Install(auth.New(
		auth.Digest{User: "ada", Password: "secret", Hosts: []string{"intranet.example.org"}},
		auth.Basic{User: "ada", Password: "secret", Hosts: []string{"https://files.example.org"}},
		auth.APIKey{Key: "k-123", Hosts: []string{"https://api.example.org"}},
		auth.Netrc{},
	)))
	defer c.Close()
}

// A URL that lets a browser fetch one object for an hour.
func ExampleSigV4_Presign() {
	sig := auth.SigV4{
		AWSCredentials: auth.AWSCredentials{AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
		Region:         "us-east-1",
		Service:        "s3",
	}
	url, err := sig.Presign(context.Background(), "GET", "https://examplebucket.s3.amazonaws.com/test.txt", time.Hour)
	fmt.Println(len(url) > 200, err)
	// Output: true <nil>
}

// hmacSigner is a provider of one's own: it signs method and path.
type hmacSigner struct{ key []byte }

func (s hmacSigner) NewAuthenticator() (auth.Authenticator, error) { return s, nil }

func (s hmacSigner) Scope() auth.Scope { return auth.Scope{Hosts: []string{"https://api.example.org"}} }

func (s hmacSigner) Authorize(_ context.Context, x *auth.Exchange) error {
	h := hmac.New(sha256.New, s.key)
	io.WriteString(h, x.Request.Method+" "+x.Request.URL.Path)
	x.Set("HMAC " + hex.EncodeToString(h.Sum(nil)))
	return nil
}

func (s hmacSigner) Accepts(*auth.Exchange) bool { return false }

func (s hmacSigner) Answer(context.Context, *auth.Exchange) (bool, error) { return false, nil }

func ExampleAuthenticator() {
	server := mock.New(mock.OK(""))
	defer server.Close()
	c := godwit.New(godwit.WithEngineInstance(server), godwit.Install(auth.New(hmacSigner{[]byte("key")})))
	defer c.Close()

	c.Do(context.Background(), godwit.NewRequest("GET", "https://api.example.org/users"))
	fmt.Println(server.Requests()[0].Header.Get("Authorization")[:13])
	// Output: HMAC 893dc5cc
}
