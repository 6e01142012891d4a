package auto_test

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
)

// TestKeepAliveNegative: a connection lives for its first request.
func TestKeepAliveNegative(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	e, told := newEngine(t, auto.Config{HeadStart: long, HTTP3: http3.Config{KeepAlive: -1}, Storage: knows(o.Port, a.Port)})
	for range 2 {
		wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	}
}

// TestSecondCandidate: a probe of the first alternative does not hide the second.
func TestSecondCandidate(t *testing.T) {
	o := newOrigin(t)
	first, a := silent(t), serveQUIC(t, "example.test", "0", echo)
	m := knows(o.Port, first, a.Port)
	m.Broken = []auto.Broken{{Origin: "example.test:" + o.Port, Authority: "example.test:" + first, Until: time.Now().Add(-1), Failures: 1}}
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: m})
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
}

// TestForgottenAtOnce: an alternative of no age is none.
func TestForgottenAtOnce(t *testing.T) {
	o := newOrigin(t)
	o.tell(`h3=":1234"; ma=0`)
	e, told := newEngine(t, auto.Config{HeadStart: -1, Storage: knows(o.Port, silent(t))})
	send(t, e, request(t, "GET", o.URL))
	told.await(t, auto.Forgotten, 1)
	if ev, ok := told.last(auto.Learned); ok {
		t.Errorf("learnt %+v", ev)
	}
}

// TestNoRecordsOfAddresses: the resolver is not asked for an address.
func TestNoRecordsOfAddresses(t *testing.T) {
	o := newOrigin(t)
	z := &zone{asked: make(chan string, 100)}
	e, _ := newEngine(t, auto.Config{Resolver: z, DNSWait: long})
	if resp, err := e.Execute(t.Context(), request(t, "GET", "https://127.0.0.1:"+o.Port)); err == nil {
		resp.Body.Close()
	}
	if len(z.asked) > 0 {
		t.Errorf("asked for %q", <-z.asked)
	}
}

// TestOwnerIsTheTarget: "." is the name that was asked for (RFC 9460 §2.5.2).
func TestOwnerIsTheTarget(t *testing.T) {
	owner := "_8443._https.example.test"
	z := &zone{asked: make(chan string, 100), records: map[string][]auto.Record{owner: {{Priority: 1, Target: ".", ALPN: []string{"h3"}}}}}
	e, told := newEngine(t, auto.Config{HeadStart: -1, Resolver: z, DNSWait: long})
	if resp, err := e.Execute(t.Context(), request(t, "GET", "https://example.test:8443")); err == nil {
		resp.Body.Close()
	}
	if ev, _ := told.last(auto.Chosen); ev.Authority != owner+":8443" {
		t.Errorf("chosen: %+v", ev)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	_, err := auto.Config{TCP: cio.Config{Go: func(f func()) { go f() }}}.New(engine.Config{})
	if _, ok := errors.AsType[*engine.UnsupportedError](err); !ok {
		t.Errorf("TCP.Go: %v", err)
	}
	o := newOrigin(t)
	e, told := newEngine(t, auto.Config{}, func(c *engine.Config) { c.TLS.MaxVersion = tls.VersionTLS12 })
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.TooOldTLS)
}
