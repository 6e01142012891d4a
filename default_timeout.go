package godwit

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// NoTimeout in place of a timeout means: none.
const NoTimeout = engine.NoTimeout

const defaultMaxBody = 32 << 20

func timeoutSetting(name string) *Setting[time.Duration] {
	return NewSetting[time.Duration](name, 0).Check(func(d time.Duration) error {
		if d <= 0 {
			return fmt.Errorf("%s(%v): a timeout is more than zero; NoTimeout means none", name, d)
		}
		return nil
	})
}

var (
	requestTimeout = timeoutSetting("Timeout")
	attemptTimeout = timeoutSetting("AttemptTimeout")
	poolTimeout    = timeoutSetting("PoolTimeout")
	connectTimeout = timeoutSetting("ConnectTimeout")
	headerTimeout  = timeoutSetting("HeaderTimeout")
	idleTimeout    = timeoutSetting("IdleTimeout")
	timeoutToHead  = NewSetting("TimeoutToHead", false)
)

// Timeout limits a whole call, from the start to the end of the body, over all
// redirects and attempts; for Stream and Open until the body is closed. The
// default is none. It must be more than zero; [NoTimeout] lifts a client's.
func Timeout(d time.Duration) Option { return requestTimeout.Set(d) }

// AttemptTimeout limits each single send, to the end of its body.
func AttemptTimeout(d time.Duration) Option { return attemptTimeout.Set(d) }

// PoolTimeout limits the wait for a connection when the engine's limits are
// reached; the default is the engine's.
func PoolTimeout(d time.Duration) Option { return poolTimeout.Set(d) }

// ConnectTimeout limits the making of a connection: name lookup, TCP, proxy,
// TLS; the default is the engine's.
func ConnectTimeout(d time.Duration) Option { return connectTimeout.Set(d) }

// HeaderTimeout limits the time from the end of the request to the head of the
// response; the default is the engine's.
func HeaderTimeout(d time.Duration) Option { return headerTimeout.Set(d) }

// IdleTimeout limits the pause between two bytes, in both directions; the
// default is the engine's.
func IdleTimeout(d time.Duration) Option { return idleTimeout.Set(d) }

// TimeoutToHead makes Timeout and AttemptTimeout end when the head of the
// response is there: for streams that live long.
func TimeoutToHead() Option { return timeoutToHead.Set(true) }

var (
	maxBodySetting = NewSetting[int64]("MaxBody", defaultMaxBody).Check(func(n int64) error {
		if n <= 0 {
			return fmt.Errorf("MaxBody(%d): the limit is more than zero", n)
		}
		return nil
	})
	maxSends = NewSetting("MaxSends", 20).Check(func(n int) error {
		if n <= 0 {
			return fmt.Errorf("MaxSends(%d): the limit is more than zero", n)
		}
		return nil
	})
	dropBody     = NewSetting("DropBody", false)
	noStaleRetry = NewSetting("NoStaleRetry", false)
	wantRawHead  = NewSetting("RawHead", false)
	proxySetting = NewSetting[engine.ProxyFunc]("Proxy", nil)
	unixSocket   = NewSetting("UnixSocket", "")
	traceSetting = NewSetting[*engine.Trace]("Trace", nil)
	upgradeTo    = NewSetting("Upgrade", "")
)

// MaxBody limits the size of a buffered body, after decoding; the default is 32
// MiB. Over it the call fails with [ErrBodyTooLarge]. Stream and Open have no
// such limit.
func MaxBody(n int64) Option { return maxBodySetting.Set(n) }

// MaxSends limits how many requests one call sends, redirects and retries
// included; the default is 20. Over it the call fails with [ErrTooManySends].
func MaxSends(n int) Option { return maxSends.Set(n) }

// DropBody discards the body of the response unread; what the caller gets is
// empty. The connection is used again if little was left.
func DropBody() Option { return dropBody.Set(true) }

// NoStaleRetry forbids the engine to send a request again by itself when a
// connection that it used again turns out to be dead.
func NoStaleRetry() Option { return noStaleRetry.Set(true) }

