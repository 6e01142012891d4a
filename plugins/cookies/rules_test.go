package cookies_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/plugins/cookies"
	"golang.org/x/net/idna"
)

// names returns "name=value; …" of what a GET of u would send.
func names(t testing.TB, p *cookies.Plugin, u string) string {
	t.Helper()
	kept, err := p.Cookies(t.Context(), parse(t, u))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range kept {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

func set(t testing.TB, p *cookies.Plugin, u string, lines ...string) {
	t.Helper()
	if err := p.SetCookies(t.Context(), parse(t, u), lines...); err != nil {
		t.Fatal(err)
	}
}

// TestRules: a response from one URL sets a cookie; a request to another gets it
// or not.
func TestRules(t *testing.T) {
	const org = "http://example.org/"
	for name, row := range map[string]struct {
		from, line, to string
		sent           bool
	}{
		"host-only":                    {org, "a=1", org, true},
		"host-only, below":             {org, "a=1", "http://www.example.org/", false},
		"host-only, above":             {"http://www.example.org/", "a=1", org, false},
		"host-only, port":              {"http://example.org:8080/", "a=1", org, true},
		"domain, itself":               {org, "a=1; Domain=example.org", org, true},
		"domain, below":                {org, "a=1; Domain=example.org", "http://a.b.example.org/", true},
		"domain, dot":                  {org, "a=1; Domain=.Example.ORG", "http://www.example.org/", true},
		"domain, above":                {"http://www.example.org/", "a=1; Domain=example.org", org, true},
		"domain, only looks alike":     {org, "a=1; Domain=example.org", "http://badexample.org/", false},
		"domain, foreign":              {org, "a=1; Domain=example.com", "http://example.com/", false},
		"domain, foreign, own":         {org, "a=1; Domain=example.com", org, false},
		"domain, below host":           {org, "a=1; Domain=www.example.org", "http://www.example.org/", false},
		"domain, empty":                {org, "a=1; Domain=", "http://www.example.org/", false},
		"domain, dot at end":           {org, "a=1; Domain=example.org.", org, false},
		"domain, not ASCII":            {"http://xn--bcher-kva.example/", "a=1; Domain=bücher.example", "http://xn--bcher-kva.example/", false},
		"public suffix":                {"http://www.example.co.uk/", "a=1; Domain=co.uk", "http://other.co.uk/", false},
		"public suffix, own":           {"http://www.example.co.uk/", "a=1; Domain=co.uk", "http://www.example.co.uk/", false},
		"host is public suffix":        {"http://github.io/", "a=1; Domain=github.io", "http://github.io/", true},
		"host is public suffix, below": {"http://github.io/", "a=1; Domain=github.io", "http://x.github.io/", false},
		"top-level domain":             {org, "a=1; Domain=org", org, false},
		"localhost":                    {"http://localhost/", "a=1; Domain=localhost", "http://localhost:3000/", true},
		"localhost, below":             {"http://localhost/", "a=1; Domain=localhost", "http://x.localhost/", false},
		"IPv4":                         {"http://192.0.2.1/", "a=1", "http://192.0.2.1:81/", true},
		"IPv4 as domain":               {"http://192.0.2.1/", "a=1; Domain=192.0.2.1", "http://192.0.2.1/", true},
		"IPv4, part as domain":         {"http://192.0.2.1/", "a=1; Domain=2.1", "http://192.0.2.1/", false},
		"IPv6":                         {"http://[2001:db8::1]:80/", "a=1", "http://[2001:db8::1]/", true},
		"host in capitals":             {"http://EXAMPLE.org/", "a=1", org, true},
		"host with dot":                {"http://example.org./", "a=1", org, true},
		"host not ASCII":               {"http://bücher.example/", "a=1", "http://xn--bcher-kva.example/", true},

		"default path":            {"http://example.org/a/b", "a=1", "http://example.org/a/c", true},
		"default path, folder":    {"http://example.org/a/b", "a=1", "http://example.org/a", true},
		"default path, above":     {"http://example.org/a/b", "a=1", org, false},
		"default path, root":      {"http://example.org/a", "a=1", "http://example.org/x/y", true},
		"default path, no path":   {"http://example.org", "a=1", "http://example.org/x", true},
		"path":                    {org, "a=1; Path=/x", "http://example.org/x/y", true},
		"path, itself":            {org, "a=1; Path=/x", "http://example.org/x", true},
		"path, looks alike":       {org, "a=1; Path=/x", "http://example.org/xy", false},
		"path with slash":         {org, "a=1; Path=/x/", "http://example.org/x/y", true},
		"path with slash, itself": {org, "a=1; Path=/x/", "http://example.org/x", false},
		"path has case":           {org, "a=1; Path=/X", "http://example.org/x", false},
		"path, escaped":           {org, "a=1; Path=/%2F", "http://example.org/%2F/x", true},
		"path, relative":          {"http://example.org/a/b", "a=1; Path=x", "http://example.org/a/", true},
		"path, query is none":     {"http://example.org/?/a/b", "a=1", org, true},

		"secure":                      {"https://example.org/", "a=1; Secure", "https://example.org/", true},
		"secure, over http":           {"https://example.org/", "a=1; Secure", org, false},
		"secure, set over http":       {org, "a=1; Secure", "https://example.org/", false},
		"not secure, https":           {org, "a=1", "https://example.org/", true},
		"__Secure-":                   {"https://example.org/", "__Secure-a=1; Secure", "https://example.org/", true},
		"__Secure-, not secure":       {"https://example.org/", "__secure-a=1", "https://example.org/", false},
		"__Host-":                     {"https://example.org/", "__Host-a=1; Secure; Path=/", "https://example.org/x", true},
		"__Host-, not secure":         {"https://example.org/", "__Host-a=1; Path=/", "https://example.org/", false},
		"__Host-, domain":             {"https://example.org/", "__HOST-a=1; Secure; Path=/; Domain=example.org", "https://example.org/", false},
		"__Host-, no path":            {"https://example.org/", "__Host-a=1; Secure", "https://example.org/", false},
		"__Host-, other path":         {"https://example.org/", "__Host-a=1; Secure; Path=/x", "https://example.org/x", false},
		"no name, prefix":             {"https://example.org/", "__Host-a; Secure; Path=/", "https://example.org/", false},
		"no name, prefix after =":     {"https://example.org/", "=__Secure-a=1; Secure; Path=/", "https://example.org/", false},
		"partitioned":                 {"https://example.org/", "a=1; Secure; Partitioned", "https://example.org/", true},
		"partitioned, not secure":     {"https://example.org/", "a=1; Partitioned", "https://example.org/", false},
		"SameSite=None":               {"https://example.org/", "a=1; SameSite=None; Secure", "https://example.org/", true},
		"SameSite=None, not secure":   {"https://example.org/", "a=1; samesite=none", "https://example.org/", false},
		"SameSite=None, http":         {org, "a=1; SameSite=None", org, false},
		"SameSite=Lax, not secure":    {org, "a=1; SameSite=Lax", org, true},
		"SameSite unknown":            {org, "a=1; SameSite=x", org, true},
		"__Http-":                     {"https://example.org/", "__Http-a=1; Secure; HttpOnly", "https://example.org/", true},
		"__Http-, not HttpOnly":       {"https://example.org/", "__HTTP-a=1; Secure", "https://example.org/", false},
		"__Http-, not secure":         {"https://example.org/", "__Http-a=1; HttpOnly", "https://example.org/", false},
		"__Http-, domain":             {"https://example.org/", "__Http-a=1; Secure; HttpOnly; Domain=example.org", "https://www.example.org/", true},
		"__Host-Http-":                {"https://example.org/", "__Host-Http-a=1; Secure; HttpOnly; Path=/", "https://example.org/x", true},
		"__Host-Http-, not HttpOnly":  {"https://example.org/", "__Host-Http-a=1; Secure; Path=/", "https://example.org/x", false},
		"__Host-Http-, no path":       {"https://example.org/", "__Host-Http-a=1; Secure; HttpOnly", "https://example.org/", false},
		"no name, __Http-":            {"https://example.org/", "=__Http-a=1; Secure; HttpOnly; Path=/", "https://example.org/", false},
		"HttpOnly":                    {org, "a=1; HttpOnly", org, true},
		"no value":                    {org, "a=", org, true},
		"nothing":                     {org, "=", org, false},
		"control character":           {org, "a=1\x01", org, false},
		"4,096 bytes":                 {org, "a=" + strings.Repeat("x", 4095), org, true},
		"4,097 bytes":                 {org, "a=" + strings.Repeat("x", 4096), org, false},
		"long attributes are ignored": {"http://example.org/a/b", "a=1; Path=/" + strings.Repeat("x", 1024), "http://example.org/a/", true},
	} {
		p := cookies.New(cookies.Config{})
		set(t, p, row.from, row.line)
		if got := names(t, p, row.to); (got != "") != row.sent {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSecureCookiesAreLeftAlone: http can't shadow what https set.
func TestSecureCookiesAreLeftAlone(t *testing.T) {
	for name, row := range map[string]struct {
		from, line string
		want       string // sent to https://www.example.org/x/y
	}{
		"the same":         {"http://www.example.org/", "a=evil; Domain=example.org; Path=/x", "a=1"},
		"host-only":        {"http://www.example.org/", "a=evil; Path=/x", "a=1"},
		"from above":       {"http://example.org/", "a=evil; Domain=example.org; Path=/x/y", "a=1"},
		"path above":       {"http://www.example.org/", "a=evil; Path=/", "a=1; a=evil"},
		"other name":       {"http://www.example.org/", "b=2; Path=/x", "a=1; b=2"},
		"https":            {"https://www.example.org/", "a=2; Domain=example.org; Path=/x", "a=2"},
		"https, no longer": {"https://www.example.org/", "a=2; Domain=example.org; Path=/x; Max-Age=0", ""},
	} {
		p := cookies.New(cookies.Config{})
		set(t, p, "https://www.example.org/", "a=1; Domain=example.org; Path=/x; Secure")
		set(t, p, row.from, row.line)
		if got := names(t, p, "https://www.example.org/x/y"); got != row.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	const u, day = "http://example.org/", 24 * time.Hour
	date := func(in time.Duration) string {
		return time.Now().Add(in).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	dates := func(line string) string {
		return strings.NewReplacer("@hour", date(time.Hour), "@past", date(-time.Second)).Replace(line)
	}
	synctest.Test(t, func(t *testing.T) {
		for name, row := range map[string]struct {
			line string
			life time.Duration // 0 = refused, -1 = session
		}{
			"session":               {"a=1", -1},
			"Max-Age":               {"a=1; Max-Age=60", time.Minute},
			"Max-Age 0":             {"a=1; Max-Age=0", 0},
			"Max-Age negative":      {"a=1; Max-Age=-5", 0},
			"Max-Age no number":     {"a=1; Max-Age=x", -1},
			"Max-Age before":        {"a=1; Max-Age=60; Expires=@hour", time.Minute},
			"Max-Age before, later": {"a=1; Expires=@past; Max-Age=60", time.Minute},
			"Expires":               {"a=1; Expires=@hour", time.Hour},
			"Expires, past":         {"a=1; Expires=@past", 0},
			"Expires, no date":      {"a=1; Expires=tomorrow", -1},
			"Max-Age cap":           {"a=1; Max-Age=99999999999999", 400 * day},
			"Expires cap":           {"a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", 400 * day},
			"last counts":           {"a=1; Max-Age=0; Max-Age=60", time.Minute},
		} {
			p := cookies.New(cookies.Config{})
			set(t, p, u, dates(row.line))
			all, _ := p.All(t.Context())
			switch {
			case row.life == 0:
				if len(all) > 0 {
					t.Errorf("%s: kept", name)
				}
				continue
			case len(all) != 1 || all[0].IsSession() != (row.life < 0):
				t.Errorf("%s: kept %v", name, all)
				continue
			case row.life < 0:
				continue
			}
			if got := time.Until(all[0].Expires); got != row.life {
				t.Errorf("%s: lives %v", name, got)
			}
			time.Sleep(row.life - 1)
			if names(t, p, u) == "" {
				t.Errorf("%s: gone too early", name)
			}
			time.Sleep(time.Nanosecond)
			if got, _ := p.All(t.Context()); names(t, p, u) != "" || len(got) > 0 {
				t.Errorf("%s: there too long", name)
			}
		}
	})
}

// TestOrder: longer paths first, then earlier creation, which an update keeps.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cookies.New(cookies.Config{})
		for _, line := range []string{"c=1", "a=1; Path=/x", "d=1", "b=1; Path=/x", "e=1; Path=/x/y"} {
			set(t, p, "http://example.org/", line)
			time.Sleep(time.Second)
		}
		set(t, p, "http://example.org/", "c=2", "a=2; Path=/x")
		if got := names(t, p, "http://example.org/x/y"); got != "e=1; a=2; b=1; c=2; d=1" {
			t.Error(got)
		}
		all, _ := p.All(t.Context())
		i := slices.IndexFunc(all, func(c cookies.Cookie) bool { return c.Name == "c" })
		if age := time.Since(all[i].Created); age != 5*time.Second {
			t.Errorf("created %v ago", age)
		}
		// Deleted and set again, it is new.
		set(t, p, "http://example.org/", "c=; Max-Age=0")
		set(t, p, "http://example.org/", "c=3")
		if got := names(t, p, "http://example.org/"); got != "d=1; c=3" {
			t.Error(got)
		}
	})
}

// TestIdentity: what makes two cookies one.
func TestIdentity(t *testing.T) {
	p := cookies.New(cookies.Config{})
	for _, line := range []string{
		"a=host", "a=domain; Domain=example.org", "a=path; Path=/x", "A=case", "a=part; Secure; Partitioned",
		"a=host2", "a=domain2; Domain=example.org", "a=path2; Path=/x", "A=case2", "a=part2; Secure; Partitioned", "none", "none2",
	} {
		set(t, p, "https://example.org/", line)
	}
	if got := names(t, p, "https://example.org/x"); got != "a=path2; a=host2; a=domain2; A=case2; a=part2; =none2" {
		t.Error(got)
	}
}

func TestNameless(t *testing.T) {
	c, _, eng := install(t, cookies.Config{}, setting(200, "just a value", "a=b=c", `q="x y"`), setting(200))
	get(t, c, "http://example.org/")
	get(t, c, "http://example.org/")
	expect(t, "nameless", eng, "-", `just a value; a=b=c; q="x y"`)
}

// TestPerSite: over the limit of a site, what is not Secure goes first, and what
// was used least recently.
func TestPerSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cookies.New(cookies.Config{PerSite: 4})
		c, _, _ := install(t, cookies.Config{Storage: storageOf(p)}, setting(200))
		u := "https://example.org/"
		set(t, p, u, "s1=1; Secure")
		for _, line := range []string{"old=1; Path=/old", "b=1; Path=/b", "short=1; Max-Age=150"} {
			time.Sleep(time.Minute)
			set(t, p, "https://www.example.org/", line+"; Domain=example.org")
		}
		get(t, c, "https://example.org/old") // used now
		time.Sleep(time.Minute)
		set(t, p, u, "c=1; Path=/c")
		if got := names4(t, p); got != "c old s1 short" {
			t.Errorf("without the one not used: %s", got)
		}
		time.Sleep(2 * time.Minute)
		set(t, p, u, "d=1; Path=/d")
		if got := names4(t, p); got != "c d old s1" {
			t.Errorf("without the expired one: %s", got)
		}
		set(t, p, u, "s2=1; Secure", "s3=1; Secure", "s4=1; Secure")
		if got := names4(t, p); got != "s1 s2 s3 s4" {
			t.Errorf("Secure ones stay: %s", got)
		}
		time.Sleep(time.Second)
		set(t, p, u, "s5=1; Secure")
		if got := names4(t, p); strings.Contains(got, "s1") || !strings.Contains(got, "s5") {
			t.Errorf("the oldest Secure one goes: %s", got)
		}
		set(t, p, "https://example.com/", "x=1")
		if got := names4(t, p); !strings.HasSuffix(got, " x") || strings.Count(got, " ") != 4 {
			t.Errorf("another site has its own limit: %s", got)
		}
	})
	p := cookies.New(cookies.Config{})
	for i := range 200 {
		set(t, p, "https://example.org/", fmt.Sprintf("c%d=1", i))
	}
	if all, _ := p.All(t.Context()); len(all) != 180 {
		t.Errorf("default: %d", len(all))
	}
}

// names4 lists the names that are kept, in alphabetical order.
func names4(t *testing.T, p *cookies.Plugin) string {
	t.Helper()
	all, err := p.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, c := range all {
		list = append(list, c.Name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestPublicSuffixList runs the list's own test cases: a domain can be set down
// to the registrable one, and not for the suffix.
func TestPublicSuffixList(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "testdata", "psl", "test_psl.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no shared test data: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	check := regexp.MustCompile(`^checkPublicSuffix\('([^']+)', (?:null|'([^']+)')\);`)
	ran := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		m := check.FindStringSubmatch(lines.Text())
		if m == nil || strings.HasPrefix(m[1], ".") {
			continue
		}
		ran++
		host, err := idna.Lookup.ToASCII(m[1])
		if err != nil {
			t.Fatal(err)
		}
		u := "http://sub." + host + "/"
		set1 := func(domain string) []cookies.Cookie {
			p := cookies.New(cookies.Config{})
			set(t, p, u, "a=1; Domain="+domain)
			all, _ := p.All(t.Context())
			return all
		}
		registrable, err := idna.Lookup.ToASCII(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if registrable == "" { // the host itself is a suffix
			if all := set1(host); len(all) > 0 {
				t.Errorf("%s: %v set", m[0], all)
			}
			continue
		}
		if all := set1(registrable); len(all) != 1 || all[0].HostOnly || all[0].Domain != registrable {
			t.Errorf("%s: %v", m[0], all)
		}
		if registrable == "city.kobe.jp" {
			continue // an exception: kobe.jp is no suffix for itself, only for its other children
		}
		if _, suffix, _ := strings.Cut(registrable, "."); len(set1(suffix)) > 0 {
			t.Errorf("%s: %s could be set", m[0], suffix)
		}
	}
	if ran < 50 {
		t.Errorf("only %d cases", ran)
	}
}

func TestOwnPublicSuffix(t *testing.T) {
	p := cookies.New(cookies.Config{PublicSuffix: func(d string) string { return d[strings.LastIndexByte(d, '.')+1:] }})
	set(t, p, "http://a.example.co.uk/", "a=1; Domain=co.uk")
	if got := names(t, p, "http://other.co.uk/"); got != "a=1" {
		t.Errorf("%q", got)
	}
}
