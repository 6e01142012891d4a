package negotiate_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/negotiate"
)

// tagged is a codec whose values carry its name.
func tagged(name string, types ...string) godwit.Codec {
	return negotiate.Func(
		func(v any) ([]byte, error) { return []byte(name + " wrote"), nil },
		func(data []byte, v any) error {
			u, ok := v.(*user)
			if !ok {
				return fmt.Errorf("%T is no user", v)
			}
			u.Name = name + " read " + string(data)
			return nil
		}, types...)
}

// send answers with the body and Content-Type that the query asks for.
func send(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if ct := q.Get("type"); ct != "" {
		w.Header().Set("Content-Type", ct)
	} else {
		w.Header()["Content-Type"] = nil
	}
	if q.Has("status") {
		w.WriteHeader(418)
	}
	io.WriteString(w, q.Get("body"))
}

func TestDecodeByType(t *testing.T) {
	config := negotiate.Config{Codecs: []godwit.Codec{
		negotiate.JSON{}, negotiate.XML{}, negotiate.Form{}, negotiate.Text{},
		negotiate.For(tagged("api"), "application/vnd.api+json"), tagged("own", "application/x-own", "application/own"), tagged("wild", "image/png", "image/*"),
	}}
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		for name, row := range map[string]struct {
			contentType, body string
			want              any
		}{
			"json":              {"application/json", `{"name":"a"}`, user{Name: "a"}},
			"text/json":         {"text/json; charset=utf-8", `{"name":"a"}`, user{Name: "a"}},
			"json suffix":       {"application/problem+json; x=y", `{"name":"a"}`, user{Name: "a"}},
			"case":              {"Application/JSON", `{"name":"a"}`, user{Name: "a"}},
			"xml":               {"text/xml", `<user><name>a</name></user>`, user{Name: "a"}},
			"xml suffix":        {"application/atom+xml", `<user><name>a</name></user>`, user{Name: "a"}},
			"form":              {"application/x-www-form-urlencoded", `name=a&age=2`, user{"a", 2}},
			"exact over suffix": {"application/vnd.api+json", `{}`, user{Name: "api read {}"}},
			"own":               {"application/x-own", "z", user{Name: "own read z"}},
			"own suffix":        {"text/vnd.x+own", "z", user{Name: "own read z"}},
			"pattern":           {"image/gif", "z", user{Name: "wild read z"}},
			"unknown":           {"application/octet-stream", "z", `no codec for Content-Type "application/octet-stream"`},
			"none":              {"", "z", "no Content-Type"},
			"text to a struct":  {"text/plain", `{"name":"a"}`, "no codec for Content-Type"},
			"empty":             {"application/json", "", "empty"},
			"faulty":            {"application/json", `{"name":`, "unexpected end"},
		} {
			got, err := godwit.Get[user](t.Context(), c, base, godwit.Param("type", row.contentType), godwit.Param("body", row.body))
			if text, fails := row.want.(string); fails {
				if _, ok := errors.AsType[*godwit.DecodeError](err); !ok || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v, %v, want %s", name, got, err, text)
				}
			} else if err != nil || got != row.want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		type celsius float64
		temp, err := godwit.Get[celsius](t.Context(), c, base, godwit.Param("type", "text/plain"), godwit.Param("body", "21.5"))
		if err != nil || temp != 21.5 {
			t.Errorf("%v, %v", temp, err)
		}
		// The client's own rules for an empty body and for a doubtful type stay.
		p, err := godwit.Get[*user](t.Context(), c, base, godwit.Param("type", "application/json"), godwit.Param("body", ""))
		if err != nil || p != nil {
			t.Errorf("%v, %v", p, err)
		}
		u, err := godwit.Get[user](t.Context(), c, base, godwit.Param("type", "text/plain"), godwit.Param("body", `{"name":"a"}`), godwit.AnyContentType())
		if err != nil || u.Name != "a" {
			t.Errorf("%v, %v", u, err)
		}
	}, godwit.Install(negotiate.New(config)))
}

