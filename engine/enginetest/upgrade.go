package enginetest

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
)

func upgradeTests() []test {
	return append(upgradeStreamTests(), []test{
		{name: "WebSocketEcho", needs: engine.Upgrade, run: upgradeEcho},
		{name: "BytesAfterTheHead", needs: engine.Upgrade, run: upgradeBytes},
		{name: "OtherProtocol", needs: engine.Upgrade, run: upgradeOther},
		{name: "Refused", needs: engine.Upgrade, run: upgradeRefused},
		{name: "ToAnother", needs: engine.Upgrade, run: upgradeToAnother},
		{name: "Ignored", needs: engine.Upgrade, run: upgradeIgnored},
		{name: "HoldsTheSlot", needs: engine.Upgrade | engine.ConnectionLimits, run: upgradeSlot},
		{name: "HeadOnlyDeadline", needs: engine.Upgrade | engine.RequestTimeout, run: upgradeDeadline},
		{name: "CloseUnblocksRead", needs: engine.Upgrade, run: upgradeClose},
		{name: "OverTLS", needs: engine.Upgrade | engine.TLSConfig, run: upgradeTLS},
		{name: "EngineCloseLetsItLive", needs: engine.Upgrade, run: upgradeEngineClose},
		{name: "Connect", needs: engine.Connect, run: upgradeConnect},
		{name: "ConnectRefused", needs: engine.Connect, run: upgradeConnectRefused},
	}...)
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "

// upgrading makes a request that asks for protocol.
func (t *T) upgrading(url, protocol string) *engine.Request {
	req := t.request("GET", url, "Sec-WebSocket-Key", "x")
	req.Protocol = protocol
	return req
}

// upgraded sends req, which must be answered by 101.
func (t *T) upgraded(e engine.Engine, req *engine.Request) io.ReadWriteCloser {
	t.Helper()
	resp := t.must(e, req)
	if resp.Status != 101 || resp.Upgraded == nil {
		t.Fatalf("status %d, Upgraded %v", resp.Status, resp.Upgraded)
	}
	t.mu.Lock()
	t.openBodies = append(t.openBodies, func() { resp.Upgraded.Close() })
	t.mu.Unlock()
	if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil {
		t.Errorf("Body of a 101: %q, %v", b, err)
	}
	return resp.Upgraded
}

// echoRaw answers an upgrade and then sends back what comes.
func echoRaw(protocol string) script {
	return func(c *conn) {
		r := c.request()
		if got := r.Fields.Get("Upgrade"); got != protocol {
			c.t.Errorf("Upgrade: %q, want %q", got, protocol)
		}
		if got := strings.ToLower(r.Fields.Joined("Connection")); !strings.Contains(got, "upgrade") {
			c.t.Errorf("Connection: %q, want upgrade", got)
		}
		c.write(switching, protocol, "\r\n\r\n")
		io.Copy(c.Conn, c.r)
	}
}

// echoed sends pieces over rw and compares what comes back.
func (t *T) echoed(rw io.ReadWriter) {
	t.Helper()
	for i := range 20 {
		want := pattern(i*i*10 + 1)
		if _, err := io.WriteString(rw, want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(rw, got); err != nil || string(got) != want {
			t.Fatalf("round %d: %s, %v", i, cut(string(got)), err)
		}
	}
}

func upgradeEcho(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	t.echoed(rw)
	if err := rw.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s.WaitClosed(t)
}

// upgradeBytes: what the server sends with the 101 belongs to the new protocol.
func upgradeBytes(t *T) {
	e := t.engine()
	for _, early := range []string{"x", pattern(100), pattern(50_000)} {
		s := t.script(func(c *conn) {
			c.request()
			c.write(switching + "websocket\r\n\r\n" + early)
			c.write("more")
			c.untilClosed()
		})
		rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
		got := make([]byte, len(early)+4)
		if _, err := io.ReadFull(rw, got); err != nil || string(got) != early+"more" {
			t.Errorf("got %s, %v", cut(string(got)), err)
		}
		rw.Close()
		s.WaitClosed(t)
	}
}

func upgradeOther(t *T) {
	e := t.engine()
	s := t.script(echoRaw("x-chat"))
	t.echoed(t.upgraded(e, t.upgrading(s.URL, "x-chat")))
}

func upgradeRefused(t *T) {
	e := t.engine()
	s := t.answers("HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nContent-Length: 2\r\n\r\nno")
	resp := t.want(e, t.upgrading(s.URL, "websocket"), 426, "no")
	if resp.Upgraded != nil {
		t.Error("Upgraded is set on a refusal")
	}
}

// upgradeToAnother: a protocol that nobody asked for is not spoken (RFC 9110 §7.8).
func upgradeToAnother(t *T) {
	e := t.engine()
	for _, to := range []string{"Upgrade: other\r\n", "Upgrade: webs\r\n", ""} {
		s := t.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + to + "\r\n")
		err := t.fails(e, t.upgrading(s.URL, "websocket"))
		if _, ok := errors.AsType[*engine.ProtocolError](err); !ok {
			t.Errorf("a 101 with %q: %v, want *engine.ProtocolError", to, err)
		}
	}
}

func upgradeIgnored(t *T) {
	e := t.engine()
	s := t.respond("ordinary")
	if resp := t.want(e, t.upgrading(s.URL, "websocket"), 200, "ordinary"); resp.Upgraded != nil {
		t.Error("Upgraded is set on a 200")
	}
	t.get(e, s.URL, 200, "ordinary")
}

func upgradeSlot(t *T) {
	e := t.engine(perRoute(1))
	s := t.script(echoRaw("websocket"), func(c *conn) { c.request(); c.respond("ok") })
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	done := t.start(t.ctx, e, t.request("GET", s.URL))
	t.wantWaiting(1)
	rw.Close()
	r := within(t, "the waiter", done)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if got := t.read(r.resp); got != "ok" {
		t.Errorf("body %q", got)
	}
}

func upgradeDeadline(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	req := t.upgrading(s.URL, "websocket")
	req.Deadline, req.DeadlineKind, req.HeadOnly = time.Now().Add(4*short), engine.KindRequest, true
	rw := t.upgraded(e, req)
	<-time.After(time.Until(req.Deadline) + short/2)
	t.echoed(rw)
}

func upgradeClose(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	done, reading := make(chan error, 1), make(chan struct{})
	go func() {
		close(reading)
		_, err := rw.Read(make([]byte, 1))
		done <- err
	}()
	<-reading
	rw.Close()
	if err := within(t, "Read after Close", done); err == nil {
		t.Error("Read after Close gives no error")
	}
}

func upgradeTLS(t *T) {
	ca := t.authority()
	s := t.scriptTLS(ca.serverConfig(), echoRaw("websocket"))
	e := t.engine(ca.trust())
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	t.echoed(rw)
	rw.Close()
	s.WaitClosed(t)
}

func upgradeEngineClose(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	t.quick("Close of the engine", func() { e.Close() })
	t.echoed(rw)
}

func upgradeConnect(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		r := c.head()
		if r.Line != "CONNECT "+c.srv.Addr+" HTTP/1.1" || r.Fields.Has("Content-Length") {
			t.Errorf("the server got\n%s", r.Raw)
		}
		c.write("HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n")
		io.Copy(c.Conn, c.r)
	})
	resp := t.must(e, t.request("CONNECT", s.URL))
	if resp.Status != 200 || resp.Upgraded == nil || resp.Header.Get("X-A") != "1" {
		t.Fatalf("status %d, Upgraded %v", resp.Status, resp.Upgraded)
	}
	t.echoed(resp.Upgraded)
	resp.Upgraded.Close()
	s.WaitClosed(t)
}

func upgradeConnectRefused(t *T) {
	e := t.engine()
	s := t.answers("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno")
	if resp := t.want(e, t.request("CONNECT", s.URL), 405, "no"); resp.Upgraded != nil {
		t.Error("Upgraded is set on a refusal")
	}
}
