package h1

import (
	"strings"

	"github.com/godwit-go/godwit/header"
)

// facts are what the fields of a head say about framing and the connection.
type facts struct {
	length    int64  // Content-Length, or none or bad
	badLength string // the offending value if length is badLength

	codings   int    // transfer codings listed, "identity" included
	chunked   bool   // the only coding is chunked
	badCoding string // an unknown coding, or one too many

	connClose, connKeepAlive, connUpgrade bool

	keepAliveTimeout int
}

// Values of facts.length that are no length.
const (
	noLength      = -1
	invalidLength = -2
)

func noFacts() facts { return facts{length: noLength, keepAliveTimeout: -1} }

// note takes notice of a field that matters to framing or the connection.
func (f *facts) note(field header.Field) {
	// The lengths let nearly all fields pass without a comparison.
	switch len(field.Name) {
	case len("Connection"): // and Keep-Alive
		if header.EqualFold(field.Name, "Connection") {
			f.noteConnection(field.Value)
		} else if header.EqualFold(field.Name, "Keep-Alive") {
			f.noteKeepAlive(field.Value)
		}
	case len("Content-Length"):
		if header.EqualFold(field.Name, "Content-Length") {
			f.noteLength(field.Value)
		}
	case len("Transfer-Encoding"):
		if header.EqualFold(field.Name, "Transfer-Encoding") {
			f.noteCodings(field.Value)
		}
	}
}

func (f *facts) noteConnection(value string) {
	for token := range strings.SplitSeq(value, ",") {
		switch token = trimBlank(token); {
		case header.EqualFold(token, "close"):
			f.connClose = true
		case header.EqualFold(token, "keep-alive"):
			f.connKeepAlive = true
		case header.EqualFold(token, "upgrade"):
			f.connUpgrade = true
		}
	}
}

func (f *facts) noteKeepAlive(value string) {
	for param := range strings.SplitSeq(value, ",") {
		name, seconds, _ := strings.Cut(trimBlank(param), "=")
		if !header.EqualFold(trimBlank(name), "timeout") {
			continue
		}
		if n, ok := parseLength(trimBlank(seconds)); ok {
			f.keepAliveTimeout = int(min(n, 1<<30))
		}
	}
}

// noteLength accepts a list of equal values (RFC 9110 §8.6).
func (f *facts) noteLength(value string) {
	for one := range strings.SplitSeq(value, ",") {
		n, ok := parseLength(trimBlank(one))
		if !ok || f.length != noLength && f.length != n {
			if f.length != invalidLength {
				f.length, f.badLength = invalidLength, value
			}
			return
		}
		f.length = n
	}
}

func (f *facts) noteCodings(value string) {
	for coding := range strings.SplitSeq(value, ",") {
		coding = trimBlank(coding)
		f.codings++
		switch {
		case header.EqualFold(coding, "chunked") && !f.chunked:
			f.chunked = true
		case header.EqualFold(coding, "identity"):
		case f.badCoding == "":
			f.badCoding = value
		}
	}
	if f.codings > 1 && f.badCoding == "" {
		f.badCoding = value
	}
}

// parseLength reads 1*DIGIT below 2^63.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return int64(n), n < 1<<63
}

// BodyKind tells how a response's body ends.
type BodyKind uint8

// The kinds of bodies.
const (
	BodyNone       BodyKind = iota // there is none
	BodyLength                     // after Framing.Length bytes
	BodyChunked                    // with the last chunk
	BodyUntilClose                 // with the connection
	BodyTunnel                     // it is no body: the connection changes its protocol
)

// Framing tells how a response's body ends and what the connection is good for
// afterwards.
type Framing struct {
	Kind BodyKind
	// Length is the length of a BodyLength.
	Length int64
	// Announced is what Content-Length says, -1 if nothing: for HEAD and 304 the
	// length of a body that is not sent.
	Announced int64
	// KeepAlive tells that the connection persists after the body
	// (RFC 9112 §9.3).
	KeepAlive bool
	// KeepAliveTimeout is the server's hint of how many seconds it keeps an idle
	// connection (Keep-Alive: timeout=5), -1 if it gives none.
	KeepAliveTimeout int
}

// Framing decides by the steps of RFC 9112 §6.3 how the body of the response to
// a request of that method ends. Doubtful framing is a *engine.ProtocolError.
func (h *Head) Framing(method string, limits Limits) (Framing, error) {
	f := Framing{
		Announced:        max(h.length, noLength),
		KeepAlive:        !h.connClose && (h.Minor >= 1 || h.connKeepAlive),
		KeepAliveTimeout: h.keepAliveTimeout,
	}
	doubtful := h.length == invalidLength || h.badCoding != "" || h.codings > 0 && (h.length >= 0 || h.Minor == 0)
	switch {
	case h.Status == 101, method == "CONNECT" && h.Status/100 == 2: // step 2, and RFC 9110 §7.8
		f.Kind = BodyTunnel
		return f, nil
	case method == "HEAD", h.Status == 304: // step 1
		f.KeepAlive = f.KeepAlive && !doubtful
		return f, nil
	case h.Status/100 == 1, h.Status == 204: // step 1; neither may have framing fields
		f.KeepAlive = f.KeepAlive && !doubtful && h.codings == 0
		return f, nil
	}
	if err := h.checkFraming(limits); err != nil {
		return Framing{}, err
	}
	f.KeepAlive = f.KeepAlive && !doubtful
	switch {
	case h.chunked: // steps 3 and 4
		f.Kind, f.Announced = BodyChunked, noLength
	case h.length >= 0: // step 6
		f.Kind, f.Length = BodyLength, h.length
	default: // step 8
		f.Kind, f.KeepAlive = BodyUntilClose, false
	}
	return f, nil
}

// checkFraming refuses framing that two recipients may read differently
// (RFC 9112 §6.1, §6.3 steps 3 to 5).
func (h *Head) checkFraming(limits Limits) error {
	switch {
	case h.length == invalidLength:
		return protocolError("RFC 9112 §6.3", "bad Content-Length: "+quote(h.badLength))
	case h.codings == 0:
		return nil
	case h.badCoding != "":
		return protocolError("RFC 9112 §6.1", "unknown or repeated transfer coding: "+quote(h.badCoding))
	case limits.Lenient:
		return nil
	case !h.chunked:
		return protocolError("RFC 9112 §6.1", `unknown transfer coding: "identity"`)
	case h.length >= 0:
		return protocolError("RFC 9112 §6.3", "both Transfer-Encoding and Content-Length")
	case h.Minor == 0:
		return protocolError("RFC 9112 §6.1", "Transfer-Encoding in an HTTP/1.0 response")
	}
	return nil
}

// UpgradesTo reports whether a 101 switches to protocol: it must name it in
// Upgrade, and Upgrade in Connection (RFC 9110 §7.8).
func (h *Head) UpgradesTo(protocol string) bool {
	return h.connUpgrade && ListHas(h.Header.Joined("Upgrade"), protocol)
}

// ListHas reports whether a comma-separated list of tokens has token, without
// regard to case.
func ListHas(list, token string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if header.EqualFold(trimBlank(one), token) {
			return true
		}
	}
	return false
}
