// Package envproxy chooses proxies by the environment variables HTTP_PROXY,
// HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case.
package envproxy

import (
	"errors"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/godwit-go/godwit/engine"
)

// Read reads the environment and returns what it asks for. ALL_PROXY stands in
// for a variable that is not set. Requests to localhost and loopback addresses
// go directly. A variable that is no URL makes the requests that it concerns
// fail: connecting directly in silence would be worse. The value itself is in no
// error, as it may hold a password.
func Read() engine.ProxyFunc {
	config := httpproxy.FromEnvironment()
	all := os.Getenv("all_proxy")
	if all == "" {
		all = os.Getenv("ALL_PROXY")
	}
	if config.HTTPProxy == "" {
		config.HTTPProxy = all
		config.CGI = false // a request's Proxy field ends up in HTTP_PROXY alone
	}
	if config.HTTPSProxy == "" {
		config.HTTPSProxy = all
	}
	choose := config.ProxyFunc()
	badHTTP, badHTTPS := malformed(config.HTTPProxy), malformed(config.HTTPSProxy)
	return func(u *url.URL) (*url.URL, error) {
		switch {
		case u.Scheme == "http" && badHTTP:
			return nil, errors.New("HTTP_PROXY or ALL_PROXY in the environment is not a URL")
		case u.Scheme == "https" && badHTTPS:
			return nil, errors.New("HTTPS_PROXY or ALL_PROXY in the environment is not a URL")
		}
		return choose(u)
	}
}

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
