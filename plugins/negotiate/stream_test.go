package negotiate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/negotiate"
)

// collect runs an iterator to its end: each value, or the text of its error after
// an exclamation mark.
func collect[T any](seq iter.Seq2[T, error], show func(T) string) string {
	var out []string
	for v, err := range seq {
		if err != nil {
			out = append(out, "!"+err.Error())
		} else {
			out = append(out, show(v))
		}
	}
	return strings.Join(out, " | ")
}

func text(contentType, body string, opts ...godwit.Option) func(base string) *godwit.Request {
	return func(base string) *godwit.Request {
		return godwit.NewRequest("GET", base, append(opts, godwit.Param("type", contentType), godwit.Param("body", body))...)
	}
}

func show[T any](v T) string { return fmt.Sprintf("%+v", v) }

// check compares: want ends with what an error contains, if it has an
// exclamation mark.
func check(t *testing.T, name, got, want string) {
	t.Helper()
	values, failure, fails := strings.Cut(want, "!")
	if !fails && got != want || fails && (!strings.HasPrefix(got, values+"!") || !strings.Contains(got[len(values):], failure)) {
		t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
	}
}

func TestLines(t *testing.T) {
	users := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Lines[user](context.Background(), c, req), show)
	}
	raw := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Lines[string](context.Background(), c, req), func(s string) string { return fmt.Sprintf("%q", s) })
	}
	long := `{"name":"` + strings.Repeat("x", 40<<10) + `"}`
	for name, row := range map[string]struct {
		read func(*godwit.Client, *godwit.Request) string
		req  func(string) *godwit.Request
		want string
	}{
		"ndjson":          {users, text("application/x-ndjson", "{\"name\":\"a\"}\n{\"name\":\"b\"}\n"), "{Name:a Age:0} | {Name:b Age:0}"},
		"no end, empties": {users, text("application/jsonl", "\r\n{\"name\":\"a\"}\r\n\n  \n{\"name\":\"b\"}"), "{Name:a Age:0} | {Name:b Age:0}"},
		"sequence":        {users, text("application/json-seq", "\x1e{\"name\":\"a\"}\n\x1e{\"name\":\"b\"}\n"), "{Name:a Age:0} | {Name:b Age:0}"},
		"seq., lines":     {users, text("application/json-seq", "\n\x1e\x1e{\n \"name\": \"a}\\\"{\"\n}\n\x1e{\"name\":\n\"b\"}\n"), "{Name:a}\"{ Age:0} | {Name:b Age:0}"},
		"seq., suffix":    {users, text("application/x+json-seq", "\x1e{\n\"name\":\"a\"}"), "{Name:a Age:0}"},
		"seq., raw":       {raw, text("application/json-seq", "\x1e{\n1\r\n}\r\n\x1e2"), `"{\n1\r\n}" | "2"`},
		"seq., limit":     {raw, text("application/json-seq", "\x1e{\n345}\n\x1e{\n3456}\n", negotiate.MaxItem(6)), `"{\n345}" | !text 2: item too long`},
		"mark":            {users, text("", "\xef\xbb\xbf{\"name\":\"a\"}"), "{Name:a Age:0}"},
		"charset":         {users, text("application/x-ndjson; charset=latin1", "{\"name\":\"\xe9\"}\n"), "{Name:é Age:0}"},
		"utf-16":          {raw, text("text/plain", "\xfe\xff\x00a\x00\n\x00\xe9"), `"a" | "é"`},
		"bad charset":     {users, text("text/plain; charset=x-none", "{}"), `!unknown charset "x-none"`},
		"empty":           {users, text("", ""), ""},
		"goes on":         {users, text("text/plain", "{\"name\":1}\n{\"name\":\"b\"}"), "!line 1: json: cannot unmarshal number"},
		"snippet":         {users, text("text/plain", "nope\n"), `!decode negotiate_test.user from text/plain: line 1: invalid character 'o' in literal null (expecting 'u'); body starts "nope"`},
		"raw":             {raw, text("text/plain", "a\n\nb\r\n"), `"a" | "" | "b"`},
		"long":            {users, text("", long+"\n{}"), "{Name:" + strings.Repeat("x", 40<<10) + " Age:0} | {Name: Age:0}"},
		"just":            {raw, text("", "12345\r\n12345", negotiate.MaxItem(5)), `"12345" | "12345"`},
		"too long":        {raw, text("", "12345\n123456\n1", negotiate.MaxItem(5)), `"12345" | !line 2: item too long: more than 5 bytes (raise the limit with negotiate.MaxItem)`},
		"too long at end": {raw, text("", "123456", negotiate.MaxItem(5)), "!line 1: item too long"},
		"far too long":    {raw, text("", long, negotiate.MaxItem(1000)), "!line 1: item too long"},
		"status":          {users, text("text/plain", "oops", godwit.Param("status", 1)), "!status 418 I'm a teapot: \"oops\""},
		"status, allowed": {users, text("text/plain", "oops", godwit.Param("status", 1), godwit.ExpectSuccess(false)), "!status 418"},
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			check(t, name, row.read(c, row.req(base)), row.want)
		})
	}
}

