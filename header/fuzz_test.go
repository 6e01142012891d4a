package header_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/header"
)

// What can be parsed can be written, and what is written parses to the same.
func FuzzMediaType(f *testing.F) {
	f.Add(`text/html; charset="utf-8"; x=a\"b`)
	f.Add(`a/b;c="\`)
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := header.ParseMediaType(s)
		if !ok {
			return
		}
		again, ok := header.ParseMediaType(m.String())
		if !ok || !reflect.DeepEqual(m, again) {
			t.Errorf("%q: %#v, then %#v from %q", s, m, again, m)
		}
		if !m.Matches(m.Essence()) {
			t.Errorf("%q does not match itself", m)
		}
	})
}

// Elements of a list are not empty, have no white space around, and split no
// further; weighted values are sorted and survive being written.
func FuzzLists(f *testing.F) {
	f.Add(`a, "b,c" ;q=0.5,,d`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, one := range header.SplitList(s) {
			if again := header.SplitList(one); len(again) != 1 || again[0] != one {
				t.Errorf("%q: element %q splits to %q", s, one, again)
			}
		}
		last := 1.0
		for _, w := range header.ParseAccept(s) {
			if !(w.Q >= 0 && w.Q <= last) {
				t.Errorf("%q: weight %v after %v", s, w.Q, last)
			}
			last = w.Q
		}
		h := header.New("Cache-Control", s)
		d := header.CacheControl(h)
		if strings.ContainsAny(s, `"\`) {
			return // a quote may stay open
		}
		if again := header.CacheControl(header.New("Cache-Control", d.String())); !reflect.DeepEqual(d, again) {
			t.Errorf("%q: %q, then %q", s, d, again)
		}
	})
}

// A date that parses is written in the one form and parses to the same time.
func FuzzDate(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add("Sun Nov  6 08:49:37 1994")
	f.Fuzz(func(t *testing.T, s string) {
		parsers := map[string]func(string) (time.Time, bool){"ParseDate": header.ParseDate, "ParseCookieDate": header.ParseCookieDate}
		for name, parse := range parsers {
			d, ok := parse(s)
			if !ok || d.Year() > 9999 {
				continue
			}
			if again, ok := header.ParseDate(header.FormatDate(d)); !ok || !again.Equal(d) {
				t.Errorf("%s(%q) = %v, then %v", name, s, d, again)
			}
		}
		wait, ok := header.RetryAfter(header.New("Retry-After", s), time.Unix(0, 0))
		if ok && wait < 0 {
			t.Errorf("RetryAfter(%q) = %v", s, wait)
		}
	})
}

// A cookie that parses has a name or a value and no control characters, and
// String gives back what was parsed.
func FuzzSetCookie(f *testing.F) {
	f.Add("a=b; Expires=Wed, 02 Jan 2030 03:04:05 GMT; max-age=60; domain=.x; path=/; secure; x=y")
	f.Add("; ;=")
	f.Fuzz(func(t *testing.T, s string) {
		header.ParseCookies(s)
		c, ok := header.ParseSetCookie(s)
		if !ok {
			return
		}
		again, ok := header.ParseSetCookie(c.String())
		c.Raw, again.Raw = "", ""
		// A dot that stays after the first was removed goes the second time.
		if strings.HasPrefix(c.Domain, ".") {
			c.Domain, again.Domain = "", ""
		}
		if !ok || !reflect.DeepEqual(c, again) {
			t.Errorf("%q: %+v, then %+v", s, c, again)
		}
	})
}

// Challenges that parse are written and parse to the same.
func FuzzChallenges(f *testing.F) {
	f.Add(`Basic realm="x", Negotiate ab==, Digest a=1,b="\""`)
	f.Fuzz(func(t *testing.T, s string) {
		all := header.ParseChallenges(header.New("A", s), "A")
		var h header.Header
		for _, c := range all {
			h.Add("A", c.String())
		}
		if again := header.ParseChallenges(h, "A"); !reflect.DeepEqual(all, again) {
			t.Errorf("%q: %+v, then %+v", s, all, again)
		}
	})
}

// Neither panics; file names never hold a path; an entity tag survives being
// written.
func FuzzLinksAndNames(f *testing.F) {
	f.Add(`<a>; rel="x"; title*=UTF-8''%e2, <b>`)
	f.Add(`attachment; filename*=UTF-8''..%2fx; filename="a\"b"`)
	f.Add(`W/"x"`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, l := range header.ParseLinks(header.New("Link", s)) {
			if strings.Contains(l.URI, ">") {
				t.Errorf("%q: target %q", s, l.URI)
			}
		}
		if d, ok := header.ParseDisposition(s); ok {
			if name := d.Filename(); strings.ContainsAny(name, "/\\\x00") || name == ".." {
				t.Errorf("%q: file name %q", s, name)
			}
		}
		if e, ok := header.ParseETag(s); ok {
			if again, ok := header.ParseETag(e.String()); !ok || again != e {
				t.Errorf("%q: %v, then %v", s, e, again)
			}
		}
		n, ok, err := header.ContentLength(header.New("Content-Length", s))
		if n < 0 || ok && err != nil {
			t.Errorf("ContentLength(%q) = %d, %v, %v", s, n, ok, err)
		}
	})
}
