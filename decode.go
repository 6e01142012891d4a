package godwit

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// None as the type of a typed call says that the body is of no interest. A bad
// status still fails the call.
type None struct{}

// Decoding is a body on its way to becoming a value.
type Decoding struct {
	Response *Response
	// Target is a pointer to the wanted value.
	Target any
	// Data is the whole body.
	Data []byte
}

var anyContentType = NewSetting("AnyContentType", false)

// AnyContentType reads bodies of any Content-Type, or none, by the client's
// first codec when no codec is known for it.
func AnyContentType(on ...bool) Option { return anyContentType.Set(switchedOn(on)) }

// As reads the body of a response as a T. On a buffered response it can be
// used any number of times; on a streamed one it reads and closes the body, up
// to MaxBody, once; for [None] it closes it unread, for [Status] and *[Response] it
// leaves it as it is.
//
// T can be string (decoded by charset), []byte, json.RawMessage, io.Reader or
// io.ReadCloser (over the buffered body), a number, bool, [Status], *[Response],
// [None], *content.MultipartReader, or anything that a codec for the
// Content-Type decodes (JSON by default).
func As[T any](ctx context.Context, resp *Response) (T, error) {
	var v T
	err := decodeInto(ctx, resp, &v)
	return v, err
}

// Decode makes a T of data that did not come as a response's body: a message of a
// WebSocket, the data of an event. It is what [As] does with a body of that
// Content-Type, by c's plugins and codecs; the error is a *[DecodeError]. A nil
// client stands for [Default].
func Decode[T any](ctx context.Context, c *Client, contentType string, data []byte) (T, error) {
	var v T
	c = c.or()
	if codec := c.plainCodec(contentType, data, &v); codec != nil {
		err := unmarshal(codec, data, &v)
		if err != nil {
			err = decodeError(&v, contentType, data, err)
		}
		return v, err
	}
	resp := &Response{Status: StatusOK, Header: header.New("Content-Type", contentType), owner: c}
	resp.setSaved(data)
	err := decode(ctx, resp, &v)
	return v, err
}

// plainCodec returns the codec of data if nobody else has to look at it; else nil.
func (c *Client) plainCodec(contentType string, data []byte, target any) Codec {
	if c.seesDecoding || len(data) == 0 || !needsCodec(target) || strings.IndexByte(contentType, ';') >= 0 {
		return nil
	}
	if _, raw := target.(*json.RawMessage); raw || data[0] >= 0x80 { // which may be a byte order mark
		return nil
	}
	mt, ok := header.ParseMediaType(contentType)
	if !ok {
		return nil
	}
	return c.codecFor(mt)
}

// decodeInto runs the Decode pipeline and wraps its error.
func decodeInto(ctx context.Context, resp *Response, target any) error {
	err := decode(ctx, resp, target)
	if err == nil {
		return nil
	}
	req := resp.request
	if req == nil {
		req = new(Request)
	}
	if resp.told(err) {
		return err
	}
	if resp.call != nil {
		emit(resp.call.Context(), req, ReceiveFailed{resp.call, err})
		err = resp.call.client.handleError(under(ctx, resp.call), req, err)
	}
	err = envelope(resp.call, req, err)
	if resp.call != nil {
		resp.call.decodeFailed(err)
	}
	return err
}

func decode(ctx context.Context, resp *Response, target any) error {
	switch t := target.(type) {
	case **Response:
		*t = resp
		return nil
	case *Status:
		*t = resp.Status
		return nil
	case *None:
		if !resp.isSaved && resp.Upgraded() == nil {
			resp.Discard()
		}
		return nil
	}
	if err := saveForDecode(resp); err != nil {
		return err
	}
	client := resp.client()
	ok, err := false, error(nil)
	if !client.seesDecoding {
		ok, err = parse(resp, resp.mem.data, target)
	}
	if err == nil && !ok {
		if client.seesDecoding {
			ctx = under(ctx, resp.call)
		}
		ok, err = client.decode(ctx, &Decoding{Response: resp, Target: target, Data: resp.mem.data})
	}
	if err == nil && !ok {
		err = noCodec(client, resp)
	}
	if err == nil {
		return nil
	}
	return decodeError(target, resp.Header.Get("Content-Type"), resp.mem.data, err)
}

// decodeError wraps err, once.
func decodeError(target any, contentType string, data []byte, err error) error {
	if _, ok := errors.AsType[*DecodeError](err); ok {
		return err
	}
	return &DecodeError{Type: reflect.TypeOf(target).Elem().String(), ContentType: contentType, Snippet: snippet(data), Err: err}
}

// saveForDecode brings the body into memory.
func saveForDecode(resp *Response) error {
	if !resp.isSaved && resp.base.consumed() && (resp.call == nil || resp.call.ctx.forced() == nil) {
		return opError(engine.OpReceive, ErrBodyConsumed)
	}
	return resp.Save()
}

// client returns the client that the response came from, else the default.
func (r *Response) client() *Client {
	switch {
	case r.call != nil:
		return r.call.client
	case r.owner != nil:
		return r.owner
	}
	return (*Client)(nil).or()
}

// noCodec says why a body cannot be decoded, and what to do.
func noCodec(c *Client, resp *Response) error {
	var have []string
	for _, codec := range c.Codecs() {
		have = append(have, codec.MediaTypes()...)
	}
	known := strings.Join(have, ", ")
	if ct := resp.Header.Get("Content-Type"); ct != "" {
		return fmt.Errorf("no codec for Content-Type %q (status %d; there are %s; godwit.AnyContentType ignores it)", ct, int(resp.Status), known)
	}
	return fmt.Errorf("the response has no Content-Type (status %d; godwit.AnyContentType decodes it all the same)", int(resp.Status))
}

