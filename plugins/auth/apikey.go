package auth

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// APIKey sends a key with each request that has none there: in a field, a query
// parameter or a cookie. A refusal is final.
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
	if k.Header != "" && !header.ValidValue(k.Key) {
		return nil, fmt.Errorf("auth: APIKey: the key has control characters, or white space at an end")
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
	if k.own(x.Request) {
		return nil
	}
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
		all := append(req.Header.Values("Cookie"), pair)
		for i, field := range all {
			all[i] = strings.TrimRight(field, "; ")
		}
		req.Header.Set("Cookie", strings.Join(all, "; "))
	default:
		req.Header.Set(k.Header, key)
	}
	return nil
}

// own reports whether the request brings a key itself, but for a field, which is
// seen by the scope.
func (k apiKey) own(req *godwit.Request) bool {
	switch {
	case k.Query != "":
		return req.URL.Query().Has(k.Query)
	case k.Cookie != "":
		for _, field := range req.Header.Values("Cookie") {
			if slices.ContainsFunc(header.ParseCookies(field), func(c header.Pair) bool { return c.Name == k.Cookie }) {
				return true
			}
		}
	}
	return false
}

func (k apiKey) Accepts(*Exchange) bool { return false }

func (k apiKey) Answer(context.Context, *Exchange) (bool, error) { return false, nil }
