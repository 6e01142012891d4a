package enginetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// upgradeStreamTests are about what an upgraded connection is good for: a
// protocol of its own, for hours.
func upgradeStreamTests() []test {
	return []test{
		{name: "LongTwoWayStream", needs: engine.Upgrade, run: upgradeLong},
		{name: "LongTwoWayStreamOverTLS", needs: engine.Upgrade | engine.TLSConfig, run: upgradeLongTLS},
		{name: "ThroughAProxy", needs: engine.Upgrade | engine.HTTPProxy | engine.TLSConfig, run: upgradeProxy},
		{name: "HalfClose", needs: engine.Upgrade, run: upgradeHalfClose},
		{name: "ServerEnds", needs: engine.Upgrade, run: upgradeServerEnds},
		{name: "CancelBeforeTheHead", needs: engine.Upgrade, run: upgradeCancelBefore},
		{name: "CancelAfterTheHead", needs: engine.Upgrade, run: upgradeCancelAfter},
		{name: "BodyCloseLeavesIt", needs: engine.Upgrade, run: upgradeBodyClose},
		{name: "ReadDeadline", needs: engine.Upgrade, run: upgradeReadDeadline},
		{name: "CloseUnblocksWrite", needs: engine.Upgrade, run: upgradeCloseWrite},
	}
}

// longStream is how much goes each way: more than all buffers between.
const longStream = 16 << 20

// exchanged sends a long stream while it reads it back.
func (t *T) exchanged(rw io.ReadWriter) {
	t.Helper()
	piece := []byte(pattern(77_777))
	sent := make(chan error, 1)
	wrote, read := sha256.New(), sha256.New()
	go func() {
		for left := longStream; left > 0; {
			n := min(left, len(piece)-left%1000)
			wrote.Write(piece[:n])
			if _, err := rw.Write(piece[:n]); err != nil {
				sent <- err
				return
			}
			left -= n
		}
		sent <- nil
	}()
	if n, err := io.CopyN(read, rw, longStream); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	if err := within(t, "the writer", sent); err != nil {
		t.Fatal(err)
	}
	if string(wrote.Sum(nil)) != string(read.Sum(nil)) {
		t.Error("what came back differs from what was sent")
	}
}

func upgradeLong(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	t.exchanged(rw)
	rw.Close()
	s.WaitClosed(t)
}

func upgradeLongTLS(t *T) {
	ca := t.authority()
	s := t.scriptTLS(ca.serverConfig(), echoRaw("websocket"))
	rw := t.upgraded(t.engine(ca.trust()), t.upgrading(s.URL, "websocket"))
	t.exchanged(rw)
	rw.Close()
	s.WaitClosed(t)
}

// upgradeProxy: a tunnel carries an upgrade as it carries all else.
func upgradeProxy(t *T) {
	ca := t.authority()
	p := t.httpProxy()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	e := t.engine(ca.trust(), func(c *engine.Config) { c.Proxy = engine.FixedProxy(u) })
	s := t.scriptTLS(ca.serverConfig(), echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	if got := within(t, "the proxy's request", p.asked); got.Method != "CONNECT" {
		t.Errorf("the proxy got %s", got.Line)
	}
	t.echoed(rw)
	rw.Close()
	s.WaitClosed(t)
}

// upgradeHalfClose: CloseWrite ends what the server reads, and nothing else.
func upgradeHalfClose(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write(switching + "websocket\r\n\r\n")
		b, _ := io.ReadAll(c.r)
		c.write("got ", string(b))
	})
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	half, ok := rw.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("Upgraded (%T) has no CloseWrite", rw)
	}
	io.WriteString(rw, "all")
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(rw); err != nil || string(b) != "got all" {
		t.Errorf("%q, %v", b, err)
	}
	rw.Close()
	s.WaitClosed(t)
}

func upgradeServerEnds(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write(switching+"websocket\r\n\r\n", "last words")
		c.closeWrite()
	})
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	if b, err := io.ReadAll(rw); err != nil || string(b) != "last words" {
		t.Errorf("%q, %v", b, err)
	}
	rw.Close()
	s.WaitClosed(t)
}

func upgradeCancelBefore(t *T) {
	e := t.engine()
	asked := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		close(asked)
		c.untilClosed()
	})
	t.cancelled(e, t.upgrading(s.URL, "websocket"), asked)
	s.WaitClosed(t)
}

// upgradeCancelAfter: from the head on the context no longer reaches it.
func upgradeCancelAfter(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	ctx, cancel := context.WithCancel(t.ctx)
	resp, err := t.executeIn(ctx, e, t.upgrading(s.URL, "websocket"))
	if err != nil || resp.Upgraded == nil {
		cancel()
		t.Fatalf("%+v, %v", resp, err)
	}
	defer resp.Upgraded.Close()
	cancel()
	t.echoed(resp.Upgraded)
}

// upgradeBodyClose: the body of a 101 is empty, and closing it ends nothing.
func upgradeBodyClose(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	resp := t.must(e, t.upgrading(s.URL, "websocket"))
	if resp.Upgraded == nil {
		t.Fatal("Upgraded is nil")
	}
	defer resp.Upgraded.Close()
	if err := resp.Body.Close(); err != nil {
		t.Errorf("Body.Close: %v", err)
	}
	t.echoed(resp.Upgraded)
}

// upgradeReadDeadline: where there is one it breaks off a read that waits, and
// the stream can be used afterwards.
func upgradeReadDeadline(t *T) {
	e := t.engine()
	s := t.script(echoRaw("websocket"))
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	d, ok := rw.(interface{ SetReadDeadline(time.Time) error })
	if !ok {
		t.Skipf("Upgraded (%T) has no SetReadDeadline", rw)
	}
	done := make(chan error, 1)
	go func() {
		_, err := rw.Read(make([]byte, 1))
		done <- err
	}()
	for range 2 { // the second one finds the read broken off, or breaks it off
		if err := d.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := within(t, "the read", done); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read got %v", err)
	}
	if err := d.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	t.echoed(rw)
}

// upgradeCloseWrite: Close ends a write that waits for a server which does not
// read.
func upgradeCloseWrite(t *T) {
	e := t.engine()
	gone := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.write(switching + "websocket\r\n\r\n")
		<-gone
	})
	defer close(gone)
	rw := t.upgraded(e, t.upgrading(s.URL, "websocket"))
	done, begun := make(chan error, 1), make(chan struct{})
	go func() {
		piece := []byte(strings.Repeat("x", 1<<20))
		var err error
		for n := 0; err == nil; n++ {
			if n == 1 {
				close(begun)
			}
			_, err = rw.Write(piece)
		}
		done <- err
	}()
	within(t, "the first write", begun)
	rw.Close()
	if err := within(t, "Write after Close", done); err == nil {
		t.Error("Write after Close gives no error")
	}
}
