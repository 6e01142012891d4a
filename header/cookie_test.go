package header_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/header"
)

func TestParseSetCookie(t *testing.T) {
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name, in string
		want     header.Cookie // Raw is left out
	}{
		{"plain", "a=b", header.Cookie{Name: "a", Value: "b"}},
		{"spaces", " a = b c ; ", header.Cookie{Name: "a", Value: "b c"}},
		{"equals in value", "a=b=c", header.Cookie{Name: "a", Value: "b=c"}},
		{"quotes are value", `a="b"`, header.Cookie{Name: "a", Value: `"b"`}},
		{"no name", "b", header.Cookie{Value: "b"}},
		{"empty name", "=b", header.Cookie{Value: "b"}},
		{"empty value", "a=", header.Cookie{Name: "a"}},
		{"all attributes",
			"a=b; Expires=Wed, 02 Jan 2030 03:04:05 GMT; max-age=60; DOMAIN=.Example.ORG; Path=/x; secure; HttpOnly; SameSite=lax; Partitioned; Priority=High",
			header.Cookie{Name: "a", Value: "b", Expires: expires, MaxAge: 60, HasMaxAge: true, Domain: "example.org",
				Path: "/x", Secure: true, HttpOnly: true, Partitioned: true, SameSite: "Lax",
				Extensions: []header.Param{{Name: "Priority", Value: "High"}}}},
		{"the last counts", "a=b; path=/x; path=/y; domain=a; domain=b; max-age=1; max-age=2; samesite=none; samesite=strict",
			header.Cookie{Name: "a", Value: "b", Path: "/y", Domain: "b", MaxAge: 2, HasMaxAge: true, SameSite: "Strict"}},
		{"the last counts though empty", "a=b; path=/x; path=y; domain=a; domain=; samesite=lax; samesite=what",
			header.Cookie{Name: "a", Value: "b"}},
		{"faulty ones do not count", "a=b; max-age=5; max-age=x; max-age=; max-age=-; max-age=+1; expires=never",
			header.Cookie{Name: "a", Value: "b", MaxAge: 5, HasMaxAge: true}},
		{"negative age", "a=b; max-age=-1", header.Cookie{Name: "a", Value: "b", MaxAge: -1, HasMaxAge: true}},
		{"huge age", "a=b; max-age=99999999999999999999", header.Cookie{Name: "a", Value: "b", MaxAge: math.MaxInt32, HasMaxAge: true}},
		{"one dot of two", "a=b; domain=..x", header.Cookie{Name: "a", Value: "b", Domain: ".x"}},
		{"value on a flag", "a=b; secure=no", header.Cookie{Name: "a", Value: "b", Secure: true}},
		{"attribute too long", "a=b; path=/" + strings.Repeat("x", 1024), header.Cookie{Name: "a", Value: "b"}},
		{"attribute just fits", "a=b; domain=" + strings.Repeat("x", 1024), header.Cookie{Name: "a", Value: "b", Domain: strings.Repeat("x", 1024)}},
		{"pair just fits", "a=" + strings.Repeat("x", 4095), header.Cookie{Name: "a", Value: strings.Repeat("x", 4095)}},
		{"tab inside", "a=b\tc", header.Cookie{Name: "a", Value: "b\tc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := header.ParseSetCookie(tt.in)
			tt.want.Raw = tt.in
			if !ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, ok, tt.want)
			}
		})
	}
	for _, bad := range []string{"", ";", " = ; secure", "a=b\x00", "a=b\n; secure", "a=b; path=\x7f", "a=" + strings.Repeat("x", 4096)} {
		if c, ok := header.ParseSetCookie(bad); ok {
			t.Errorf("ParseSetCookie(%.20q) = %+v", bad, c)
		}
	}
}

func TestParseCookieDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	tests := []struct {
		name, in string
		want     time.Time // zero = failure
	}{
		{"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", want},
		{"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", want},
		{"asctime", "Sun Nov  6 08:49:37 1994", want},
		{"any order", "1994 08:49:37 nov 6", want},
		{"day first", "6 1994 08:49:37 November", want},
		{"short numbers", "6 nov 94 8:49:37", want},
		{"zone ignored", "06 Nov 1994 08:49:37 +0200", want},
		{"junk around time", "06 Nov 1994 08:49:37x", want},
		{"junk after day", "06th Nov 1994 08:49:37", want},
		{"year 69", "06 Nov 69 08:49:37", time.Date(2069, 11, 6, 8, 49, 37, 0, time.UTC)},
		{"year 70", "06 Nov 70 08:49:37", time.Date(1970, 11, 6, 8, 49, 37, 0, time.UTC)},
		{"before 1601", "06 Nov 1600 08:49:37", time.Time{}},
		{"31st of February", "31 Feb 1994 08:49:37", time.Time{}},
		{"29th of February, leap", "29 Feb 1996 08:49:37", time.Date(1996, 2, 29, 8, 49, 37, 0, time.UTC)},
		{"29th of February", "29 Feb 1994 08:49:37", time.Time{}},
		{"hour 24", "06 Nov 1994 24:49:37", time.Time{}},
		{"second 60", "06 Nov 1994 08:49:60", time.Time{}},
		{"minute 60", "06 Nov 1994 08:60:00", time.Time{}},
		{"no seconds", "06 Nov 1994 08:49", time.Time{}},
		{"no time", "06 Nov 1994", time.Time{}},
		{"no month", "06 1994 08:49:37", time.Time{}},
		{"month across names", "06 anf 1994 08:49:37", time.Time{}},
		{"day 0", "00 Nov 1994 08:49:37", time.Time{}},
		{"five-digit year", "06 Nov 19940 08:49:37", time.Time{}},
		{"empty", "", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := header.ParseCookieDate(tt.in)
			if ok == tt.want.IsZero() || ok && !got.Equal(tt.want) {
				t.Errorf("got %v, %v, want %v", got, ok, tt.want)
			}
		})
	}
}

