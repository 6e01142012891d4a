package header_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/header"
)

func TestSplitList(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"one", "a", []string{"a"}},
		{"three", "a, b\t,c", []string{"a", "b", "c"}},
		{"empty elements", ",a,, ,b,", []string{"a", "b"}},
		{"comma in quotes", `"a,b",c`, []string{`"a,b"`, "c"}},
		{"escaped quote", `x="a\",b", c`, []string{`x="a\",b"`, "c"}},
		{"quote not closed", `a, "b, c`, []string{"a", `"b, c`}},
		{"backslash at the end", `a, "b\`, []string{"a", `"b\`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := header.SplitList(tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for one := range header.List("a, b") {
		if one != "a" {
			t.Errorf("List went on after break: %q", one)
		}
		break
	}
}

func TestHasToken(t *testing.T) {
	h := header.New("Connection", "keep-alive, Upgrade", "X", "close", "connection", `"close", x-close`)
	for token, want := range map[string]bool{"upgrade": true, "KEEP-ALIVE": true, "x-close": true, "close": false, "": false} {
		if got := header.HasToken(h, "connection", token); got != want {
			t.Errorf("HasToken(%q) = %v", token, got)
		}
	}
	if n := testing.AllocsPerRun(10, func() { header.HasToken(h, "Connection", "close") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseAccept(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"order kept", "a, b;q=1.000, c", "a, b, c"},
		{"sorted", "a;q=0.5, b, c;q=0, d;q=0.9", "b, d;q=0.9, a;q=0.5, c;q=0"},
		{"parameters", `text/html;Level=1;q=0.3;ext="a,b"`, `text/html;level=1;ext="a,b";q=0.3`},
		{"spaces", " a ; q=0.2 ,b ; Q=0.3", "b;q=0.3, a;q=0.2"},
		{"bad weights left out", "a;q=2, b;q=-1, c;q=x, d;q=0.1234, e;q=, f;q=1.5, g;q=.5, h;q=0.5", "h;q=0.5"},
		{"no value", ";q=1, a", "a"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, w := range header.ParseAccept(tt.in) {
				got = append(got, w.String())
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestFormatQ(t *testing.T) {
	for q, want := range map[float64]string{
		1: "1", 0: "0", 0.5: "0.5", 1.0 / 3: "0.333", 0.9996: "1", 0.0004: "0", 7: "1", -1: "0",
		math.Inf(1): "1", math.NaN(): "0", 0.1: "0.1", 1e-9: "0",
	} {
		if got := header.FormatQ(q); got != want {
			t.Errorf("FormatQ(%v) = %q, want %q", q, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	tests := []struct {
		name, in string
		want     time.Time // zero = failure
	}{
		{"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", want},
		{"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", want},
		{"asctime", "Sun Nov  6 08:49:37 1994", want},
		{"asctime, two digits", "Wed Nov 16 08:49:37 1994", want.AddDate(0, 0, 10)},
		{"white space around", " Sun, 06 Nov 1994 08:49:37 GMT\t", want},
		{"wrong weekday", "Mon, 06 Nov 1994 08:49:37 GMT", want},
		{"leap second", "Fri, 31 Dec 2016 23:59:60 GMT", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"other zone", "Sun, 06 Nov 1994 08:49:37 CET", time.Time{}},
		{"one-digit day", "Sun, 6 Nov 1994 08:49:37 GMT", time.Time{}},
		{"fraction", "Sun, 06 Nov 1994 08:49:37.5 GMT", time.Time{}},
		{"no such day", "Sun, 31 Feb 1994 08:49:37 GMT", time.Time{}},
		{"number", "0", time.Time{}},
		{"empty", "", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := header.ParseDate(tt.in)
			if ok == tt.want.IsZero() || ok && !got.Equal(tt.want) {
				t.Errorf("got %v, %v, want %v", got, ok, tt.want)
			}
		})
	}
	if got := header.FormatDate(want.In(time.FixedZone("", 3600))); got != "Sun, 06 Nov 1994 08:49:37 GMT" {
		t.Errorf("FormatDate: %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"120", 2 * time.Minute, true},
		{"0", 0, true},
		{"Tue, 01 Jan 2030 00:01:00 GMT", time.Minute, true},
		{"Mon, 31 Dec 2029 00:00:00 GMT", 0, true},
		{"Tuesday, 01-Jan-30 00:01:00 GMT", time.Minute, true},
		{"99999999999999999999999", math.MaxInt64 / time.Second * time.Second, true},
		{"-1", 0, false},
		{"1.5", 0, false},
		{"soon", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, ok := header.RetryAfter(header.New("retry-after", tt.in), now)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
	if _, ok := header.RetryAfter(header.Header{}, now); ok {
		t.Error("a wait out of nothing")
	}
}

// A two-digit year is the one nearest to now that is at most 50 years ahead.
func TestTwoDigitYear(t *testing.T) {
	tests := []struct{ now, yy, want int }{
		{2026, 26, 2026}, {2026, 75, 2075}, {2026, 77, 1977}, {2026, 99, 1999}, {2026, 0, 2000},
		{2080, 10, 2010}, {2080, 99, 2099}, {2130, 70, 2170}, {2130, 90, 2090},
	}
	for _, tt := range tests {
		in := time.Date(2000+tt.yy, 3, 1, 0, 0, 0, 0, time.UTC).Format("Monday, 02-Jan-06 15:04:05 GMT")
		now := time.Date(tt.now, 6, 1, 0, 0, 0, 0, time.UTC)
		want := max(time.Date(tt.want, 3, 1, 0, 0, 0, 0, time.UTC).Sub(now), 0)
		if got, ok := header.RetryAfter(header.New("Retry-After", in), now); !ok || got != want {
			t.Errorf("%q in %d: %v, %v, want %v", in, tt.now, got, ok, want)
		}
	}
}

func TestCacheControl(t *testing.T) {
	h := header.New("Cache-Control", `Max-Age=60, no-cache="Set-Cookie, X", , private`,
		"cache-control", `s-maxage="5", max-age=7, bad name=1, immutable, stale-if-error=x`)
	d := header.CacheControl(h)
	if s, ok := d.Seconds("MAX-AGE"); s != time.Minute || !ok {
		t.Errorf("max-age %v, %v", s, ok)
	}
	if s, ok := d.Seconds("s-maxage"); s != 5*time.Second || !ok {
		t.Errorf("s-maxage %v, %v", s, ok)
	}
	if s, ok := d.Seconds("stale-if-error"); ok {
		t.Errorf("stale-if-error %v", s)
	}
	if !d.Has("private") || !d.Has("Immutable") || d.Has("no-store") || d.Has("bad name") {
		t.Errorf("directives %v", d)
	}
	if got := d.Fields("no-cache"); !slices.Equal(got, []string{"Set-Cookie", "X"}) {
		t.Errorf("no-cache fields %q", got)
	}
	if v, ok := d.Get("private"); v != "" || !ok {
		t.Errorf("private %q, %v", v, ok)
	}
	want := `max-age=60, no-cache="Set-Cookie, X", private, s-maxage=5, max-age=7, immutable, stale-if-error=x`
	if got := d.String(); got != want {
		t.Errorf("String %q", got)
	}
}

func TestETag(t *testing.T) {
	tests := []struct {
		in   string
		want header.ETag
		ok   bool
	}{
		{`"xyzzy"`, header.ETag{Tag: "xyzzy"}, true},
		{` W/"xyzzy" `, header.ETag{Tag: "xyzzy", Weak: true}, true},
		{`""`, header.ETag{}, true},
		{`w/"x"`, header.ETag{}, false},
		{`xyzzy`, header.ETag{}, false},
		{`"`, header.ETag{}, false},
		{`W/`, header.ETag{}, false},
		{`"a"b"`, header.ETag{}, false},
		{`"a b"`, header.ETag{}, false},
		{"\"\x7f\"", header.ETag{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			e, ok := header.ParseETag(tt.in)
			if e != tt.want || ok != tt.ok {
				t.Fatalf("got %v, %v", e, ok)
			}
			if ok && e.String() != strings.TrimSpace(tt.in) {
				t.Errorf("String() = %s", e)
			}
		})
	}
	strong, weak, other := header.ETag{Tag: "1"}, header.ETag{Tag: "1", Weak: true}, header.ETag{Tag: "2"}
	// RFC 9110 §8.8.3.2, table 3
	for i, row := range []struct {
		a, b             header.ETag
		strongly, weakly bool
	}{{weak, weak, false, true}, {weak, other, false, false}, {weak, strong, false, true}, {strong, strong, true, true}} {
		if row.a.StrongMatch(row.b) != row.strongly || row.a.WeakMatch(row.b) != row.weakly {
			t.Errorf("row %d: %v and %v", i+1, row.a, row.b)
		}
	}
}

func TestDisposition(t *testing.T) {
	tests := []struct {
		name, in    string
		typ         string // "" = failure
		field, file string
		whole       string
	}{
		{"form field", `form-data; name="a"`, "form-data", "a", "", ""},
		{"file", `Form-Data; Name=a; FileName="b c.txt"`, "form-data", "a", "b c.txt", "b c.txt"},
		{"attachment only", "attachment", "attachment", "", "", ""},
		{"extended wins", `attachment; filename="EURO.txt"; filename*=UTF-8''%e2%82%ac%20rates`, "attachment", "", "€ rates", "€ rates"},
		{"latin 1", `attachment; filename*=iso-8859-1'en'%A3%20rates`, "attachment", "", "£ rates", "£ rates"},
		{"bad escape falls back", `attachment; filename=a; filename*=UTF-8''%e2%8`, "attachment", "", "a", "a"},
		{"bad UTF-8 falls back", `attachment; filename=a; filename*=UTF-8''%ff`, "attachment", "", "a", "a"},
		{"not hexadecimal falls back", `attachment; filename=a; filename*=UTF-8''%2g`, "attachment", "", "a", "a"},
		{"no quotes fall back", `attachment; filename=a; filename*=UTF-8'x`, "attachment", "", "a", "a"},
		{"unknown charset falls back", `attachment; filename=a; filename*=koi8-r''b`, "attachment", "", "a", "a"},
		{"path is cut", `attachment; filename="../../etc/passwd"`, "attachment", "", "passwd", "../../etc/passwd"},
		{"encoded path is cut", `attachment; filename*=UTF-8''..%2f..%5Cx`, "attachment", "", "x", `../..\x`},
		{"dots", `attachment; filename=".."`, "attachment", "", "", ".."},
		{"slash at the end", `attachment; filename="a/"`, "attachment", "", "", "a/"},
		{"escaped quote", `form-data; name="a\"b;c"`, "form-data", `a"b;c`, "", ""},
		{"junk between", `form-data; ; x y=1; name=a`, "form-data", "a", "", ""},
		{"no type", `; name=a`, "", "", "", ""},
		{"empty", "", "", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, ok := header.ParseDisposition(tt.in)
			if ok != (tt.typ != "") || d.Type != tt.typ {
				t.Fatalf("got %v, %v", d, ok)
			}
			if d.Name() != tt.field || d.Filename() != tt.file || d.Param("filename") != tt.whole {
				t.Errorf("name %q, file %q, whole %q", d.Name(), d.Filename(), d.Param("filename"))
			}
		})
	}
	got := header.FormatDisposition("form-data", header.Param{Name: "name", Value: "a\"b\r\nc\\ü"}, header.Param{Name: "filename", Value: ""})
	if want := `form-data; name="a%22b%0D%0Ac\ü"; filename=""`; got != want {
		t.Errorf("FormatDisposition: %s, want %s", got, want)
	}
}

func TestLinks(t *testing.T) {
	h := header.New(
		"Link", `<https://a/?x=1,2;3>; rel="next  prev"; Title="a, b", </b>;rel=last ,<c>`,
		"link", `junk <d>; rel=x, <e> rel=x, <f>; title*=UTF-8''%e2%82%ac; title=x; anchor=#a`,
		"Link", `<g`, "Link", "none")
	var got []string
	for _, l := range header.ParseLinks(h) {
		got = append(got, l.String())
	}
	want := []string{
		`<https://a/?x=1,2;3>; rel="next  prev"; title="a, b"`, `</b>; rel=last`, `<c>`,
		`<f>; title*=UTF-8''%e2%82%ac; title=x; anchor=#a`,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	links := header.ParseLinks(h)
	if l := links[0]; !l.HasRel("PREV") || !l.HasRel("next") || l.HasRel("last") || l.Rel() != "next  prev" {
		t.Errorf("rel %q", l.Rel())
	}
	if got := links[3].Param("title"); got != "€" {
		t.Errorf("title %q", got)
	}
}

func TestContentLength(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want int64
		ok   bool
		err  string
	}{
		{"none", nil, 0, false, ""},
		{"zero", []string{"0"}, 0, true, ""},
		{"largest", []string{"9223372036854775807"}, math.MaxInt64, true, ""},
		{"too large", []string{"9223372036854775808"}, 0, false, "too large"},
		{"the same twice", []string{"5", "5 , 5"}, 5, true, ""},
		{"differing", []string{"5", "6"}, 0, false, `"5" and "6"`},
		{"sign", []string{"+5"}, 0, false, `"+5"`},
		{"long junk is cut", []string{strings.Repeat("x", 100)}, 0, false, `xxx"…`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h header.Header
			h.AddAll("content-length", tt.in...)
			n, ok, err := header.ContentLength(h)
			if n != tt.want || ok != tt.ok || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %d, %v, %v", n, ok, err)
			}
		})
	}
}
