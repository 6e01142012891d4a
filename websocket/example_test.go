package websocket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// exampleClient stands for a client with a server that sends messages back.
func exampleClient() *godwit.Client {
	answer := func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		resp := mock.Bytes(101, "", nil).WithHeader("Upgrade", "websocket", "Connection", "Upgrade",
			"Sec-WebSocket-Accept", ws.Accept(r.Header.Get("Sec-WebSocket-Key")))
		if r.Header.Has("Sec-WebSocket-Protocol") {
			resp.WithHeader("Sec-WebSocket-Protocol", "v2.chat")
		}
		return resp.WithUpgrade(func(rw io.ReadWriteCloser) { echo(newPeer(nil, rw, bufio.NewReader(rw))) }), nil
	}
	return godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mock.Func(answer))}}))
}

func ExampleDial() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	conn, err := websocket.Dial(ctx, c, "wss://example.org/feed",
		websocket.Subprotocol("v2.chat", "v1.chat"), godwit.BearerAuth("secret"), godwit.Timeout(10*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	conn.Write(ctx, websocket.Text, []byte("hello"))
	m, err := conn.Read(ctx)
	fmt.Println(conn.Subprotocol(), m.Type, m, err)
	fmt.Println(conn.Close(websocket.StatusNormalClosure, "bye"))
	// Output:
	// v2.chat text hello <nil>
	// <nil>
}

func ExampleDial_loop() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	listen := func() error {
		conn, err := websocket.Dial(ctx, c, "wss://example.org/feed", websocket.Subprotocol("v2.chat"))
		if err != nil {
			return err
		}
		defer conn.CloseNow()
		for m, err := range conn.Messages(ctx) {
			if err != nil {
				return err
			}
			fmt.Println(m)
		}
		return nil
	}
	fmt.Println(listen())
}

func ExampleSession() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	err := websocket.Session(ctx, c, "wss://example.org/feed", func(conn *websocket.Conn) error {
		if err := conn.Write(ctx, websocket.Text, []byte("hello")); err != nil {
			return err
		}
		m, err := conn.Read(ctx)
		fmt.Println(m)
		return err
	})
	fmt.Println(err)
	// Output:
	// hello
	// <nil>
}

func ExampleConn_Messages() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed")
	defer conn.CloseNow()
	for _, text := range []string{"one", "two", "three"} {
		conn.Write(ctx, websocket.Text, []byte(text))
	}

	for m, err := range conn.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m)
		if m.String() == "three" {
			break
		}
	}
	// Output:
	// one
	// two
	// three
}

func ExampleConn_ReadInto() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed")
	defer conn.CloseNow()

	var m websocket.Message
	for range 3 {
		conn.Write(ctx, websocket.Binary, []byte("again"))
		m, _ = conn.ReadInto(ctx, m.Data[:0]) // one buffer for all messages
	}
	fmt.Printf("%s\n", m.Data)
	// Output: again
}

func ExampleConn_Writer() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed")
	defer conn.CloseNow()

	w, _ := conn.Writer(ctx, websocket.Text)
	fmt.Fprint(w, "in ")
	fmt.Fprint(w, "pieces")
	w.Close()
	kind, r, _ := conn.Reader(ctx)
	text, _ := io.ReadAll(r)
	fmt.Println(kind, string(text))
	// Output: text in pieces
}

func ExampleReadJSON() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed")
	defer conn.CloseNow()

	conn.WriteJSON(ctx, greeting{"Ada", 7})
	v, err := websocket.ReadJSON[greeting](ctx, conn)
	fmt.Println(v.Name, v.N, err)
	// Output: Ada 7 <nil>
}

func ExampleConn_Ping() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed")
	defer conn.CloseNow()

	fmt.Println(conn.Ping(ctx))
	// Output: <nil>
}

func ExampleKeepAlive() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	conn, err := websocket.Dial(ctx, c, "wss://example.org/feed", websocket.KeepAlive(30*time.Second, 10*time.Second))
	fmt.Println(err)
	conn.CloseNow()
	// Output: <nil>
}

func ExampleCompress() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	conn, err := websocket.Dial(ctx, c, "wss://example.org/feed", websocket.Compress(websocket.Compression{}))
	fmt.Printf("%q %v\n", conn.Extensions(), err) // this server has none
	conn.CloseNow()
	// Output: "" <nil>
}

func ExampleReadLimit() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/feed", websocket.ReadLimit(4))
	defer conn.CloseNow()

	conn.Write(ctx, websocket.Text, []byte("hello"))
	_, err := conn.Read(ctx)
	fmt.Println(err)
	// Output: websocket: message too large: the limit is 4 bytes (raise it with websocket.ReadLimit)
}

func ExampleWithReconnect() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()

	subscribe := func(ctx context.Context, conn *websocket.Conn) error {
		return conn.Write(ctx, websocket.Text, []byte("subscribe prices"))
	}
	conn, err := websocket.Dial(ctx, c, "wss://example.org/feed",
		websocket.WithReconnect(websocket.Reconnect{Min: time.Second, Max: time.Minute, Subscribe: subscribe}))
	fmt.Println(err)
	conn.CloseNow()
	// Output: <nil>
}

func ExampleCloseStatus() {
	err := error(&websocket.CloseError{Code: websocket.StatusTryAgainLater, Reason: "busy"})
	fmt.Println(websocket.CloseStatus(err), websocket.Temporary(err))
	// Output: 1013 true
}

func ExampleConn_NetConn() {
	ctx, c := context.Background(), exampleClient()
	defer c.Close()
	conn, _ := websocket.Dial(ctx, c, "wss://example.org/tunnel")

	nc := conn.NetConn(ctx, websocket.Binary)
	defer nc.Close()
	fmt.Fprintln(nc, "bytes")
	line, _ := bufio.NewReader(nc).ReadString('\n')
	fmt.Print(line)
	// Output: bytes
}