// RawHead asks for the bytes of the response's head: [Response.RawHead].
func RawHead() Option { return wantRawHead.Set(true) }

// Proxy sends by a proxy, "http://user:password@host:port" or with scheme https,
// socks4, socks4a, socks5, socks5h; "" or "direct" means none. It goes before
// the engine's configuration and the environment.
func Proxy(proxy string) Option {
	if proxy == "" || proxy == "direct" {
		return ProxyBy(engine.NoProxy)
	}
	u, err := url.Parse(proxy)
	switch {
	case err != nil:
		return failing(fmt.Errorf("Proxy: %q is no URL", redactRaw(proxy)))
	case u.Host == "":
		return failing(fmt.Errorf("Proxy: %q has no host; write it as http://host:port", redactRaw(proxy)))
	}
	return ProxyBy(engine.FixedProxy(u))
}

// ProxyBy chooses a proxy by the request's URL.
func ProxyBy(choose engine.ProxyFunc) Option { return proxySetting.Set(choose) }

// UnixSocket connects to a unix socket in place of the URL's host.
func UnixSocket(path string) Option { return unixSocket.Set(path) }

// Trace shows the engine's events of each send: connections, DNS, TLS, 1xx
// responses.
func Trace(t *engine.Trace) Option { return traceSetting.Set(t) }

// Upgrade asks the server to switch to another protocol (RFC 9110 §7.8); use it
// with Open: [Response.Upgraded] is the raw connection if the server agreed.
// Timeout ends with the head.
func Upgrade(protocol string) Option { return All(upgradeTo.Set(protocol), TimeoutToHead()) }

// deadline is the end of one attempt.
type deadline struct {
	at    time.Time
	limit time.Duration
}

// limitAttempt gives each attempt its own deadline, which the engine keeps.
func (b *builtins) limitAttempt(ctx context.Context, req *Request, next Handler) (*Response, error) {
	limit := b.attempt.For(req)
	if !engine.Limited(limit) {
		return next(ctx, req)
	}
	req = req.Clone()
	req.attempt = deadline{time.Now().Add(limit), limit}
	return next(ctx, req)
}

// wireSettings are the settings that engines understand, in their form.
type wireSettings struct {
	timeouts                       engine.Timeouts
	headOnly, noStale, wantRawHead bool
	proxy                          engine.ProxyFunc
	unixSocket, protocol           string
	trace                          *engine.Trace
	needs                          engine.Capabilities
}

// fill copies them: the client's as a whole unless the request has its own.
func (b *builtins) fill(w *engine.Request, req *Request) {
	s := &b.wire
	if !req.settings.Empty() {
		own := b.wireSettings(req)
		s = &own
	}
	w.Timeouts, w.HeadOnly, w.NoStaleRetry, w.WantRawHead = s.timeouts, s.headOnly, s.noStale, s.wantRawHead
	w.Proxy, w.UnixSocket, w.Trace, w.Protocol = s.proxy, s.unixSocket, s.trace, s.protocol
	w.Needs |= s.needs
	if w.Header.Has("Expect") {
		w.Needs |= engine.ExpectContinue
	}
}

func (b *builtins) wireSettings(req *Request) (s wireSettings) {
	s.timeouts = engine.Timeouts{
		Pool: b.pool.For(req), Connect: b.connect.For(req), Header: b.header.For(req), Idle: b.idle.For(req),
	}
	s.headOnly, s.noStale, s.wantRawHead = b.toHead.For(req), b.noStale.For(req), b.rawHead.For(req)
	s.proxy, s.unixSocket, s.trace, s.protocol = b.proxy.For(req), b.unix.For(req), b.trace.For(req), b.upgrade.For(req)
	need := func(when bool, c engine.Capabilities) {
		if when {
			s.needs |= c
		}
	}
	need(engine.Limited(s.timeouts.Pool), engine.PoolTimeout)
	need(engine.Limited(s.timeouts.Connect), engine.ConnectTimeout)
	need(engine.Limited(s.timeouts.Header), engine.HeaderTimeout)
	need(engine.Limited(s.timeouts.Idle), engine.IdleTimeout)
	need(engine.Limited(b.attempt.For(req)), engine.RequestTimeout)
	need(s.noStale, engine.NoStaleRetry)
	need(s.wantRawHead, engine.RawHead)
	need(s.proxy != nil, engine.RequestProxy)
	need(s.unixSocket != "", engine.UnixSocket)
	need(s.protocol != "", engine.Upgrade)
	need(s.trace != nil && s.trace.Informational != nil, engine.Informational)
	return s
}

