package godwit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// stumbling is a codec that panics, as libraries do on bytes they did not expect.
type stumbling struct{}

func (stumbling) MediaTypes() []string        { return []string{"application/x-s"} }
func (stumbling) Marshal(any) ([]byte, error) { panic("boom") }
func (stumbling) Unmarshal([]byte, any) error { panic(errors.ErrUnsupported) }

func TestCodecPanics(t *testing.T) {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Bytes(200, "application/x-s", []byte("x")))), godwit.WithCodec(stumbling{}))
	defer c.Close()
	type value struct{ A int }
	_, err := godwit.Get[value](t.Context(), c, "http://h/")
	d, ok := errors.AsType[*godwit.DecodeError](err)
	if !ok || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(d.Error(), "codec godwit_test.stumbling for application/x-s, decoding into *godwit_test.value, panicked") {
		t.Errorf("decode: %v", err)
	}
	_, err = godwit.Post[string](t.Context(), c, "http://h/", value{})
	if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || !strings.Contains(err.Error(), "codec godwit_test.stumbling for application/x-s, encoding godwit_test.value, panicked: boom") {
		t.Errorf("encode: %v", err)
	}
}

// TestWrittenCharset: what is sent is in the charset that it is labelled with, or
// not sent.
func TestWrittenCharset(t *testing.T) {
	type value struct {
		A string `json:"a"`
	}
	for name, row := range map[string]struct {
		body              any
		contentType, want string
	}{
		"text":              {"é", "text/plain; charset=iso-8859-1", "\xe9"},
		"not in the set":    {"€", "text/plain; charset=iso-8859-1", "!text does not fit charset iso-8859-1"},
		"windows":           {"€", "text/plain; charset=windows-1252", "\x80"},
		"ASCII":             {"é", "text/plain; charset=us-ascii", "!text does not fit charset us-ascii"},
		"UTF-16":            {"é", "text/plain; charset=UTF-16", "\xff\xfe\xe9\x00"},
		"UTF-16LE":          {"é", "text/plain; charset=utf-16le", "\xe9\x00"},
		"read only":         {"é", "text/plain; charset=iso-2022-kr", "!charset iso-2022-kr is not written"},
		"JSON":              {value{"é"}, "application/json; charset=iso-8859-1", "{\"a\":\"\xe9\"}"},
		"JSON, UTF-8":       {value{"é"}, "application/json; charset=utf-8", `{"a":"é"}`},
		"JSON, no charset":  {value{"é"}, "application/json", `{"a":"é"}`},
		"JSON, not in it":   {value{"€"}, "application/json; charset=iso-8859-1", "!body of type godwit_test.value as application/json; charset=iso-8859-1: text does not fit"},
		"JSON, no such set": {value{"€"}, "application/json; charset=x-none", `!unknown charset "x-none"`},
	} {
		eng := mock.Serve(mock.OK("x"))
		c := godwit.New(godwit.WithEngineInstance(eng))
		_, err := godwit.Post[string](t.Context(), c, "http://h/", row.body, godwit.ContentType(row.contentType))
		if want, fails := strings.CutPrefix(row.want, "!"); fails {
			if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil || string(eng.Requests()[0].Body()) != row.want {
			t.Errorf("%s: %v, sent %q", name, err, eng.Requests()[0].Body())
		}
		c.Close()
	}
	eng := mock.Serve(mock.OK("x"))
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.AcceptCharset("koi8-r", "utf-8;q=0.0001"))
	defer c.Close()
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://h/")); err != nil || eng.Requests()[0].Header.Get("Accept-Charset") != "koi8-r, utf-8;q=0.001" {
		t.Errorf("%v, %s", err, eng.Requests()[0].Header)
	}
}
