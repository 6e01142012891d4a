package sdktest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/godwit-go/godwit/stdhttp"
)

// resetting is a server that resets each stream with code, after the head of a
// response if answer says so.
func resetting(t *testing.T, code http2.ErrCode, answer bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			resetStreams(c, code, answer)
		},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func resetStreams(c io.ReadWriter, code http2.ErrCode, answer bool) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	framer.WriteSettings()
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				framer.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			if answer {
				var head bytes.Buffer
				fields := hpack.NewEncoder(&head)
				fields.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				fields.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc+proto"})
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: head.Bytes(), EndHeaders: true})
			}
			framer.WriteRSTStream(f.StreamID, code)
		}
	}
}

// TestConnectResets: connect-go tells the codes of reset streams by the text of
// net/http's errors.
func TestConnectResets(t *testing.T) {
	for _, code := range []http2.ErrCode{
		http2.ErrCodeNo, http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeFlowControl, http2.ErrCodeSettingsTimeout,
		http2.ErrCodeFrameSize, http2.ErrCodeCompression, http2.ErrCodeConnect, http2.ErrCodeCancel, http2.ErrCodeEnhanceYourCalm,
		http2.ErrCodeInadequateSecurity,
	} {
		for at, answer := range map[string]bool{"before the head": false, "within the body": true} {
			if code == http2.ErrCodeProtocol && !answer {
				continue // net/http sends such a request again and again
			}
			t.Run(code.String()+" "+at, func(t *testing.T) {
				s := resetting(t, code, answer)
				call := func(hc *http.Client) connect.Code {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					c := connect.NewClient[text, text](hc, s.URL+"/x.Y/Z", connect.WithGRPC())
					_, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String("x")))
					if err == nil {
						t.Error("no error")
					}
					return connect.CodeOf(err)
				}
				std := s.Client().Transport.(*http.Transport).Clone()
				std.ForceAttemptHTTP2 = true
				defer std.CloseIdleConnections()
				want := call(&http.Client{Transport: std})
				for _, e := range http2Engines {
					if got := call(stdhttp.Client(newClient(t, e, s))); got != want {
						t.Errorf("%s: code %v, by net/http %v", e.Name(), got, want)
					}
				}
			})
		}
	}
}
