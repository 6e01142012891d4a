package retry

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
)

// modify returns a copy of req as Config.Modify leaves it.
func (l *loop) modify(ctx context.Context, req *godwit.Request, n int) (*godwit.Request, error) {
	req = req.Clone()
	f := l.plugin.config.Modify
	if f == nil {
		return req, nil
	}
	u := *req.URL // Clone does not copy it, and to change it is what f is for
	req.URL = &u
	if err := f(ctx, req, n); err != nil {
		return nil, fmt.Errorf("retry: Modify: %w", err)
	}
	return req, nil
}

// withoutSecrets returns req without what it has from first, the call's own
// request, that is for first's origin only: as after a redirect.
func withoutSecrets(first, req *godwit.Request) *godwit.Request {
	if req.URL == nil || sameOrigin(first.URL, req.URL) {
		return req
	}
	req = req.Clone()
	for _, name := range []string{"Host", "Authorization", "Proxy-Authorization", "Cookie", "Cookie2"} {
		if slices.Equal(req.Header.Values(name), first.Header.Values(name)) {
			req.Header.Del(name)
		}
	}
	if user := first.URL.User; user != nil && req.URL.User != nil && *user == *req.URL.User {
		u := *req.URL
		u.User = nil
		req.URL = &u
	}
	return req
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	}
	return "80"
}