func TestLimits(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		get := func(opts ...godwit.Option) error {
			_, err := godwit.Get[user](t.Context(), c, base, append(opts, godwit.Param("type", "application/json"), godwit.Param("body", `{"name":"a"}`))...)
			return err
		}
		for name, row := range map[string]struct {
			opts []godwit.Option
			ok   bool
		}{
			"config": {nil, false}, "request": {[]godwit.Option{negotiate.MaxBytes(12)}, true}, "request, less": {[]godwit.Option{negotiate.MaxBytes(11)}, false},
			"none": {[]godwit.Option{negotiate.MaxBytes(0)}, true}, "bad": {[]godwit.Option{negotiate.MaxBytes(-1)}, false},
		} {
			if err := get(row.opts...); (err == nil) != row.ok || !row.ok && name != "bad" && !errors.Is(err, godwit.ErrBodyTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}, godwit.Install(negotiate.New(negotiate.Config{MaxBytes: 5})))
}

func receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s|%s", r.Header.Get("Content-Type"), body)
}

type fits struct {
	XMLName struct{} `xml:"f" json:"-" form:"-"`
	A       string   `json:"a" xml:"a" form:"a"`
}

func TestEncodeByType(t *testing.T) {
	config := negotiate.Config{Codecs: []godwit.Codec{tagged("first", "application/x-first"), negotiate.JSON{}, negotiate.XML{}, negotiate.Form{}, negotiate.Text{}}}
	everyengine.Run(t, receive, func(t *testing.T, c *godwit.Client, base string) {
		for name, row := range map[string]struct {
			body any
			opts []godwit.Option
			want string
		}{
			"the first":      {fits{A: "é"}, nil, "application/x-first|first wrote"},
			"json":           {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/json")}, `application/json|{"a":"é"}`},
			"suffix":         {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/x+json")}, `application/x+json|{"a":"é"}`},
			"xml":            {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/xml")}, `application/xml|<f><a>é</a></f>`},
			"charset":        {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/xml; charset=iso-8859-1")}, "application/xml; charset=iso-8859-1|<f><a>\xe9</a></f>"},
			"not in it":      {fits{A: "€"}, []godwit.Option{godwit.ContentType("application/xml; charset=iso-8859-1")}, "error: text does not fit charset iso-8859-1"},
			"not ASCII":      {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/json; charset=us-ascii")}, "error: text does not fit charset us-ascii"},
			"UTF-16":         {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/json; charset=utf-16")}, "application/json; charset=utf-16|\xff\xfe{\x00\"\x00a\x00\"\x00:\x00\"\x00\xe9\x00\"\x00}\x00"},
			"form":           {fits{A: "é"}, []godwit.Option{godwit.ContentType("application/x-www-form-urlencoded")}, "application/x-www-form-urlencoded|a=%C3%A9"},
			"text":           {color(3), []godwit.Option{godwit.ContentType("text/plain")}, "text/plain|color 3"},
			"a string":       {"s", []godwit.Option{godwit.ContentType("application/json")}, "application/json|s"},
			"bytes":          {[]byte("b"), nil, "application/octet-stream|b"},
			"raw JSON":       {json.RawMessage(`{}`), nil, "application/json|{}"},
			"a reader":       {strings.NewReader("r"), nil, "application/octet-stream|r"},
			"ignored":        {fits{A: "i"}, []godwit.Option{negotiate.Ignore(reflect.TypeFor[fits]())}, `application/json|{"a":"i"}`},
			"nobody's":       {fits{}, []godwit.Option{godwit.ContentType("a/b")}, `error: no codec for Content-Type "a/b"`},
			"does not fit":   {fits{A: "語"}, []godwit.Option{godwit.ContentType("application/json; charset=latin1")}, "error: does not fit charset latin1"},
			"no charset":     {fits{}, []godwit.Option{godwit.ContentType("application/json; charset=x-none")}, `error: unknown charset "x-none"`},
			"not marshalled": {make(chan int), []godwit.Option{godwit.ContentType("application/json")}, "error: body of type chan int as application/json"},
		} {
			got, err := godwit.Post[[]byte](t.Context(), c, base, row.body, row.opts...)
			if text, fails := strings.CutPrefix(row.want, "error: "); fails {
				if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v, want %s", name, err, text)
				}
			} else if err != nil || string(got) != row.want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}, godwit.Install(negotiate.New(config)))
}

// TestCodecPanics: what a codec stumbles over fails the call, in every way to it.
func TestCodecPanics(t *testing.T) {
	boom := func([]byte, any) error { panic("boom") }
	fine := func(any) ([]byte, error) { return []byte("{}"), nil }
	codec := negotiate.Q(negotiate.Func(fine, boom, "application/json"), 0.5)
	const want = "codec *negotiate.pair for application/json, decoding into *negotiate_test.fits, panicked: boom"
	for name, opt := range map[string]godwit.ClientOption{
		"plugin": godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{codec}})), "client": godwit.WithCodec(codec),
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			req := text("application/json", "[{}]")(base)
			var lines, items error
			for _, err := range negotiate.Lines[fits](t.Context(), c, req) {
				lines = err
			}
			for _, err := range negotiate.Items[fits](t.Context(), c, req) {
				items = err
			}
			resp, err := c.Do(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			_, as := godwit.As[fits](t.Context(), resp)
			for _, err := range []error{lines, items, as} {
				d, ok := errors.AsType[*godwit.DecodeError](err)
				if want := strings.TrimPrefix(want, "codec *negotiate.pair"); !ok || !strings.Contains(d.Error(), want) {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err = godwit.Get[fits](t.Context(), c, base, godwit.Param("type", "application/json"), godwit.Param("body", "{}"), godwit.Param("status", 1), negotiate.ErrorAs[fits]())
			if _, ok := errors.AsType[*godwit.StatusError](err); !ok {
				t.Errorf("%s, ErrorAs: %v", name, err)
			}
		}, opt)
	}
	everyengine.Run(t, receive, func(t *testing.T, c *godwit.Client, base string) {
		_, err := godwit.Post[string](t.Context(), c, base, fits{})
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || !strings.Contains(err.Error(), "encoding negotiate_test.fits, panicked: boom") {
			t.Error(err)
		}
	}, godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{negotiate.Func(func(any) ([]byte, error) { panic("boom") }, boom, "application/x")}})))
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		_, err := godwit.Get[panics](t.Context(), c, base, godwit.Param("type", "application/xml; charset=latin1"), godwit.Param("body", "<a/>"))
		if _, ok := errors.AsType[*godwit.DecodeError](err); !ok || !strings.Contains(err.Error(), "codec negotiate.XML for application/xml") {
			t.Error(err)
		}
	}, godwit.Install(negotiate.New(negotiate.Config{})))
}

