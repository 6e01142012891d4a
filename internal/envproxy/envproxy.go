// Package envproxy chooses proxies by the environment variables HTTP_PROXY,
// HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case.
package envproxy

import (
	"errors"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/godwit-go/godwit/engine"
)

// Read reads the environment and returns what it asks for. Lower case goes first.
// ALL_PROXY stands in for a variable that is not set. Requests to localhost and
// loopback addresses go directly. A variable that is no URL makes the requests
// that would go by it fail: connecting directly in silence would be worse. The
// value itself is in no error, as it may hold a password.
//
// NO_PROXY's entries are separated by commas or spaces: a name, which stands for
// what is below it too, ".name" for that alone, an address, a prefix as in
// 10.0.0.0/8, each but the last with a port or without, or "*" for all.
func Read() engine.ProxyFunc {
	config := httpproxy.FromEnvironment()
	config.NoProxy = canonicalList(config.NoProxy)
	// What it says of REQUEST_METHOD is true of HTTP_PROXY alone.
	config.CGI = false
	refused := map[string]error{}
	upperCase := os.Getenv("http_proxy") == "" || runtime.GOOS == "windows" // where they are one variable
	if os.Getenv("REQUEST_METHOD") != "" && config.HTTPProxy != "" && upperCase {
		config.HTTPProxy, refused["http"] = unusable, errCGI
	}
	all := os.Getenv("all_proxy")
	if all == "" {
		all = os.Getenv("ALL_PROXY")
	}
	for _, v := range []struct {
		scheme, name string
		value        *string
	}{{"http", "HTTP_PROXY", &config.HTTPProxy}, {"https", "HTTPS_PROXY", &config.HTTPSProxy}} {
		if *v.value == "" {
			*v.value = all
		}
		if malformed(*v.value) {
			*v.value = unusable
			refused[v.scheme] = errors.New(v.name + " or ALL_PROXY in the environment is not a URL")
		}
	}
	choose := config.ProxyFunc()
	return func(u *url.URL) (*url.URL, error) {
		proxy, err := choose(canonical(u))
		if proxy != nil && refused[u.Scheme] != nil {
			return nil, refused[u.Scheme]
		}
		return proxy, err
	}
}

// unusable stands for a proxy that cannot be used, so that httpproxy tells
// which requests would have gone by it.
const unusable = "http://proxy.invalid"

var errCGI = errors.New("HTTP_PROXY in the environment is not trusted where REQUEST_METHOD is set: " +
	"a CGI server makes it of a request's Proxy field; set http_proxy, or name the proxy in the configuration")

// malformed reports what httpproxy would take for something else or leave out in
// silence. A value without a scheme stands for http://value, as there.
func malformed(proxy string) bool {
	if proxy == "" {
		return false
	}
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	return err != nil || u.Hostname() == ""
}

// canonicalList returns NO_PROXY as httpproxy reads it, which knows commas only,
// takes a final dot for a part of the name, and brackets for one without a port.
func canonicalList(list string) string {
	entries := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for i, entry := range entries {
		host, port, err := net.SplitHostPort(entry)
		if err == nil {
			entries[i] = net.JoinHostPort(strings.TrimSuffix(host, "."), port)
			continue
		}
		entry = strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]")
		entries[i] = strings.TrimSuffix(entry, ".")
	}
	return strings.Join(entries, ",")
}

// canonical returns u with its host as httpproxy compares it: in lower case, and
// without a final dot.
func canonical(u *url.URL) *url.URL {
	host := u.Hostname()
	to := strings.TrimSuffix(strings.ToLower(host), ".")
	if to == host || strings.Contains(host, ":") {
		return u
	}
	c := *u
	c.Host = to
	if port := u.Port(); port != "" {
		c.Host += ":" + port
	}
	return &c
}
