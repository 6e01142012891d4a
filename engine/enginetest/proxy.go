package enginetest

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

func proxyTests() []test {
	const need = engine.HTTPProxy
	return []test{
		{name: "Forward", needs: need, run: proxyForward},
		{name: "ForwardWithBody", needs: need, run: proxyForwardBody},
		{name: "ForwardAuthorization", needs: need, run: proxyForwardAuth},
		{name: "ForwardHost", needs: need, run: proxyForwardHost},
		{name: "ForwardErrorStatus", needs: need, run: proxyForwardStatus},
		{name: "Tunnel", needs: need | engine.TLSConfig, run: proxyTunnel},
		{name: "TunnelAuthorization", needs: need | engine.TLSConfig, run: proxyTunnelAuth},
		{name: "TunnelAuthorizationField", needs: need | engine.TLSConfig, run: proxyTunnelField},
		{name: "TunnelRefused", needs: need, run: proxyRefused},
		{name: "UpgradeByTunnel", needs: need | engine.Upgrade, run: proxyUpgrade},
		{name: "TunnelBadAnswers", needs: need, run: proxyBadAnswers},
		{name: "TunnelVerifiesHost", needs: need | engine.TLSConfig, run: proxyVerifies},
		{name: "ForwardAuthorizationField", needs: need, run: proxyForwardField},
		{name: "FieldIsForProxies", needs: engine.SOCKS5Proxy, run: proxyField},
		{name: "Unusable", needs: need, run: proxyUnusable},
		{name: "ProxySilent", needs: need | engine.RequestTimeout, run: proxySilent},
		{name: "ProxyDown", needs: need, run: proxyDown},
		{name: "FuncFails", needs: need, run: proxyFuncFails},
		{name: "FuncSeesURL", needs: need, run: proxyFuncURL},
		{name: "HTTPSProxy", needs: engine.HTTPSProxy | engine.TLSConfig, run: proxyHTTPS},
		{name: "SOCKS5", needs: engine.SOCKS5Proxy, run: proxySOCKS5},
		{name: "SOCKS5Auth", needs: engine.SOCKS5Proxy, run: proxySOCKS5Auth},
		{name: "SOCKS5WrongPassword", needs: engine.SOCKS5Proxy, run: proxySOCKS5Wrong},
		{name: "SOCKS5Refused", needs: engine.SOCKS5Proxy, run: proxySOCKS5Refused},
		{name: "SOCKS5hKeepsTheName", needs: engine.SOCKS5Proxy, run: proxySOCKS5h},
		{name: "SOCKS5TLS", needs: engine.SOCKS5Proxy | engine.TLSConfig, run: proxySOCKS5TLS},
		{name: "SOCKS4", needs: engine.SOCKS4Proxy, run: proxySOCKS4},
		{name: "RequestProxy", needs: need | engine.RequestProxy, run: proxyRequest},
		{name: "RequestNoProxy", needs: need | engine.RequestProxy, run: proxyRequestNone},
		{name: "Environment", needs: need, run: proxyEnvironment},
		{name: "ExplicitBeatsEnvironment", needs: need, run: proxyExplicit},
		{name: "NoProxyBeatsEnvironment", needs: need, run: proxyNone},
	}
}