// failsOnStatus reports whether a typed call for this target fails on a bad
// status.
func failsOnStatus(target any) bool {
	switch target.(type) {
	case **Response, *Status:
		return false
	}
	return true
}

// needsCodec reports whether a value of this type is made by a codec.
func needsCodec(target any) bool {
	switch target.(type) {
	case **Response, *Status, *None, *string, *[]byte, *io.Reader, *io.ReadCloser, **content.MultipartReader,
		*bool, *int, *int8, *int16, *int32, *int64, *uint, *uint8, *uint16, *uint32, *uint64, *float32, *float64:
		return false
	}
	return true
}

// parse is phase Parse. It is only passed if an interceptor may want to see the
// body before.
func (b *builtins) parse(ctx context.Context, d *Decoding, next DecodeHandler) (bool, error) {
	if ok, err := parse(d.Response, d.Data, d.Target); ok || err != nil {
		return ok, err
	}
	return next(ctx, d)
}

// parse makes the values that need no codec.
func parse(resp *Response, data []byte, target any) (bool, error) {
	switch t := target.(type) {
	case *[]byte:
		*t = data
		return true, nil
	case *json.RawMessage:
		*t = data
		return true, nil
	case *io.Reader:
		*t = bytes.NewReader(data)
		return true, nil
	case *io.ReadCloser:
		*t = &memoryBody{data: data}
		return true, nil
	case *string:
		s, err := textOf(resp, data)
		*t = s
		return true, err
	case **content.MultipartReader:
		r, err := content.ReadMultipart(bytes.NewReader(data), resp.Header.Get("Content-Type"))
		*t = r
		return true, err
	}
	if needsCodec(target) {
		return false, nil
	}
	return true, parseScalar(resp, data, reflect.ValueOf(target).Elem())
}

// parseScalar reads a number or a bool from a body of text.
func parseScalar(resp *Response, data []byte, v reflect.Value) error {
	s, err := textOf(resp, data)
	if err != nil {
		return err
	}
	if s = strings.TrimSpace(s); s == "" {
		return errNoContent
	}
	bits := v.Type().Bits
	switch v.Kind() {
	case reflect.Bool:
		x, err := strconv.ParseBool(s)
		v.SetBool(x)
		return err
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(s, bits())
		v.SetFloat(x)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		x, err := strconv.ParseUint(s, 10, bits())
		v.SetUint(x)
		return err
	}
	x, err := strconv.ParseInt(s, 10, bits())
	v.SetInt(x)
	return err
}

// decodeByCodec is the last of phase Transform. An empty body is the zero value
// of types that have an empty one, and an error for others.
func (b *builtins) decodeByCodec(ctx context.Context, d *Decoding, next DecodeHandler) (bool, error) {
	client := d.Response.client()
	if len(d.Data) == 0 {
		switch reflect.TypeOf(d.Target).Elem().Kind() {
		case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
			return true, nil
		}
		return true, errNoContent
	}
	var codec Codec
	mt, ok := d.Response.ContentType()
	if ok {
		codec = client.codecFor(mt)
	}
	if codec == nil && d.Response.request != nil && b.anyType.For(d.Response.request) {
		codec = client.mainCodec()
	}
	if codec == nil {
		if ok, err := decodeText(d); ok {
			return true, err
		}
		return next(ctx, d)
	}
	data, err := utf8Of(d, mt.Charset())
	if err != nil {
		return true, err
	}
	return true, unmarshal(codec, data, d.Target)
}

// decodeText makes values of text/plain: of types that read text themselves, of
// strings and numbers of any name, of pointers to all of these, and an any is the
// text. What has no Content-Type is text for strings and numbers alone.
func decodeText(d *Decoding) (bool, error) {
	untyped := d.Response.Header.Get("Content-Type") == ""
	if mt, ok := d.Response.ContentType(); !untyped && (!ok || mt.Essence() != "text/plain") {
		return false, nil
	}
	s, err := textOf(d.Response, d.Data)
	if err != nil {
		return true, err
	}
	if u, ok := d.Target.(encoding.TextUnmarshaler); ok {
		if untyped {
			return false, nil
		}
		return true, u.UnmarshalText([]byte(s))
	}
	v := reflect.ValueOf(d.Target).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		ok, err := decodeText(&Decoding{d.Response, p.Interface(), d.Data})
		if ok && err == nil {
			v.Set(p)
		}
		return ok, err
	case reflect.String:
		v.SetString(s)
		return true, nil
	case reflect.Interface:
		if v.NumMethod() == 0 && !untyped {
			v.Set(reflect.ValueOf(s))
			return true, nil
		}
	case reflect.Bool, reflect.Float32, reflect.Float64, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true, parseScalar(d.Response, d.Data, v)
	}
	return false, nil
}

// utf8Of converts text for a codec to UTF-8 if the charset of its Content-Type,
// or its byte order mark, says that it is something else.
func utf8Of(d *Decoding, label string) ([]byte, error) {
	switch {
	case bytes.HasPrefix(d.Data, bomUTF8):
		return d.Data[3:], nil
	case bytes.HasPrefix(d.Data, bomUTF16LE), bytes.HasPrefix(d.Data, bomUTF16BE):
	case label == "", label == "utf-8", label == "utf8", label == "us-ascii":
		return d.Data, nil
	}
	s, err := textOf(d.Response, d.Data)
	return []byte(s), err
}
