package websocket

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/recovered"
)

// jsonCodec returns the codec that the client has for JSON.
func jsonCodec(client *godwit.Client) godwit.Codec {
	for _, codec := range client.Codecs() {
		for _, t := range codec.MediaTypes() {
			if strings.EqualFold(t, "application/json") {
				return codec
			}
		}
	}
	return godwit.JSON{}
}

// WriteJSON sends v as a text message, encoded by the client's codec for JSON.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	at, err := c.writable(ctx)
	if err != nil {
		return err
	}
	data, err := marshal(at.settings().codec, v)
	if err != nil {
		return fmt.Errorf("websocket: encode %T: %w", v, err)
	}
	return at.write(ctx, Text, data)
}

// ReadJSON reads the next message, of either type, as a T, decoded by the
// client's codec for JSON. A message that is no T is an error and leaves the
// connection as it is.
func ReadJSON[T any](ctx context.Context, c *Conn) (T, error) {
	var v T
	m, err := c.Read(ctx)
	if err != nil {
		return v, err
	}
	if err := unmarshal(c.now.Load().settings().codec, m.Data, &v); err != nil {
		return v, fmt.Errorf("websocket: decode a message as %T: %w", v, err)
	}
	return v, nil
}

func marshal(codec godwit.Codec, v any) (data []byte, err error) {
	defer recovered.Codec(&err, codec, "encoding", v)
	return codec.Marshal(v)
}

// unmarshal makes an error of a panic: what came may cause one.
func unmarshal(codec godwit.Codec, data []byte, v any) (err error) {
	defer recovered.Codec(&err, codec, "decoding into", v)
	return codec.Unmarshal(data, v)
}

func (l *link) settings() *settings { return l.set }