func through(proxy *url.URL) func(*engine.Config) {
	return func(c *engine.Config) { c.Proxy = engine.FixedProxy(proxy) }
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func proxyForward(t *T) {
	p := t.httpProxy()
	e := t.engine(through(p.proxyURL("http", "", "")))
	for range 2 {
		t.get(e, "http://origin.test:81/a?b=%20c#d", 200, "forwarded GET http://origin.test:81/a?b=%20c ")
		r := within(t, "the proxy", p.asked)
		t.wantHost(r, "origin.test:81")
		if r.Fields.Has("Proxy-Authorization") {
			t.Error("Proxy-Authorization without credentials")
		}
	}
	t.get(e, "http://origin.test", 200, "forwarded GET http://origin.test/ ")
	t.wantHost(within(t, "the proxy", p.asked), "origin.test")
	t.get(e, "http://other.test/x", 200, "forwarded GET http://other.test/x ")
}

func proxyForwardBody(t *T) {
	p := t.httpProxy()
	e := t.engine(through(p.proxyURL("http", "", "")))
	t.want(e, t.post("http://origin.test/p", stream("body")), 200, "forwarded POST http://origin.test/p body")
	t.want(e, t.post("http://origin.test/p", inMemory("body")), 200, "forwarded POST http://origin.test/p body")
}

func proxyForwardAuth(t *T) {
	p := t.httpProxy()
	e := t.engine(through(p.proxyURL("http", "ada", "s3:cret")))
	t.get(e, "http://origin.test/", 200, "forwarded GET http://origin.test/ ")
	if got := within(t, "the proxy", p.asked).Fields.Values("Proxy-Authorization"); len(got) != 1 || got[0] != basic("ada", "s3:cret") {
		t.Errorf("Proxy-Authorization %q", got)
	}
}

// proxyForwardHost: a proxy that forwards goes by the URL, whatever Host says
// (RFC 9112 §3.2.2). Where that names another origin the proxy is asked for a
// tunnel, so that it reaches the server of the URL.
func proxyForwardHost(t *T) {
	p := t.httpProxy()
	s, requests := t.record()
	e := t.engine(through(p.proxyURL("http", "", "")))
	got := t.sent(e, requests, t.request("GET", s.URL+"/x", "Host", "other.test"))
	t.wantHost(got, "other.test")
	if got.Line != "GET /x HTTP/1.1" {
		t.Errorf("the origin got %q", got.Line)
	}
	if r := within(t, "the proxy", p.asked); r.Line != "CONNECT "+s.Addr+" HTTP/1.1" {
		t.Errorf("the proxy got %q", r.Line)
	}
	t.want(e, t.request("GET", "http://origin.test/", "Host", "origin.test"), 200, "forwarded GET http://origin.test/ ")
}

// proxyField: Proxy-Authorization is for a proxy that forwards. An origin must not
// see it (RFC 9110 §11.7.2).
func proxyField(t *T) {
	s, requests := t.record()
	socks := t.socks5("", "", 0)
	for name, e := range map[string]engine.Engine{"direct": t.engine(), "SOCKS": t.engine(through(socks.proxyURL("socks5", "", "")))} {
		got := t.sent(e, requests, t.request("GET", s.URL, "Proxy-Authorization", "Bearer x", "X-Other", "y"))
		if got.Fields.Has("Proxy-Authorization") || got.Fields.Get("X-Other") != "y" {
			t.Errorf("%s: the origin got %q", name, got.Fields)
		}
	}
}

// proxyForwardField: credentials that a request brings go before the URL's.
func proxyForwardField(t *T) {
	p := t.httpProxy()
	t.want(t.engine(through(p.proxyURL("http", "ada", "pw"))), t.request("GET", "http://origin.test/", "Proxy-Authorization", "Bearer x"),
		200, "forwarded GET http://origin.test/ ")
	if got := within(t, "the proxy", p.asked).Fields.Values("Proxy-Authorization"); len(got) != 1 || got[0] != "Bearer x" {
		t.Errorf("Proxy-Authorization %q: the request's own goes before the URL's, and alone", got)
	}
}

// proxyUnusable: a proxy's URL that cannot be right is refused.
func proxyUnusable(t *T) {
	for _, u := range []*url.URL{
		{Scheme: "http", Host: ":3128"}, {Scheme: "http", Host: "p.test:99999"}, {Scheme: "http", Host: "h\r\nX: y"}, {Scheme: "ftp", Host: "p.test"},
	} {
		for _, target := range []string{"http://origin.test/", "https://origin.test/"} {
			err := t.fails(t.engine(through(u)), t.request("GET", target))
			t.wantOp(err, engine.OpProxy)
		}
	}
}

// tunnelled sends a request with fields to an origin behind a tunnel. The proxy
// must get the credentials ada:pw, from its URL or from the fields, and the origin
// not.
func (t *T) tunnelled(user, password string, fields ...string) (e engine.Engine, req *engine.Request, asked *received) {
	t.Helper()
	ca := t.authority()
	p := t.httpProxy()
	leaked := make(chan bool, 1)
	s := t.scriptTLS(ca.serverConfig(), func(c *conn) {
		leaked <- c.request().Fields.Has("Proxy-Authorization")
		c.respond("secret")
	})
	e = t.engine(ca.trust(), through(p.proxyURL("http", user, password)))
	req = t.request("GET", s.URL, fields...)
	t.want(e, req, 200, "secret")
	asked = within(t, "the proxy", p.asked)
	if got := asked.Fields.Get("Proxy-Authorization"); got != basic("ada", "pw") {
		t.Errorf("Proxy-Authorization %q", got)
	}
	if within(t, "the origin", leaked) {
		t.Error("the origin got the proxy's credentials")
	}
	return e, req, asked
}

func proxyTunnelAuth(t *T) {
	_, _, asked := t.tunnelled("ada", "pw", "X-Private", "1")
	if asked.Fields.Has("X-Private") {
		t.Error("a field of the request was shown to the proxy")
	}
}

// proxyTunnelField: credentials that a request brings for the proxy are not for
// the origin (RFC 9110 §11.7.2).
func proxyTunnelField(t *T) {
	e, req, _ := t.tunnelled("", "", "Proxy-Authorization", basic("ada", "pw"))
	if got := req.Header.Get("Proxy-Authorization"); got != basic("ada", "pw") {
		t.Errorf("the request's own field is %q now", got)
	}
	t.fails(e, t.request("GET", req.URL.String(), "Proxy-Authorization", "Negotiate x"))
}

// proxyUpgrade: what follows on an upgrade is nothing that a proxy could forward
// (RFC 6455 §4.1).
func proxyUpgrade(t *T) {
	p := t.httpProxy()
	s := t.script(echoRaw("websocket"))
	e := t.engine(through(p.proxyURL("http", "", "")))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	if r := within(t, "the proxy", p.asked); r.Line != "CONNECT "+s.Addr+" HTTP/1.1" {
		t.Errorf("the proxy got %q", r.Line)
	}
	t.echoed(rw)
	rw.Close()
	// Without an upgrade it is asked to forward, by a connection of its own.
	t.get(e, "http://origin.test/", 200, "forwarded GET http://origin.test/ ")
}

// proxyForwardStatus: what a forwarding proxy answers is the response.
func proxyForwardStatus(t *T) {
	s := t.answers("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 2\r\n\r\nno")
	e := t.engine(through(&url.URL{Scheme: "http", Host: s.Addr}))
	resp := t.get(e, "http://origin.test/", 407, "no")
	if got := resp.Header.Get("Proxy-Authenticate"); got != "Basic realm=x" {
		t.Errorf("Proxy-Authenticate %q", got)
	}
}

func proxyTunnel(t *T) {
	ca := t.authority()
	s, p := t.secure(ca.valid(), "secret"), t.httpProxy()
	e := t.engine(ca.trust(), through(p.proxyURL("http", "", "")))
	for range 3 {
		t.get(e, s.URL, 200, "secret")
	}
	r := within(t, "the proxy", p.asked)
	if r.Line != "CONNECT "+s.Addr+" HTTP/1.1" {
		t.Errorf("the proxy got %q", r.Line)
	}
	t.wantHost(r, s.Addr)
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d tunnels for requests in sequence, want 1", n)
	}
}

