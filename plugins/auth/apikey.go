package auth

import (
	"context"
	"fmt"
	"net/url"

	"github.com/godwit-go/godwit/header"
)

// APIKey sends a key with each request: in a field, a query parameter or a
// cookie. A refusal is final.
type APIKey struct {
	// Header, Query or Cookie names the field, the query parameter or the cookie;
	// at most one of them; none = field X-API-Key. Prefer a field: URLs end up
	// in logs and in errors.
	Header, Query, Cookie string
	// Key is the key.
	Key string
	// Load returns the key for each request in place of Key; "" = none.
	Load func(ctx context.Context) (string, error)
	// Hosts tells what it is for: see [Scope].
	Hosts []string
}

// NewAuthenticator implements [Provider].
func (k APIKey) NewAuthenticator() (Authenticator, error) {
	n := 0
	for _, name := range []string{k.Header, k.Query, k.Cookie} {
		if name != "" {
			n++
		}
	}
	switch {
	case n > 1:
		return nil, fmt.Errorf("auth: APIKey goes into one place: Header, Query or Cookie")
	case n == 0:
		k.Header = "X-API-Key"
	case k.Header != "" && !header.IsToken(k.Header):
		return nil, fmt.Errorf("auth: APIKey: %q is no field name", k.Header)
	}
	if (k.Key == "") == (k.Load == nil) {
		return nil, fmt.Errorf("auth: APIKey needs either Key or Load")
	}
	if k.Cookie != "" {
		if _, err := header.FormatCookie(k.Cookie, k.Key); err != nil {
			return nil, fmt.Errorf("auth: APIKey: %w", err)
		}
	}
	return apiKey{k}, nil
}

type apiKey struct{ APIKey }

func (k apiKey) Scope() Scope {
	if k.Header == "" {
		return Scope{Hosts: k.Hosts, Field: "-"}
	}
	return Scope{Hosts: k.Hosts, Field: k.Header}
}

func (k apiKey) Authorize(ctx context.Context, x *Exchange) error {
	key := k.Key
	if k.Load != nil {
		var err error
		if key, err = k.Load(ctx); err != nil {
			return fmt.Errorf("auth: APIKey: %w", err)
		}
	}
	req := x.Request
	switch {
	case key == "":
	case k.Query != "":
		u := *req.URL
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += url.QueryEscape(k.Query) + "=" + url.QueryEscape(key)
		req.URL = &u
	case k.Cookie != "":
		pair, err := header.FormatCookie(k.Cookie, key)
		if err != nil {
			return fmt.Errorf("auth: APIKey: %w", err)
		}
		if own := req.Header.Get("Cookie"); own != "" {
			pair = own + "; " + pair
		}
		req.Header.Set("Cookie", pair)
	default:
		req.Header.Set(k.Header, key)
	}
	return nil
}

func (k apiKey) Accepts(*Exchange) bool { return false }

func (k apiKey) Answer(context.Context, *Exchange) (bool, error) { return false, nil }
