package cio_test

import (
	"testing"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest/frametest"
	"github.com/godwit-go/godwit/websocket"
)

// TestWebSocketByHTTP2: once a connection has announced extended CONNECT a
// WebSocket is a stream on it (RFC 8441), beside requests.
func TestWebSocketByHTTP2(t *testing.T) {
	server, client := secured(t, "h2", "http/1.1")
	s := frametest.Serve(t, frametest.Config{
		TLS: server, Settings: []http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}},
	}, func(c *frametest.Conn) { echoMessages(t, c) })
	e := newEngine(t, cio.Config{TLS: client})
	c := godwit.New(godwit.WithEngineInstance(e))
	defer c.Close()
	ask := func() {
		t.Helper()
		if got, err := godwit.Get[string](t.Context(), c, s.URL); got != "ok" || err != nil {
			t.Fatal(got, err)
		}
	}
	ask()
	ws, err := websocket.Dial(t.Context(), c, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for _, text := range []string{"hello", "", "once more"} {
		if err := ws.Write(t.Context(), websocket.Text, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if m, err := ws.Read(t.Context()); err != nil || string(m.Data) != text || m.Type != websocket.Text {
			t.Fatalf("%q, %v, want %q", m.Data, err, text)
		}
		ask() // on the same connection
	}
	if err := ws.Close(1000, ""); err != nil {
		t.Error(err)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// echoMessages answers GET by "ok", and sends back the frames of a WebSocket
// without their masks.
func echoMessages(t *testing.T, c *frametest.Conn) {
	for {
		switch f := c.Next().(type) {
		case nil:
			return
		case *http2.HeadersFrame:
			fields := c.Fields(f)
			if fields[":method"] != "CONNECT" {
				c.Headers(f.StreamID, false, ":status", "200")
				c.WriteData(f.StreamID, true, []byte("ok"))
				continue
			}
			if fields[":protocol"] != "websocket" || fields[":scheme"] != "https" || fields[":path"] != "/" || fields["sec-websocket-version"] != "13" {
				t.Errorf("the upgrade: %q", fields)
			}
			for _, own := range []string{"connection", "upgrade"} {
				if v, ok := fields[own]; ok {
					t.Errorf("the upgrade has %s: %q", own, v)
				}
			}
			c.Headers(f.StreamID, false, ":status", "200")
		case *http2.DataFrame:
			if b := unmasked(f.Data()); len(b) > 0 {
				c.WriteData(f.StreamID, f.StreamEnded() || b[0] == 0x88, b)
			}
		}
	}
}

// unmasked makes of one short masked frame one without a mask.
func unmasked(b []byte) []byte {
	if len(b) < 6 || b[1]&0x80 == 0 || int(b[1]&0x7f) != len(b)-6 {
		return nil
	}
	out := []byte{b[0], b[1] & 0x7f}
	for i, c := range b[6:] {
		out = append(out, c^b[2+i%4])
	}
	return out
}
