// Package oauth2 takes the tokens of golang.org/x/oauth2 for plugin auth: client
// credentials, refresh tokens, the device flow, and whatever else is an
// oauth2.TokenSource.
//
//	config := clientcredentials.Config{ClientID: …, ClientSecret: …, TokenURL: …}
//	c := godwit.New(godwit.Install(auth.New(
//		oauth2.Bearer(config.TokenSource(ctx), "api.example.org"),
//	)))
//
// It is a module of its own: x/oauth2 imports net/http, by which it asks for its
// tokens; the http.Client in the source's context (oauth2.HTTPClient) is the
// place to change how.
package oauth2

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/godwit-go/godwit/plugins/auth"
)

// Bearer returns the provider for a source and the hosts it is for, none = the
// origin of each call's first URL. The source is asked when there is no token,
// when the last has expired, and when it was refused; one request at a time,
// whose cancelling does not disturb the others. A source that keeps a refused
// token until it expires, as those of oauth2.ReuseTokenSource do, cannot get
// another: then the 401 stands.
func Bearer(src oauth2.TokenSource, hosts ...string) auth.Bearer {
	return TokenFunc(src).Bearer(hosts...)
}

// TokenFunc returns src as a source of plugin auth.
func TokenFunc(src oauth2.TokenSource) auth.TokenFunc {
	return func(context.Context) (auth.Token, error) {
		if src == nil {
			return auth.Token{}, errors.New("oauth2: the TokenSource is nil")
		}
		t, err := src.Token()
		if err != nil {
			return auth.Token{}, err
		}
		return auth.Token{Access: t.AccessToken, Refresh: t.RefreshToken, Type: t.Type(), Expiry: t.Expiry}, nil
	}
}
