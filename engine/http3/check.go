package http3

import (
	"fmt"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/outgoing"
)

// check refuses a request that cannot be sent, before there is a connection. The
// rules for fields are those of HTTP/2 (RFC 9114 §4.2, RFC 9113 §8.2).
func check(req *engine.Request) error {
	if req.Protocol == "" && req.Header.Has("Upgrade") {
		return &engine.UnsupportedError{Engine: name, Capability: engine.HTTP1,
			Detail: fmt.Sprintf("the field Upgrade belongs to it; ask for %.40q by Request.Protocol", req.Header.Get("Upgrade"))}
	}
	head := h2.RequestHead{Method: req.Method, Authority: req.URL.Host, Protocol: req.Protocol, Header: req.Header}
	if host, ok := req.Header.Lookup("Host"); ok {
		head.Authority = host
	}
	if trailer := outgoing.TrailerOf(req); trailer != nil {
		for name := range trailer.Fields {
			head.TrailerNames = append(head.TrailerNames, name)
		}
	}
	if err := head.Check(); err != nil {
		return &engine.OpError{Op: engine.OpBuild, Err: err}
	}
	return nil
}