// proxyFails checks that a proxy that does not help is an error of Op proxy.
func (t *T) proxyFails(e engine.Engine, target string) error {
	t.Helper()
	b := replayable("x")
	var err error
	t.quick("a request through a bad proxy", func() { _, err = t.execute(e, t.post(target, b)) })
	if err == nil {
		t.Fatal("no error")
	}
	if oe := t.wantOp(err, engine.OpProxy); oe.Sent {
		t.Error("Sent is true")
	}
	b.wantClosedOnce(t)
	return err
}

// wantProxyError checks that err blames the proxy at addr.
func (t *T) wantProxyError(err error, addr string) *engine.ProxyError {
	t.Helper()
	e, ok := errors.AsType[*engine.ProxyError](err)
	if !ok || !strings.HasSuffix(e.Proxy, "://"+addr) {
		t.Fatalf("error %v (%T), want an *engine.ProxyError of %s", err, err, addr)
	}
	return e
}

func proxyRefused(t *T) {
	for _, status := range []string{"403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway", "302 Found"} {
		s := t.answers("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\nLocation: /x\r\n\r\nno")
		err := t.proxyFails(t.engine(through(&url.URL{Scheme: "http", Host: s.Addr})), "https://origin.test/")
		if !strings.Contains(err.Error(), status[:3]) {
			t.Errorf("error %q does not tell the status %s", err, status)
		}
		refusal := t.wantProxyError(err, s.Addr)
		if strconv.Itoa(refusal.Status) != status[:3] || refusal.Header.Get("Location") != "/x" {
			t.Errorf("Status %d, Header %q", refusal.Status, refusal.Header)
		}
		s.WaitClosed(t)
	}
}