type panics struct{}

func (*panics) UnmarshalXML(*xml.Decoder, xml.StartElement) error { panic("boom") }

func TestCharset(t *testing.T) {
	type doc struct {
		A string `json:"a" xml:"a" form:"a"`
	}
	latinXML := `<?xml version="1.0" encoding="ISO-8859-1"?><d><a>` + "%s" + `</a></d>`
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		for name, row := range map[string]struct{ contentType, body, want string }{
			"parameter":            {"application/json; charset=iso-8859-1", "{\"a\":\"\xe9\"}", "é"},
			"form":                 {"application/x-www-form-urlencoded; charset=windows-1252", "a=\x80", "€"},
			"UTF-8 mark":           {"application/json", "\xef\xbb\xbf{\"a\":\"é\"}", "é"},
			"UTF-8 mark wins":      {"application/json; charset=iso-8859-1", "\xef\xbb\xbf{\"a\":\"é\"}", "é"},
			"UTF-16 mark":          {"application/json", "\xff\xfe{\x00\"\x00a\x00\"\x00:\x00\"\x00\xe9\x00\"\x00}\x00", "é"},
			"declaration":          {"application/xml", fmt.Sprintf(latinXML, "\xe9"), "é"},
			"parameter over it":    {"application/xml; charset=utf-8", fmt.Sprintf(latinXML, "é"), "é"},
			"mark over it":         {"application/xml", "\xef\xbb\xbf" + fmt.Sprintf(latinXML, "é"), "é"},
			"converted, not twice": {"application/soap+xml; charset=windows-1252", fmt.Sprintf(latinXML, "\x80"), "€"},
			"unknown":              {"application/json; charset=x-none", `{"a":"b"}`, `error: unknown charset "x-none"`},
		} {
			got, err := godwit.Get[doc](t.Context(), c, base, godwit.Param("type", row.contentType), godwit.Param("body", row.body))
			if text, fails := strings.CutPrefix(row.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v", name, err)
				}
			} else if err != nil || got.A != row.want {
				t.Errorf("%s: %q, %v", name, got.A, err)
			}
		}
	}, godwit.Install(negotiate.New(negotiate.Config{})))
}

