package tour

import (
	"bufio"
	"fmt"
	"io"
	"net/http"

	"github.com/godwit-go/godwit/internal/ws"
)

// echo speaks WebSocket: it sends each message back until the client says
// farewell. The connection is taken over, or over HTTP/2 and HTTP/3 one stream of
// it (RFC 8441, RFC 9220).
func echo(w http.ResponseWriter, r *http.Request) {
	flow := http.NewResponseController(w)
	if r.Method == http.MethodConnect {
		w.WriteHeader(http.StatusOK)
		flow.Flush()
		echoFrames(bufio.NewReader(r.Body), func(frame []byte) {
			w.Write(frame)
			flow.Flush()
		})
		return
	}
	conn, buf, err := flow.Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		ws.Accept(r.Header.Get("Sec-WebSocket-Key")))
	echoFrames(buf.Reader, func(frame []byte) { conn.Write(frame) })
}

func echoFrames(from *bufio.Reader, send func(frame []byte)) {
	frames := ws.Receiver{Server: true}
	for {
		h, payload, err := readFrame(&frames, from)
		if err != nil {
			return
		}
		h.Masked = false
		send(append(h.Append(nil), payload...))
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
