package header_test

import (
	"fmt"

	"github.com/godwit-go/godwit/header"
)

func ExampleParseMediaType() {
	m, ok := header.ParseMediaType(`Application/Problem+JSON; charset="utf-8"`)
	fmt.Println(m, ok)
	fmt.Println(m.Essence(), m.Suffix(), m.Charset(), m.IsJSON(), m.Matches("application/*"))
	// Output:
	// application/problem+json;charset=utf-8 true
	// application/problem+json json utf-8 true true
}

func ExampleParseAccept() {
	for _, w := range header.ParseAccept("gzip;q=0.5, br, *;q=0") {
		fmt.Println(w.Value, w.Q)
	}
	// Output:
	// br 1
	// gzip 0.5
	// * 0
}

func ExampleCacheControl() {
	d := header.CacheControl(header.New("Cache-Control", "public, max-age=60"))
	age, ok := d.Seconds("max-age")
	fmt.Println(d.Has("public"), age, ok)
	// Output: true 1m0s true
}

func ExampleParseSetCookie() {
	c, ok := header.ParseSetCookie("id=7; Path=/; Max-Age=60; HttpOnly; SameSite=lax")
	fmt.Println(ok, c.Name, c.Value, c.Path, c.MaxAge, c.HttpOnly, c.SameSite)
	// Output: true id 7 / 60 true Lax
}

func ExampleParseChallenges() {
	h := header.New("WWW-Authenticate", `Bearer realm="api", error="invalid_token", Basic realm="old"`)
	for _, c := range header.ParseChallenges(h, "WWW-Authenticate") {
		fmt.Println(c.Scheme, c.Param("realm"))
	}
	// Output:
	// Bearer api
	// Basic old
}

func ExampleParseLinks() {
	h := header.New("Link", `</items?page=2>; rel=next, </items?page=9>; rel="last"`)
	for _, l := range header.ParseLinks(h) {
		if l.HasRel("next") {
			fmt.Println(l.URI)
		}
	}
	// Output: /items?page=2
}

func ExampleDisposition_Filename() {
	d, ok := header.ParseDisposition(`attachment; filename="../../r.pdf"; filename*=UTF-8''%e2%82%ac%20rates.pdf`)
	fmt.Println(ok, d.Type, d.Filename())
	// Output: true attachment € rates.pdf
}