// builtins are the client's settings for what is always there.
type builtins struct {
	timeout, attempt, pool, connect, header, idle Value[time.Duration]
	toHead, dropBody, noStale, rawHead            Value[bool]
	maxBody                                       Value[int64]
	maxSends, maxRedirects                        Value[int]
	proxy                                         Value[engine.ProxyFunc]
	unix, upgrade                                 Value[string]
	trace                                         Value[*engine.Trace]
	follow, downgrade, decompress, anyType        Value[bool]
	removeBOM, timed                              Value[bool]
	expect                                        Value[expectation]
	charsets                                      Value[charsets]
	acceptCharsets                                Value[[]weightedCharset]
	onUpload, onDownload                          Value[ProgressFunc]
	decodeRatio                                   Value[int64]
	wire                                          wireSettings
	validators                                    []Validator
	defaults                                      *Request
}

func (b *builtins) install(s *Scope) {
	settings := &s.config.settings
	b.timeout, b.attempt = requestTimeout.capture(settings), attemptTimeout.capture(settings)
	b.pool, b.connect = poolTimeout.capture(settings), connectTimeout.capture(settings)
	b.header, b.idle = headerTimeout.capture(settings), idleTimeout.capture(settings)
	b.toHead, b.dropBody = timeoutToHead.capture(settings), dropBody.capture(settings)
	b.noStale, b.rawHead = noStaleRetry.capture(settings), wantRawHead.capture(settings)
	b.maxBody, b.maxSends = maxBodySetting.capture(settings), maxSends.capture(settings)
	b.maxRedirects, b.proxy = maxRedirects.capture(settings), proxySetting.capture(settings)
	b.unix, b.upgrade, b.trace = unixSocket.capture(settings), upgradeTo.capture(settings), traceSetting.capture(settings)
	b.follow, b.downgrade = followRedirects.capture(settings), allowDowngrade.capture(settings)
	b.decompress, b.anyType = decompress.capture(settings), anyContentType.capture(settings)
	b.removeBOM, b.expect = removeBOM.capture(settings), expectSuccess.capture(settings)
	b.charsets, b.acceptCharsets = defaultCharset.capture(settings), acceptCharset.capture(settings)
	b.onUpload, b.onDownload = uploadProgress.capture(settings), downloadProgress.capture(settings)
	b.decodeRatio, b.timed = maxDecodeRatio.capture(settings), timedSetting.capture(settings)
	b.validators = s.config.defaults.extras().validators
	s.client.handlers = append(s.client.handlers, s.config.defaults.extras().errorHandlers...)
	b.defaults = &s.config.defaults
	b.wire = b.wireSettings(new(Request))

	s.name = "godwit"
	s.InterceptCall(CallBefore, b.lifecycle)
	s.InterceptCall(callDefaults, b.merge)
	s.InterceptCall(CallTransformDefault, b.transform)
	s.InterceptCall(CallRender, b.render)
	s.InterceptCall(CallSend, b.save)
	s.Intercept(SendFollow, b.redirect)
	s.Intercept(sendGuard, b.guard)
	s.Intercept(SendAttempt, b.limitAttempt)
	s.Intercept(SendProgress, b.countDownload)
	s.Intercept(SendBOM, b.stripBOM)
	s.Intercept(SendDecode, b.decodeBody)
	s.InterceptDecode(DecodeParse, b.parse)
	s.InterceptDecode(decodeDefault, b.decodeByCodec)
}
