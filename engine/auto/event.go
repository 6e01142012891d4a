package auto

import "time"

// Kind tells what an [Event] is about.
type Kind string

// The kinds of events.
const (
	// Chosen: a request goes by Protocol, for Reason. It comes before the request
	// is sent, and again when it is to go otherwise.
	Chosen Kind = "chosen"
	// Learned and Forgotten: the origin has told of the alternative Authority by
	// Alt-Svc, or taken all of them back.
	Learned   Kind = "learned"
	Forgotten Kind = "forgotten"
	// Opened: a QUIC handshake with Authority, which was begun beside a request, is
	// complete. No request's Trace has it.
	Opened Kind = "opened"
	// Failed: Authority did not work, because of Err, and is not tried before
	// Until. Recovered: a request has gone by it again.
	Failed    Kind = "failed"
	Recovered Kind = "recovered"
	// Trouble: the Alt-Svc field was ignored, or Storage failed; Err says why.
	Trouble Kind = "trouble"
)

// The protocols of [Event.Protocol].
const (
	HTTP3 = "HTTP/3"
	TCP   = "TCP" // HTTP/2 or HTTP/1.1, as Response.Proto tells
)

// Reason tells why a request goes by the protocol that it goes by.
type Reason string

// The reasons for HTTP/3.
const (
	Connected Reason = "a connection is open"
	Won       Reason = "the handshake was complete within its head start"
	Demanded  Reason = "the request needs HTTP/3"
	Overtook  Reason = "the handshake was complete before TCP had a connection"
	Rescued   Reason = "TCP could not connect, and the handshake is complete"
)

// The reasons for TCP.
const (
	NotHTTPS       Reason = "the URL is not https"
	NotAvailable   Reason = "connections are opened by a custom dialer, which QUIC would bypass"
	TooOldTLS      Reason = "the configuration allows no TLS 1.3, which QUIC needs"
	Suspected      Reason = "HTTP/3 failed, and TCP shows whether that was the network"
	Proxied        Reason = "a proxy is configured for the request"
	Unsuited       Reason = "the request needs what HTTP/3 does not do here"
	NoAlternative  Reason = "the origin is not known to have HTTP/3"
	MarkedBroken   Reason = "its alternatives failed lately"
	Warm           Reason = "TCP is connected, and the handshake is under way"
	Probing        Reason = "its alternative failed the last time and is tried in the background"
	Late           Reason = "the handshake was not complete within its head start"
	HandshakeError Reason = "the handshake failed"
	Misdirected    Reason = "the alternative answered 421 Misdirected Request"
	Unsent         Reason = "the connection was lost before the request was sent"
	Repeated       Reason = "the connection was lost before an answer came, and the request may be repeated"
)

// Event is something that the engine has done or learnt.
type Event struct {
	Kind Kind
	// Origin is "host:port" of the request's URL.
	Origin string
	// Authority is the alternative, "host:port"; empty if there is none.
	Authority string
	Protocol  string // of Chosen
	Reason    Reason // of Chosen
	Err       error
	Until     time.Time // of Failed
}

func (e *Engine) tell(ev Event) {
	if e.config.OnEvent != nil {
		e.config.OnEvent(ev)
	}
}
