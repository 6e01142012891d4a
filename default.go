package godwit

import (
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// builtinName is the name of the built-in interceptors in their phases.
const builtinName = "godwit"

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
	wireMarks, fieldMarks                         mark          // of the settings that change wire, and the plain fields
	plain                                         header.Header // of requests without fields of their own
	plainDecodes                                  bool
	plainOK                                       int // so many of them are known to be sendable
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
	b.wireMarks = b.pool.mark | b.connect.mark | b.header.mark | b.idle.mark | b.attempt.mark | b.toHead.mark |
		b.noStale.mark | b.rawHead.mark | b.proxy.mark | b.unix.mark | b.trace.mark | b.upgrade.mark
	b.fieldMarks = b.decompress.mark | b.acceptCharsets.mark | b.upgrade.mark
	b.makePlain(s.client)

	s.name = builtinName
	for at, l := range map[CallPhase]layer{
		CallBefore: b.lifecycle, callDefaults: b.merge, CallTransformDefault: b.transform, CallSend: b.save,
	} {
		s.note(s.call.Wrap(at, s.name, l))
	}
	for at, l := range map[SendPhase]layer{
		SendFollow: b.redirect, sendGuard: b.guard, SendBody: b.layers, SendDecode: b.decodeBody,
	} {
		s.note(s.send.Wrap(at, s.name, l))
	}
	s.note(s.decode.Intercept(DecodeParse, s.name, b.parse))
	s.note(s.decode.Intercept(decodeDefault, s.name, b.decodeByCodec))
}