func TestParseCookies(t *testing.T) {
	got := header.ParseCookies(`a=b; c = "d" ;; e; =f; g=h=i;`)
	want := []header.Pair{{"a", "b"}, {"c", `"d"`}, {"", "e"}, {"", "f"}, {"g", "h=i"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFormatCookie(t *testing.T) {
	for _, good := range []header.Pair{{"a", "b"}, {"a", ""}, {"a", `"b"`}, {"a!", "x=y/z:%20"}} {
		s, err := header.FormatCookie(good.Name, good.Value)
		if err != nil || s != good.Name+"="+good.Value {
			t.Errorf("%q: %q, %v", good, s, err)
		}
	}
	for _, bad := range []header.Pair{
		{"", "b"}, {"a b", "c"}, {"a=", "b"}, {"a\r\n", "b"}, {"a", "b;c"}, {"a", "b,c"}, {"a", "b c"}, {"a", "b\r\nX: y"},
		{"a", "b\x00"}, {"a", `b"c`}, {"a", `b\c`}, {"a", "ü"}, {"a", `"`}, {"a", `"b"c"`},
	} {
		if s, err := header.FormatCookie(bad.Name, bad.Value); err == nil {
			t.Errorf("%q: %q", bad, s)
		}
	}
	if _, err := header.FormatCookie("sid", "top secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the value: %v", err)
	}
}

func TestParseChallenges(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want []string
	}{
		{"none", nil, nil},
		{"scheme only", []string{"Negotiate"}, []string{"Negotiate"}},
		{"one parameter", []string{`Basic realm="x"`}, []string{`Basic realm="x"`}},
		{"token parameter", []string{`Basic realm=x`}, []string{`Basic realm="x"`}},
		{"RFC 9110 example", []string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]string{`Basic realm="simple"`, `Newauth realm="apps", type="1", title="Login to \"apps\""`}},
		{"several fields", []string{`Digest a=1, b=2`, `Basic realm=x`}, []string{`Digest a="1", b="2"`, `Basic realm="x"`}},
		{"token68", []string{`Negotiate YWJj==, Basic realm=x`}, []string{`Negotiate YWJj==`, `Basic realm="x"`}},
		{"token68 without padding", []string{`NTLM abc`}, []string{`NTLM abc`}},
		{"two schemes", []string{`Negotiate, NTLM`}, []string{`Negotiate`, `NTLM`}},
		{"white space and commas", []string{" ,, Basic\trealm = \"x\" ,,\tcharset = UTF-8 , Foo ,"}, []string{`Basic realm="x", charset="UTF-8"`, `Foo`}},
		{"comma in quotes", []string{`A x="1, B y=2", z=3`}, []string{`A x="1, B y=2", z="3"`}},
		{"parameter without scheme", []string{`realm="x", Basic realm="y"`}, []string{`Basic realm="y"`}},
		{"no parameters after token68", []string{`A abc=, x=1, B`}, []string{`A abc=`, `B`}},
		{"junk skipped", []string{`"quoted, junk", A x=1, @@, y=2, z=, w=3 4, B`}, []string{`A x="1", y="2"`, `B`}},
		{"quote not closed", []string{`A x="1, B`}, []string{`A`}},
		{"parameters of another field", []string{`A x=1`, `y=2, B`}, []string{`A x="1"`, `B`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h header.Header
			h.AddAll("WWW-Authenticate", tt.in...)
			var got []string
			for _, c := range header.ParseChallenges(h, "www-authenticate") {
				got = append(got, c.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	c := header.ParseChallenges(header.New("Proxy-Authenticate", `BASIC Realm="a\"b"`), "Proxy-Authenticate")[0]
	if !c.Is("basic") || c.Param("realm") != `a"b` || c.Param("nonce") != "" {
		t.Errorf("challenge %+v", c)
	}
}
