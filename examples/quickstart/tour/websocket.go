package tour

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/websocket"
)

var webSocketCode = []string{
	`conn, err := websocket.Dial(ctx, c, "/echo")`,
	`err = conn.WriteJSON(ctx, ada)`,
	`back, err := websocket.ReadJSON[User](ctx, conn)`,
}

func webSocket(ctx context.Context, c *godwit.Client) (string, error) {
	conn, err := websocket.Dial(ctx, c, "/echo")
	if _, ok := errors.AsType[*godwit.UnsupportedError](err); ok {
		return "this server takes none by HTTP/2, and the error says so", nil
	}
	if err != nil {
		return "", err
	}
	defer conn.CloseNow()
	err = conn.WriteJSON(ctx, ada)
	if err != nil {
		return "", err
	}
	back, err := websocket.ReadJSON[User](ctx, conn)
	if err != nil {
		return "", err
	}
	if back != ada {
		return "", fmt.Errorf("the server sent %+v back", back)
	}
	if err := conn.Close(websocket.StatusNormalClosure, "thanks"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%+v came back, and both sides said farewell", back), nil
}