// TestSequence: a broken text costs no other, one that may be cut is none, and
// each is given before the next one comes.
func TestSequence(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		var got []string
		body := "\x1e{\n\x1e[\"\n\n\x1e12\x1e13 \x1etrue\n\x1e{}}\n\x1e[\n]\x1e\"x\"\x1e14"
		for v, err := range negotiate.Lines[any](t.Context(), c, text("application/json-seq", body)(base)) {
			if broken, ok := errors.AsType[*godwit.DecodeError](err); ok {
				got = append(got, "!"+broken.Err.Error())
			} else {
				got = append(got, fmt.Sprint(v))
			}
		}
		const cut = "the text may be cut: a number, true, false or null in a sequence ends with white space (RFC 7464 §2.4)"
		want := []string{
			"!text 1: unexpected end of JSON input", "!text 2: unexpected end of JSON input", "!text 3: " + cut, "13", "true",
			"!text 6: invalid character '}' after top-level value", "[]", "x", "!text 9: " + cut,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
	r, w := io.Pipe()
	answer := mock.Status(200).WithHeader("Content-Type", "application/json-seq").WithReader(r)
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(answer)))
	defer c.Close()
	more := make(chan string, 1)
	more <- "\x1e{\n}\n"
	go func() {
		for s := range more {
			io.WriteString(w, s)
		}
		w.Close()
	}()
	n := 0
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for v, err := range negotiate.Lines[map[string]int](ctx, c, godwit.NewRequest("GET", "http://h/")) {
		if n++; err != nil || len(v) > 0 {
			t.Error(v, err)
		}
		if n == 1 {
			more <- "\x1e{\n}\n" // the first came before this one began
			close(more)
		}
	}
	if n != 2 {
		t.Errorf("%d texts", n)
	}
}

func TestLinesKinds(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		req := text("", "{\"a\": 1}\n\n[2]\n")(base)
		var kept [][]byte
		for line, err := range negotiate.Lines[[]byte](t.Context(), c, req) {
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, line)
		}
		if got := fmt.Sprintf("%q", kept); got != `["{\"a\": 1}" "" "[2]"]` {
			t.Errorf("bytes: %s", got)
		}
		var raw []json.RawMessage
		for v, err := range negotiate.Lines[json.RawMessage](t.Context(), c, req) {
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, v)
		}
		if got := fmt.Sprintf("%s", raw); got != `[{"a": 1} [2]]` {
			t.Errorf("raw: %s", got)
		}
	})
}

// TestGoesOn: one bad value is not the end of the stream.
func TestGoesOn(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		for name, seq := range map[string]iter.Seq2[user, error]{
			"lines": negotiate.Lines[user](t.Context(), c, text("", "{\"name\":1}\n{\"name\":\"b\"}")(base)),
			"items": negotiate.Items[user](t.Context(), c, text("", `[{"name":1},{"name":"b"}]`)(base)),
			"rows":  negotiate.Rows[user](t.Context(), c, text("", "name,age\na,x\nb,0\n")(base)),
			"short": negotiate.Rows[user](t.Context(), c, text("", "name,age\na\nb,0\n")(base)),
		} {
			var bad, good int
			for v, err := range seq {
				switch de, ok := errors.AsType[*godwit.DecodeError](err); {
				case ok && v == user{} && de.Snippet != "":
					bad++
				case err == nil && v.Name == "b":
					good++
				default:
					t.Errorf("%s: %v, %v", name, v, err)
				}
				if ge, ok := errors.AsType[*godwit.Error](err); err != nil && (!ok || ge.Op != engine.OpDecode || ge.Method != "GET" || !strings.HasPrefix(ge.URL, base) || ge.Attempt != 1) {
					t.Errorf("%s: envelope %+v", name, ge)
				}
			}
			if bad != 1 || good != 1 {
				t.Errorf("%s: %d bad, %d good", name, bad, good)
			}
		}
	})
}

