package exchange

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2"
)

// HandOver gives up an exchange that has failed, or has found no connection, so
// that another protocol carries the request. It reports whether that may be:
// nothing of an answer has come, and the body was not opened or is replayable.
func (x *Exchange) HandOver() bool {
	x.drop()
	return !x.aborted.Load() && !x.answered && (!x.opened || x.req.Body.Replayable())
}

// noProtocol is the alert of a server that knows none of the protocols offered.
const noProtocol = tls.AlertError(120)

// DialHTTP2 is Dial for a dialer that offers HTTP/2 only: by TLS a server that
// does not choose it is an *engine.ProtocolError.
func (x *Exchange) DialHTTP2(d *dial.Dialer, route dial.Route) (*dial.Conn, error) {
	c, err := x.Dial(d, route)
	if refused, ok := errors.AsType[*net.OpError](err); ok && refused.Op == "remote error" && refused.Err.Error() == noProtocol.Error() {
		return nil, &engine.OpError{Op: engine.OpTLS, Err: fmt.Errorf("%w: %w", noHTTP2(route, "it refuses it by ALPN"), refused)}
	}
	if err != nil {
		return nil, err
	}
	if route.TLS && c.Proto != "h2" {
		h2.Discard(c.Conn)
		chose := "no protocol"
		if c.Proto != "" {
			chose = c.Proto
		}
		return nil, &engine.OpError{Op: engine.OpTLS, Err: noHTTP2(route, "by ALPN it chose "+chose)}
	}
	return c, nil
}

func noHTTP2(route dial.Route, why string) error {
	return &engine.ProtocolError{Reason: route.Addr + " does not speak HTTP/2: " + why, Section: "RFC 9113 §3.2"}
}
