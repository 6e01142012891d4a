package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"

	"github.com/godwit-go/godwit/internal/ws"
)

// echo speaks WebSocket: it sends each message back until the client says
// farewell.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")))
	frames := ws.Receiver{Server: true}
	for {
		h, payload, err := readFrame(&frames, buf.Reader)
		if err != nil {
			return
		}
		h.Masked = false
		conn.Write(append(h.Append(nil), payload...))
		if h.Opcode == ws.Close {
			return
		}
	}
}

// readFrame reads a frame of a client.
func readFrame(frames *ws.Receiver, r *bufio.Reader) (ws.Header, []byte, error) {
	for head := []byte(nil); ; {
		b, err := r.ReadByte()
		if err != nil {
			return ws.Header{}, nil, err
		}
		head = append(head, b)
		h, n, err := frames.Next(head)
		if err != nil {
			return h, nil, err
		}
		if n > 0 {
			payload := make([]byte, h.Length)
			_, err := io.ReadFull(r, payload)
			ws.Mask(payload, payload, h.Key)
			return h, payload, err
		}
	}
}