func TestItems(t *testing.T) {
	users := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Items[user](context.Background(), c, req), show)
	}
	words := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Items[string](context.Background(), c, req), show)
	}
	big := `"` + strings.Repeat("x", 20<<10) + `"`
	for name, row := range map[string]struct {
		read func(*godwit.Client, *godwit.Request) string
		req  func(string) *godwit.Request
		want string
	}{
		"array":           {users, text("application/json", ` [ {"name":"a"} , {"name":"b","age":2} ] `), "{Name:a Age:0} | {Name:b Age:2}"},
		"strings":         {words, text("", `["a","b"]`), "a | b"},
		"empty":           {users, text("", `[]`), ""},
		"null":            {users, text("", `null`), ""},
		"null and more":   {users, text("", `null 1`), "!data after null"},
		"object":          {users, text("", `{"a":1}`), "!the body begins with {, where a JSON array is wanted"},
		"nothing":         {users, text("", ``), "!unexpected EOF"},
		"no JSON":         {users, text("text/html", `<html>`), "!invalid character '<'"},
		"cut in element":  {words, text("", `["a","b`), "a | !unexpected EOF"},
		"cut after comma": {words, text("", `["a",`), "a | !unexpected EOF"},
		"cut at end":      {words, text("", `["a"`), "a | !unexpected EOF"},
		"more":            {words, text("", `["a"] 1`), "a | !1 after the end of the array"},
		"no comma":        {words, text("", `["a" "b"]`), "a | !expected comma after array element"},
		"charset":         {words, text("application/json; charset=latin1", "[\"\xe9\"]"), "é"},
		"just":            {words, text("", `["123",`+strings.Repeat(" ", 6000)+`"456"]`, negotiate.MaxItem(5)), "123 | 456"},
		"too long":        {words, text("", `["123","1234"]`, negotiate.MaxItem(5)), "123 | !element 2: item too long: more than 5 bytes"},
		"far too long":    {words, text("", `["123",`+big+`]`, negotiate.MaxItem(5)), "123 | !element 2: item too long"},
		"endless space":   {words, text("", `["123",`+strings.Repeat(" ", 20<<10)+`]`, negotiate.MaxItem(5)), "123 | !element 2: item too long"},
		"long":            {words, text("", `[`+big+`,"a"]`), strings.Repeat("x", 20<<10) + " | a"},
		"status":          {words, text("text/plain", "oops", godwit.Param("status", 1)), "!status 418"},
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			check(t, name, row.read(c, row.req(base)), row.want)
		})
	}
}

// TestStrictItems: the plugin's JSON codec is the one that decodes.
func TestStrictItems(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		for name, seq := range map[string]iter.Seq2[user, error]{
			"items": negotiate.Items[user](t.Context(), c, text("", `[{"x":1}]`)(base)),
			"lines": negotiate.Lines[user](t.Context(), c, text("", `{"x":1}`)(base)),
		} {
			check(t, name, collect(seq, show), `!unknown field "x"`)
		}
	}, godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{negotiate.JSON{Mode: negotiate.Strict}}})))
}