// TestBinaryIsNotText: what looks like a byte order mark is data in a format that
// is no text.
func TestBinaryIsNotText(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		for _, data := range []string{"\xef\xbb\xbfx", "\xfe\xff", "\xff\xfe"} {
			got, err := godwit.Get[user](t.Context(), c, base, godwit.Param("type", "application/x-bin; charset=utf-16"), godwit.Param("body", data))
			if err != nil || got.Name != "bin read "+data {
				t.Errorf("%q, %v", got.Name, err)
			}
		}
	}, godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{tagged("bin", "application/x-bin")}})))
}

func TestIgnoredResult(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		get := func(opts ...godwit.Option) string {
			u, err := godwit.Get[user](t.Context(), c, base, append(opts, godwit.Param("type", "application/json"), godwit.Param("body", `{"name":"std"}`))...)
			if err != nil {
				t.Error(err)
			}
			return u.Name
		}
		if got := get(); got != "std" {
			t.Errorf("by Config: %s", got)
		}
		if got := get(negotiate.Ignore()); got != `mine read {"name":"std"}` {
			t.Errorf("by the request: %s", got)
		}
	}, godwit.Install(negotiate.New(negotiate.Config{
		Codecs: []godwit.Codec{tagged("mine", "application/json")}, Ignore: []reflect.Type{reflect.TypeFor[user]()},
	})))
}

func TestBadCodecs(t *testing.T) {
	for name, row := range map[string]struct {
		codec godwit.Codec
		want  string
	}{
		"nil":       {nil, "a codec is nil"},
		"nil in Q":  {negotiate.Q(nil, 1), "a codec is nil"},
		"no types":  {negotiate.For(negotiate.JSON{}), "for no media type"},
		"weight":    {negotiate.Q(negotiate.JSON{}, 1.5), "Q(1.5)"},
		"type":      {negotiate.For(negotiate.JSON{}, "json"), `"json" is no media type`},
		"parameter": {negotiate.For(negotiate.JSON{}, "a/b;c=d"), "without parameters"},
		"pattern":   {negotiate.For(negotiate.JSON{}, "a/*"), `can't be the pattern "a/*"`},
	} {
		c := godwit.New(godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{row.codec}})))
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
		c.Close()
	}
}

func accept(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"accept": strings.Join(r.Header.Values("Accept"), "; ")})
}