func proxyBadAnswers(t *T) {
	for _, answer := range []string{"", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A", "SSH-2.0-x\r\n"} {
		s := t.raw(answer)
		t.proxyFails(t.engine(through(&url.URL{Scheme: "http", Host: s.Addr})), "https://origin.test/")
	}
}

func proxyVerifies(t *T) {
	ca := t.authority()
	s, p := t.secure(ca.valid(), "secret"), t.httpProxy()
	e := t.engine(ca.trust(), through(p.proxyURL("http", "", "")))
	_, port, _ := strings.Cut(s.Addr, ":")
	t.get(e, "https://example.test:"+port, 200, "secret")
	_, err := t.execute(e, t.request("GET", "https://wrong.test:"+port))
	t.wantOp(err, engine.OpTLS)
}

func proxyDown(t *T) {
	for _, target := range []string{"http://origin.test/", "https://origin.test/"} {
		proxy := &url.URL{Scheme: "http", Host: t.refusing(), User: url.UserPassword("ada", "pa55word")}
		_, err := t.execute(t.engine(through(proxy)), t.request("GET", target))
		if oe := t.wantOp(err, engine.OpConnect, engine.OpProxy); oe.Sent {
			t.Error("Sent is true")
		}
		t.wantProxyError(err, proxy.Host)
		if strings.Contains(err.Error(), "pa55word") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// proxySilent: a timeout while the proxy does not answer is told to be the proxy's,
// also to those who wait for a connection that another makes.
func proxySilent(t *T) {
	s := t.silent("")
	e := t.engine(through(&url.URL{Scheme: "http", Host: s.Addr}))
	t.wantProxyError(t.timesOut(e, t.deadline("https://origin.test/"), engine.KindRequest), s.Addr)
	var all []<-chan result
	for range 4 {
		all = append(all, t.startReading(e, t.deadline("https://origin.test/")))
	}
	for _, done := range all {
		err := within(t, "a request with a timeout", done).err
		t.wantTimeout(err, engine.KindRequest)
		t.wantOp(err, engine.OpConnect, engine.OpProxy)
		t.wantProxyError(err, s.Addr)
	}
}

func proxyFuncFails(t *T) {
	refusal := errors.New("no proxy today")
	e := t.engine(func(c *engine.Config) { c.Proxy = func(*url.URL) (*url.URL, error) { return nil, refusal } })
	s := t.respond("unused")
	t.wantIs(t.proxyFails(e, s.URL), refusal)
	if s.Accepted() > 0 {
		t.Error("the request was sent")
	}
}

func proxyFuncURL(t *T) {
	asked := make(chan string, 4)
	s := t.respond("direct")
	e := t.engine(func(c *engine.Config) {
		c.Proxy = func(u *url.URL) (*url.URL, error) { asked <- u.Scheme + "://" + u.Host; return nil, nil }
	})
	t.get(e, s.URL+"/x", 200, "direct")
	if got := within(t, "the proxy function", asked); got != s.URL {
		t.Errorf("the function was asked for %s, want %s", got, s.URL)
	}
}

func proxyHTTPS(t *T) {
	ca := t.authority()
	p, s := t.httpsProxy(ca.valid()), t.secure(ca.valid(), "secret")
	e := t.engine(ca.trust(), through(p.proxyURL("https", "ada", "pw")))
	t.get(e, "http://origin.test/", 200, "forwarded GET http://origin.test/ ")
	if got := within(t, "the proxy", p.asked).Fields.Get("Proxy-Authorization"); got != basic("ada", "pw") {
		t.Errorf("Proxy-Authorization %q", got)
	}
	t.get(e, s.URL, 200, "secret")
	if r := within(t, "the proxy", p.asked); r.Method != "CONNECT" {
		t.Errorf("the proxy got %q", r.Line)
	}
}

func proxySOCKS5(t *T) {
	p, s := t.socks5("", "", 0), t.respond("ok")
	e := t.engine(through(p.proxyURL("socks5", "", "")))
	for range 3 {
		t.get(e, s.URL, 200, "ok")
	}
	if r := within(t, "the proxy", p.asked); r.Target != s.Addr {
		t.Errorf("the proxy was asked for %s, want %s", r.Target, s.Addr)
	}
	if n := p.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func proxySOCKS5Auth(t *T) {
	p, s := t.socks5("ada", "pw", 0), t.respond("ok")
	t.get(t.engine(through(p.proxyURL("socks5", "ada", "pw"))), s.URL, 200, "ok")
}

func proxySOCKS5Wrong(t *T) {
	p, s := t.socks5("ada", "pw", 0), t.respond("ok")
	err := t.proxyFails(t.engine(through(p.proxyURL("socks5", "ada", "pa55word"))), s.URL)
	if strings.Contains(err.Error(), "pa55word") {
		t.Errorf("the error shows the password: %v", err)
	}
	t.proxyFails(t.engine(through(p.proxyURL("socks5", "", ""))), s.URL)
	p.WaitClosed(t)
}

func proxySOCKS5Refused(t *T) {
	s := t.respond("ok")
	for _, code := range []byte{1, 2, 4, 5, 200} {
		p := t.socks5("", "", code)
		t.wantProxyError(t.proxyFails(t.engine(through(p.proxyURL("socks5", "", ""))), s.URL), p.Addr)
		p.WaitClosed(t)
	}
}

func proxySOCKS5h(t *T) {
	p, s := t.socks5("", "", 0), t.respond("ok")
	_, port, _ := strings.Cut(s.Addr, ":")
	e := t.engine(through(p.proxyURL("socks5h", "", "")))
	t.get(e, "http://unresolvable.test:"+port, 200, "ok")
	if r := within(t, "the proxy", p.asked); r.Target != "unresolvable.test:"+port {
		t.Errorf("the proxy was asked for %s", r.Target)
	}
}

func proxySOCKS5TLS(t *T) {
	ca := t.authority()
	p, s := t.socks5("", "", 0), t.secure(ca.valid(), "secret")
	t.get(t.engine(ca.trust(), through(p.proxyURL("socks5", "", ""))), s.URL, 200, "secret")
}

func proxySOCKS4(t *T) {
	p, s := t.socks4(), t.respond("ok")
	t.get(t.engine(through(p.proxyURL("socks4", "", ""))), s.URL, 200, "ok")
	if r := within(t, "the proxy", p.asked); r.Target != s.Addr {
		t.Errorf("the proxy was asked for %s, want %s", r.Target, s.Addr)
	}
	_, port, _ := strings.Cut(s.Addr, ":")
	t.get(t.engine(through(p.proxyURL("socks4a", "", ""))), "http://named.test:"+port, 200, "ok")
	if r := within(t, "the proxy", p.asked); r.Target != "named.test:"+port {
		t.Errorf("the proxy was asked for %s", r.Target)
	}
}

func proxyRequest(t *T) {
	p := t.httpProxy()
	s := t.respond("direct")
	e := t.engine()
	req := t.request("GET", s.URL)
	req.Proxy = engine.FixedProxy(p.proxyURL("http", "", ""))
	t.get(e, s.URL, 200, "direct")
	t.want(e, req, 200, "forwarded GET "+s.URL+"/ ")
	t.get(e, s.URL, 200, "direct")
}

func proxyRequestNone(t *T) {
	p := t.httpProxy()
	s := t.respond("direct")
	e := t.engine(through(p.proxyURL("http", "", "")))
	req := t.request("GET", s.URL)
	req.Proxy = engine.NoProxy
	t.want(e, req, 200, "direct")
	t.get(e, s.URL, 200, "forwarded GET "+s.URL+"/ ")
}

// environ sets the proxy variables for one test.
func (t *T) environ(proxy string) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
}

func proxyEnvironment(t *T) {
	p := t.httpProxy()
	t.environ(p.URL)
	t.Setenv("NO_PROXY", "direct.test")
	t.Setenv("no_proxy", "direct.test")
	e := t.engine(func(c *engine.Config) { c.Proxy = nil })
	t.get(e, "http://origin.test/", 200, "forwarded GET http://origin.test/ ")
	local := t.respond("direct") // the loopback interface is never proxied
	t.get(e, local.URL, 200, "direct")
}

func proxyExplicit(t *T) {
	p := t.httpProxy()
	t.environ("http://" + t.refusing())
	t.get(t.engine(through(p.proxyURL("http", "", ""))), "http://origin.test/", 200, "forwarded GET http://origin.test/ ")
}

func proxyNone(t *T) {
	t.environ("http://" + t.refusing())
	s := t.respond("direct")
	asked := make(chan string, 1)
	if !t.s.caps.Has(engine.CustomDial) {
		t.get(t.engine(), s.URL, 200, "direct")
		return
	}
	t.get(t.engine(t.to(s.Addr, asked)), "http://origin.test/", 200, "direct")
	if addr := within(t, "dial", asked); addr != "origin.test:80" {
		t.Errorf("dialled %s", addr)
	}
}
