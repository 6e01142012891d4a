package http3_test

import (
	"context"
	"io"
	"strings"
	"testing"

	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/websocket"
)

// echoFrames sends the short frames of a client back as a server's (RFC 6455 §5.2).
func echoFrames(stream *h3.Stream) {
	for {
		head := make([]byte, 6) // two bytes and the mask
		if _, err := io.ReadFull(stream, head); err != nil {
			return
		}
		payload := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(stream, payload); err != nil {
			return
		}
		for i := range payload {
			payload[i] ^= head[2+i%4]
		}
		if _, err := stream.Write(append([]byte{head[0], byte(len(payload))}, payload...)); err != nil {
			return
		}
		if head[0]&0xf == 8 { // the closing handshake is over
			return
		}
	}
}

// TestWebSocket: the package websocket over HTTP/3 (RFC 9220).
func TestWebSocket(t *testing.T) {
	s := serve(t, takeOver(echoFrames))
	c := godwit.New(godwit.WithEngineInstance(newEngine(t, http3.Config{})))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, c, "wss://"+strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.Text, []byte("there and back")); err != nil {
		t.Fatal(err)
	}
	msg, err := conn.Read(ctx)
	if err != nil || string(msg.Data) != "there and back" {
		t.Errorf("%q, %v", msg.Data, err)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("Close: %v", err)
	}
}