func TestAccept(t *testing.T) {
	type answer struct {
		Accept string `json:"accept"`
	}
	three := []godwit.Codec{negotiate.Q(negotiate.XML{}, 0.5), negotiate.JSON{}, negotiate.Q(negotiate.Text{}, 0)}
	const standard = "application/json, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
	for name, row := range map[string]struct {
		config negotiate.Config
		client []godwit.ClientOption
		opts   []godwit.Option
		want   string
	}{
		"default":          {want: standard},
		"weights":          {config: negotiate.Config{Codecs: three}, want: "application/json, application/xml;q=0.5, text/xml;q=0.5, */*;q=0.1"},
		"low weights":      {config: negotiate.Config{Codecs: []godwit.Codec{negotiate.Q(negotiate.JSON{}, 0.01)}}, want: "application/json;q=0.01, */*;q=0.005"},
		"tiny weight":      {config: negotiate.Config{Codecs: []godwit.Codec{negotiate.Q(negotiate.JSON{}, 0.00001)}}, want: "application/json;q=0.001, */*;q=0.001"},
		"only":             {config: negotiate.Config{Codecs: three, Only: true}, want: "application/json, application/xml;q=0.5, text/xml;q=0.5"},
		"exclude":          {opts: []godwit.Option{negotiate.Exclude("*/xml")}, want: "application/json, */*;q=0.1"},
		"exclude pattern":  {opts: []godwit.Option{negotiate.Exclude("text/*", "application/json")}, want: "application/xml;q=0.9, */*;q=0.1"},
		"exclude, client":  {client: []godwit.ClientOption{negotiate.Exclude("text/xml")}, want: "application/json, application/xml;q=0.9, */*;q=0.1"},
		"exclude all":      {opts: []godwit.Option{negotiate.Exclude("*/*")}, want: "*/*"},
		"kept":             {opts: []godwit.Option{godwit.Accept("a/b")}, want: "a/b"},
		"kept, the same":   {opts: []godwit.Option{godwit.Accept("application/json, */*;q=0.5")}, want: "application/json, */*;q=0.5"},
		"kept, client":     {client: []godwit.ClientOption{godwit.Accept("a/b")}, want: "a/b"},
		"kept, client's":   {client: []godwit.ClientOption{godwit.Accept("application/json, */*;q=0.5")}, want: "application/json, */*;q=0.5"},
		"added":            {opts: []godwit.Option{godwit.Accept("a/b"), negotiate.AcceptMerge(negotiate.AddToAccept)}, want: "a/b, application/json, application/xml;q=0.9, text/xml;q=0.9"},
		"added, covered":   {config: negotiate.Config{Merge: negotiate.AddToAccept}, opts: []godwit.Option{godwit.Accept("application/*;q=0.3", "a/b")}, want: "application/*;q=0.3, a/b, text/xml;q=0.9"},
		"added, excluded":  {config: negotiate.Config{Merge: negotiate.AddToAccept}, opts: []godwit.Option{godwit.Accept("a/b"), negotiate.Exclude("*/*")}, want: "a/b"},
		"added to default": {config: negotiate.Config{Merge: negotiate.AddToAccept}, want: standard},
		"the client's":     {client: []godwit.ClientOption{godwit.WithCodec(tagged("c", "application/c", "application/json"))}, want: "application/json, application/c, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := append(row.client, godwit.Install(negotiate.New(row.config)))
			everyengine.Run(t, accept, func(t *testing.T, c *godwit.Client, base string) {
				got, err := godwit.Get[answer](t.Context(), c, base, row.opts...)
				if err != nil || got.Accept != row.want {
					t.Errorf("%v\ngot  %s\nwant %s", err, got.Accept, row.want)
				}
			}, opts...)
		})
	}
	for _, always := range []bool{false, true} {
		everyengine.Run(t, accept, func(t *testing.T, c *godwit.Client, base string) {
			want := `{"accept":"*/*"}`
			if always {
				want = `{"accept":"` + standard + `"}`
			}
			text, err := godwit.Get[string](t.Context(), c, base)
			if strings.TrimSpace(text) != want || err != nil {
				t.Errorf("always %v: %s, %v", always, text, err)
			}
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.Accept("*/*")))
			if err != nil || strings.TrimSpace(resp.Text()) != `{"accept":"*/*"}` {
				t.Errorf("always %v, set by hand: %v, %v", always, resp, err)
			}
		}, godwit.Install(negotiate.New(negotiate.Config{Always: always})))
	}
}

func TestPluginOf(t *testing.T) {
	// A response that no call made is decoded by the default client's rules.
	p := negotiate.New(negotiate.Config{})
	c := godwit.New(godwit.Install(p))
	defer c.Close()
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	if got, ok := godwit.PluginOf[*negotiate.Plugin](c); !ok || got != p || got.Name() != "negotiate" {
		t.Error("the plugin is not in its client")
	}
}

func TestConcurrent(t *testing.T) {
	everyengine.Run(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		io.Copy(w, r.Body)
	}, func(t *testing.T, c *godwit.Client, base string) {
		types := []string{"application/json", "application/xml", "application/x-www-form-urlencoded", "application/x+json; charset=utf-16"}
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				u := user{fmt.Sprint("é", i), i}
				got, err := godwit.Post[user](context.WithoutCancel(t.Context()), c, base, u, godwit.ContentType(types[i%len(types)]))
				if err != nil || got != u {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wg.Wait()
	}, godwit.Install(negotiate.New(negotiate.Config{})))
}
