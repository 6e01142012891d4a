package websocket

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/recovered"
)

const mediaType = "application/json"

// jsonCodec returns the codec that the client has for JSON.
func jsonCodec(client *godwit.Client) godwit.Codec {
	for _, codec := range client.Codecs() {
		for _, t := range codec.MediaTypes() {
			if strings.EqualFold(t, mediaType) {
				return codec
			}
		}
	}
	return godwit.JSON{}
}

// WriteJSON sends v as a text message, encoded by the client's codec for JSON (see
// godwit.WithCodec). What plugins know of encoding is for bodies of requests alone.
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

// ReadJSON reads the next message, of either type, as a T, decoded as JSON by the
// client's plugins and codecs, as godwit.Decode does; what that takes from a body as it
// is, such as a string, is JSON, too, and the codec's. A message that is no T is a
// *godwit.DecodeError and leaves the connection as it is.
func ReadJSON[T any](ctx context.Context, c *Conn) (T, error) {
	m, err := c.Read(ctx)
	if err != nil {
		var none T
		return none, err
	}
	v, err := decode[T](ctx, c.now.Load().settings(), m.Data)
	if err != nil {
		err = fmt.Errorf("websocket: %w", err)
	}
	return v, err
}

func decode[T any](ctx context.Context, set *settings, data []byte) (T, error) {
	if len(data) > 0 && !verbatim[T]() {
		return godwit.Decode[T](ctx, set.client, mediaType, data)
	}
	var v T
	err := unmarshal(set.codec, data, &v)
	if err != nil {
		err = &godwit.DecodeError{Type: reflect.TypeFor[T]().String(), ContentType: mediaType, Err: err}
	}
	return v, err
}

// verbatim reports whether godwit.Decode makes a T of something else than JSON.
func verbatim[T any]() bool {
	switch any((*T)(nil)).(type) {
	case *string, *[]byte, *json.RawMessage, *godwit.Status,
		*bool, *int, *int8, *int16, *int32, *int64, *uint, *uint8, *uint16, *uint32, *uint64, *float32, *float64:
		return true
	}
	return false
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
