package nethttp

import (
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
)

// special is what net/http cannot have in one transport: HTTP/1.1 only for
// upgrades, connections to different sockets for one host, and proxies. All that
// is said to a proxy is said by package dial, so that proxies are the same on
// every engine, and a transport of their own keeps their connections apart:
// net/http alone would send a request for one proxy on an HTTP/2 connection that
// goes by another one, or by none.
type special struct {
	http1 bool
	unix  string
	proxy string // as in dial.Route
	// forward tells that the proxy forwards requests. net/http must know then
	// that there is one, to write the absolute-form.
	forward bool
}

// specialTransport is the transport of a special.
type specialTransport struct {
	*http.Transport
	used uint64 // when, in uses of the engine
}

// maxSpecial bounds the transports that are kept beside the main one: there are
// programs with a proxy user for each of their sessions.
const maxSpecial = 100

func (e *Engine) transportFor(route special) *http.Transport {
	if route == (special{}) {
		return e.main
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.uses++
	s := e.special[route]
	if s == nil {
		if len(e.special) >= maxSpecial {
			e.forgetOldest()
		}
		if e.special == nil {
			e.special = make(map[special]*specialTransport)
		}
		s = &specialTransport{Transport: e.transport(route)}
		e.special[route] = s
	}
	s.used = e.uses
	return s.Transport
}

// forgetOldest forgets the transport that was not used for longest. Requests that
// run on it go on. Of its connections those that are idle now are closed, and
// others are by closeIdle, which finds them by live. e.mu is held.
func (e *Engine) forgetOldest() {
	var oldest special
	first := e.uses
	for route, s := range e.special {
		if s.used < first {
			oldest, first = route, s.used
		}
	}
	e.special[oldest].CloseIdleConnections()
	delete(e.special, oldest)
}

const proxyField = "Proxy-Authorization"

// routed chooses the proxy of r, which is x's if x is not nil. It returns r
// as that proxy or the origin is to have it: credentials for a proxy are for no
// other reader (RFC 9110 §11.7.2).
func (e *Engine) routed(r *http.Request, x *exchange) (*http.Request, special, error) {
	if e.main.Proxy != nil { // CustomizeTransport has set its own
		if x != nil {
			x.takes(nil, r.URL.Scheme == "https")
		}
		return r, e.direct(r, x), nil
	}
	asked := &engine.Request{Method: r.Method, URL: r.URL}
	if r.Host != "" && r.Host != h1.Authority(r.URL) {
		asked.Header.Add("Host", r.Host)
	}
	asked.Header.AddAll(proxyField, r.Header[proxyField]...)
	if x != nil {
		asked.Proxy, asked.UnixSocket, asked.Protocol = x.req.Proxy, x.req.UnixSocket, x.req.Protocol
	}
	route, err := e.dialer.Route(asked)
	if err != nil {
		return nil, special{}, err
	}
	to := e.direct(r, x)
	to.proxy, to.forward = route.Proxy, route.Forwards()
	var proxy *url.URL
	if route.Proxy != "" {
		if proxy, err = url.Parse(route.Proxy); err != nil { // err shows the credentials
			return nil, special{}, &engine.OpError{Op: engine.OpProxy, Err: errProxyURL}
		}
	}
	if x != nil {
		x.takes(proxy, route.TLS)
	}
	return addressed(r, proxy, to.forward), to, nil
}

// direct returns r's way without a proxy.
func (e *Engine) direct(r *http.Request, x *exchange) special {
	if x == nil {
		return special{}
	}
	return special{unix: x.req.UnixSocket, http1: e.mustStayHTTP1(r, x.req.Protocol)}
}

// addressed returns r as its reader is to have it.
func addressed(r *http.Request, proxy *url.URL, forward bool) *http.Request {
	_, authorized := r.Header[proxyField]
	options := forward && r.Method == http.MethodOptions && (r.URL.Path == "" || r.URL.Path == "*") && r.URL.RawQuery == ""
	add := forward && !authorized && proxy.User != nil
	if !options && !add && (forward || !authorized) {
		return r
	}
	r = r.WithContext(r.Context()) // a copy
	if options {
		u := *r.URL
		u.Opaque = "//" + u.Host // the last proxy makes it "*" (RFC 9112 §3.2.4)
		r.URL = &u
	}
	r.Header = r.Header.Clone()
	switch {
	case add:
		password, _ := proxy.User.Password()
		r.Header.Set(proxyField, "Basic "+base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)))
	case !forward:
		r.Header.Del(proxyField)
	}
	return r
}
