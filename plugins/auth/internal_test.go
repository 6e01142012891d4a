package auth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/header"
)

// TestDigestVectors: the examples of RFC 7616 §3.9 and RFC 2617 §3.5, whose cnonce
// is given. (§3.9.2's response is the one of erratum 4897: the RFC's own was made
// with another hash.)
func TestDigestVectors(t *testing.T) {
	for name, row := range map[string]struct {
		challenge, user, password, cnonce, method, uri, want string
	}{
		"RFC 7616 §3.9.1, SHA-256": {`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "GET", "/dir/index.html", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		"RFC 7616 §3.9.1, MD5": {`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "GET", "/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec"},
		"RFC 2617 §3.5": {`Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"Mufasa", "Circle Of Life", "0a4f113b", "GET", "/dir/index.html", "6629fae49393a05397450978507c4ef1"},
	} {
		c, ok := readChallenge(header.ParseChallenges(header.New("A", row.challenge), "A")[0], false)
		if !ok {
			t.Errorf("%s: not read", name)
			continue
		}
		in := digestInput{challenge: c, user: row.user, password: row.password, cnonce: row.cnonce, nc: "00000001", method: row.method, uri: row.uri}
		if got := in.response(in.method, ""); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
	in := digestInput{challenge: challenge{realm: "api@example.org", hash: algorithms[0].new}, user: "Jäsøn Doe"}
	if got, want := in.h(in.user, in.realm), "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"; got != want {
		t.Errorf("userhash %s, want %s (RFC 7616 errata)", got, want)
	}
}

// FuzzNetrc: no file makes the parser panic or go round in circles, and what it
// returns was in the file.
func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c\ndefault login d")
	f.Add("machine a\nmacdef init\n\tcd x\n\nmachine b password \"q\\\"\"")
	f.Add("# comment\nmachine x #login y")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseNetrc(text)
		if err != nil && entries != nil {
			t.Error("both")
		}
		for _, e := range entries {
			if !strings.Contains(text, "\\") && !strings.Contains(text, e.password) {
				t.Errorf("password %q", e.password)
			}
		}
	})
}

func TestParseNetrc(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		want []netrcEntry
		bad  string
	}{
		"lines":    {"machine a.org\n\tlogin ada\n\tpassword pw\n", []netrcEntry{{"a.org", "ada", "pw"}}, ""},
		"one line": {"machine A.org login ada account x password pw default login d password e", []netrcEntry{{"a.org", "ada", "pw"}, {"", "d", "e"}}, ""},
		"macro":    {"machine a login b\nmacdef init\nmachine no\n\nmachine c password d", []netrcEntry{{"a", "b", ""}, {"c", "", "d"}}, ""},
		"comments": {"# machine no\nmachine a # login no\nlogin b # x", []netrcEntry{{"a", "b", ""}}, ""},
		"hash":     {"machine a password #1", []netrcEntry{{"a", "", "#1"}}, ""},
		"quotes":   {`machine a login "b c" password "q\"\\\n"`, []netrcEntry{{"a", "b c", "q\"\\\n"}}, ""},
		"empty":    {"", nil, ""},
		"unknown":  {"machine a\npasword secret", nil, "line 2"},
		"no value": {"machine a login", nil, "line 1"},
		"no name":  {"machine", nil, "line 1"},
		"no entry": {"login a", nil, "line 1"},
	} {
		got, err := parseNetrc(row.text)
		if row.bad != "" {
			if err == nil || !strings.Contains(err.Error(), row.bad) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(netrcEntry{})); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}