func TestRows(t *testing.T) {
	plain := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Rows[[]string](context.Background(), c, req), func(r []string) string { return fmt.Sprintf("%q", r) })
	}
	users := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Rows[user](context.Background(), c, req), show)
	}
	maps := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Rows[map[string]string](context.Background(), c, req), show)
	}
	type table struct {
		A *float64
		B *string
		C *time.Time
		D string
	}
	cells := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Rows[table](context.Background(), c, req), func(r table) string {
			if r.A == nil {
				return fmt.Sprintf("%v %v %v %q", r.A, r.B, r.C, r.D)
			}
			return fmt.Sprintf("%v %v %v %q", *r.A, *r.B, r.C.Year(), r.D)
		})
	}
	for name, row := range map[string]struct {
		read func(*godwit.Client, *godwit.Request) string
		req  func(string) *godwit.Request
		want string
	}{
		"records":     {plain, text("text/csv", "a,\"b\"\"\nc\"\r\n1\n"), `["a" "b\"\nc"] | ["1"]`},
		"structs":     {users, text("text/csv", "Age,x,name\n7,y,a\n8,z,b"), "{Name:a Age:7} | {Name:b Age:8}"},
		"maps":        {maps, text("text/csv", "k,l\n1,2\n"), "map[k:1 l:2]"},
		"empty cells": {cells, text("text/csv", "A,B,C,D\n,,,\n1.5,x,2026-01-02T00:00:00Z,\n"), "<nil> <nil> <nil> \"\" | 1.5 x 2026 \"\""},
		"empty, maps": {func(c *godwit.Client, req *godwit.Request) string {
			return collect(negotiate.Rows[map[string]*int](context.Background(), c, req), func(m map[string]*int) string { return fmt.Sprint(m["a"] == nil, *m["b"], len(m)) })
		}, text("text/csv", "a,b\n,2\n"), "true 2 2"},
		"empty number": {users, text("text/csv", "age\n\"\"\n"), "!record 2: parameter \"age\""},
		"mark":         {maps, text("text/csv", "\xef\xbb\xbfk\n1\n"), "map[k:1]"},
		"charset":      {plain, text("text/csv; charset=latin1", "\xe9\n"), `["é"]`},
		"tabs":         {plain, text("text/tab-separated-values", "a\tb,c\n"), `["a" "b,c"]`},
		"semicolons":   {plain, text("text/csv", "a;b,c\n", negotiate.Comma(';')), `["a" "b,c"]`},
		"empty":        {users, text("text/csv", ""), ""},
		"names alone":  {users, text("text/csv", "name\n"), ""},
		"quotes":       {plain, text("text/csv", "a\n\"b\n"), `["a"] | !extraneous or missing " in quoted-field`},
		"bad comma":    {plain, text("text/csv", "a\n", negotiate.Comma('"')), "!invalid field or comment delimiter"},
		"just":         {plain, text("text/csv", "1234\n5678\n", negotiate.MaxItem(5)), `["1234"] | ["5678"]`},
		"too long":     {plain, text("text/csv", "1234\n\"56\n78\"\n", negotiate.MaxItem(5)), `["1234"] | !record 2: item too long`},
		"unclosed":     {plain, text("text/csv", "1234\n\""+strings.Repeat("x\n", 10<<10), negotiate.MaxItem(5)), `["1234"] | !record 2: item too long`},
		"status":       {plain, text("text/plain", "oops", godwit.Param("status", 1)), "!status 418"},
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			check(t, name, row.read(c, row.req(base)), row.want)
		})
	}
}

func TestParts(t *testing.T) {
	parts := func(c *godwit.Client, req *godwit.Request) string {
		return collect(negotiate.Parts(context.Background(), c, req), func(p *content.IncomingPart) string {
			data, err := io.ReadAll(p.Body)
			return fmt.Sprintf("%s=%s %v", p.Name, data, err)
		})
	}
	const one = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n"
	for name, row := range map[string]struct {
		req  func(string) *godwit.Request
		want string
	}{
		"two":         {text("multipart/mixed; boundary=b", one+strings.Replace(one, "x", "y", 1)+"--b--\r\n"), "x=1 <nil> | y=1 <nil>"},
		"cut":         {text("multipart/mixed; boundary=b", one+"--b\r\nCont"), "x=1 <nil> | !malformed"},
		"another":     {text("text/plain", "x"), `!"text/plain" is not a multipart type`},
		"no boundary": {text("multipart/mixed", "x"), "!boundary"},
		"status":      {text("text/plain", "oops", godwit.Param("status", 1)), "!status 418"},
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			check(t, name, parts(c, row.req(base)), row.want)
		})
	}
}

// TestBreakReleases: leaving the loop closes the body, and the server notices.
func TestBreakReleases(t *testing.T) {
	first := map[string]string{"lines": "{}\n", "items": "[{},", "rows": "name\na\n", "parts": "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b\r\n"}
	gone := make(chan struct{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
		io.WriteString(w, first[r.URL.Path[1:]])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		if r.URL.Query().Has("endless") {
			<-r.Context().Done()
			gone <- struct{}{}
		}
	}
	loops := map[string]func(context.Context, *godwit.Client, *godwit.Request) error{
		"lines": func(ctx context.Context, c *godwit.Client, req *godwit.Request) error {
			return firstOf(negotiate.Lines[user](ctx, c, req))
		},
		"items": func(ctx context.Context, c *godwit.Client, req *godwit.Request) error {
			return firstOf(negotiate.Items[user](ctx, c, req))
		},
		"rows": func(ctx context.Context, c *godwit.Client, req *godwit.Request) error {
			return firstOf(negotiate.Rows[user](ctx, c, req))
		},
		"parts": func(ctx context.Context, c *godwit.Client, req *godwit.Request) error {
			return firstOf(negotiate.Parts(ctx, c, req))
		},
	}
	for name, loop := range loops {
		everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
			req := godwit.NewRequest("GET", base+"/"+name)
			mocked := strings.Contains(t.Name(), "/mock") // its handler answers with whole bodies
			if !mocked {
				req.With(godwit.Param("endless", 1))
			}
			// The first value comes while the server goes on.
			if err := loop(t.Context(), c, req); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !mocked {
				<-gone
			}
		})
	}
}

func firstOf[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		return err
	}
	return errors.New("nothing came")
}

func TestBrokenStream(t *testing.T) {
	for name, row := range map[string]struct {
		body string
		read func(context.Context, *godwit.Client, *godwit.Request) string
		want string
	}{
		"lines": {"{}\n{\"name\"", func(ctx context.Context, c *godwit.Client, r *godwit.Request) string {
			return collect(negotiate.Lines[user](ctx, c, r), show)
		}, "{Name: Age:0} | !unexpected EOF"},
		"items": {`[{},{"name"`, func(ctx context.Context, c *godwit.Client, r *godwit.Request) string {
			return collect(negotiate.Items[user](ctx, c, r), show)
		}, "{Name: Age:0} | !unexpected EOF"},
		"items, between": {`[{},`, func(ctx context.Context, c *godwit.Client, r *godwit.Request) string {
			return collect(negotiate.Items[user](ctx, c, r), show)
		}, "{Name: Age:0} | !unexpected EOF"},
		"rows": {"name\na\nb", func(ctx context.Context, c *godwit.Client, r *godwit.Request) string {
			return collect(negotiate.Rows[user](ctx, c, r), show)
		}, "{Name:a Age:0} | !unexpected EOF"},
	} {
		eng := mock.New(mock.OK(row.body + strings.Repeat(" ", 100)).WithTruncation(len(row.body)))
		c := godwit.New(godwit.WithEngineInstance(eng))
		got := row.read(t.Context(), c, godwit.NewRequest("GET", "http://example.org/"))
		check(t, name, got, row.want)
		c.Close()
		eng.AssertBodiesClosed(t)
		eng.Close()
	}
}

func TestStreamAccept(t *testing.T) {
	everyengine.Run(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Header.Get("Accept")) }, func(t *testing.T, c *godwit.Client, base string) {
		req := godwit.NewRequest("GET", base)
		check(t, "default", collect(negotiate.Lines[string](t.Context(), c, req), show), "application/x-ndjson, application/jsonl, application/json-seq, */*;q=0.1")
		if req.Header.Len() != 0 {
			t.Errorf("the request was changed: %v", req.Header)
		}
		check(t, "own", collect(negotiate.Lines[string](t.Context(), c, req.Clone().With(godwit.Accept("a/b"))), show), "a/b")
		seq := negotiate.Lines[string](t.Context(), c, req)
		if one, two := collect(seq, show), collect(seq, show); one != two || one == "" {
			t.Errorf("used twice: %q, %q", one, two)
		}
		check(t, "nil", collect(negotiate.Lines[string](t.Context(), c, nil), show), "!request is nil")
	})
}

func TestStreamsConcurrent(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				var names []string
				for u, err := range negotiate.Rows[user](t.Context(), c, text("text/csv", "name\na\nb\n")(base)) {
					if err != nil {
						t.Error(err)
					}
					names = append(names, u.Name)
				}
				for u, err := range negotiate.Items[user](t.Context(), c, text("", `[{"name":"c"}]`)(base)) {
					if err != nil {
						t.Error(err)
					}
					names = append(names, u.Name)
				}
				if !slices.Equal(names, []string{"a", "b", "c"}) {
					t.Error(names)
				}
			})
		}
		wg.Wait()
	}, godwit.Install(negotiate.New(negotiate.Config{})))
}
