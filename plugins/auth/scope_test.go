package auth_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/retry"
)

// TestHostNames: a host is the same one however it is written.
func TestHostNames(t *testing.T) {
	const sends, sendsNot = true, false
	for name, row := range map[string]struct {
		host, url string
		want      bool
	}{
		"IDN":                 {"bücher.example", "https://bücher.example/", sends},
		"IDN, upper case":     {"BÜCHER.example", "https://bücher.example/", sends},
		"IDN in ASCII":        {"xn--bcher-kva.example", "https://bücher.example/", sends},
		"IDN, ASCII URL":      {"bücher.example", "https://XN--bcher-kva.example/", sends},
		"IDN below":           {"*.bücher.example", "https://www.bücher.example/", sends},
		"IDN, not itself":     {"*.bücher.example", "https://bücher.example/", sendsNot},
		"IDN with port":       {"https://bücher.example:8443", "https://bücher.example:8443/", sends},
		"absolute URL":        {"example.org", "https://example.org./", sends},
		"absolute URL below":  {"*.example.org", "https://www.example.org./", sends},
		"absolute host":       {"example.org.", "https://example.org/", sends},
		"absolute wildcard":   {"*.example.org.", "https://www.example.org/", sends},
		"IPv6, long URL":      {"[::1]", "http://[0:0::1]/", sends},
		"IPv6, long host":     {"[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/", sends},
		"IPv6, another":       {"[::1]", "http://[::2]/", sendsNot},
		"IPv4":                {"127.0.0.1", "http://127.0.0.1/", sends},
		"an ending of a name": {"example.org", "https://notexample.org/", sendsNot},
	} {
		t.Run(name, func(t *testing.T) {
			eng := mock.Serve(mock.OK("in"))
			get(t, client(t, eng, auth.Bearer{Token: "t", Hosts: []string{row.host}}), row.url)
			if got := sent(eng, "Authorization")[0] == "Bearer t"; got != row.want {
				t.Errorf("sent: %v, want %v", got, row.want)
			}
		})
	}
}

func TestBadHostNames(t *testing.T) {
	for _, host := range []string{"bü cher.example", "ü*.example", "*.*.example", "xn--ü.example"} {
		c := godwit.New(godwit.Install(auth.New(auth.Bearer{Token: "t", Hosts: []string{host}})))
		if c.Err() == nil {
			t.Errorf("%s was taken", host)
		}
		c.Close()
	}
}

// TestNetrcHostNames: the machines of a file are compared like other hosts; one
// that is no host is nobody's.
func TestNetrcHostNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netrc")
	text := "machine bücher.example login idn password x\nmachine [0:0::1] login six password x\nmachine Example.ORG. login org password x\nmachine ü_ü login odd password x"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	eng := mock.Serve(mock.OK("in"))
	c := client(t, eng, auth.Netrc{Path: path})
	asked := client(t, serve(wants(basicValue("idn", "x"), "Basic")), auth.Basic{Credentials: auth.Netrc{Path: path}.Login()})
	for _, u := range []string{"https://bücher.example/", "https://xn--bcher-kva.example/", "http://[::1]:99/", "http://example.org/", "http://example.org./", "http://example.com/"} {
		get(t, c, u)
	}
	want := []string{basicValue("idn", "x"), basicValue("idn", "x"), basicValue("six", "x"), basicValue("org", "x"), basicValue("org", "x"), "-"}
	if got := sent(eng, "Authorization"); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if resp := get(t, asked, "https://bücher.example/"); resp.Text() != "in" {
		t.Errorf("Login: %v", resp.Status)
	}
}

// TestModifiedOrigin: what a repetition is modified to is no origin that the call
// began with, hedged or not; back home the credentials are sent again.
func TestModifiedOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(path, []byte("default login l password p"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		provider auth.Provider
		hedge    retry.Hedge
	}{
		"Bearer":         {auth.Bearer{Token: "t"}, retry.Hedge{}},
		"Bearer, hedged": {auth.Bearer{Token: "t"}, retry.Hedge{Delay: time.Hour}},
		"Basic":          {auth.Basic{User: "u", Password: "p", Preemptive: true}, retry.Hedge{}},
		"netrc default":  {auth.Netrc{Path: path}, retry.Hedge{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eng := mock.New(mock.Status(503), mock.Status(503), mock.OK("in"))
				defer eng.Close()
				hosts := []string{"", "mirror.example", "h.example"}
				c := clientWith(t, eng, godwit.Install(auth.New(row.provider), retry.New(retry.Config{
					Hedge: row.hedge,
					Modify: func(_ context.Context, req *godwit.Request, n int) error {
						req.URL.Host = hosts[n]
						return nil
					},
				})))
				get(t, c, "https://h.example/")
				got := sent(eng, "Authorization")
				if len(got) != 3 || got[0] == "-" || got[1] != "-" || got[2] != got[0] {
					t.Errorf("sent %q", got)
				}
			})
		})
	}
}

// TestFirstOriginOverRedirects: with repetitions in between, too.
func TestFirstOriginOverRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redirect := func(to string) *mock.Response { return mock.Status(302).WithHeader("Location", to) }
		eng := mock.New(redirect("https://other.example/"), mock.Status(503), redirect("https://h.example/end"), mock.OK("in"))
		defer eng.Close()
		c := clientWith(t, eng, godwit.Install(auth.New(auth.Bearer{Token: "t"}), retry.New(retry.Config{})))
		get(t, c, "https://h.example/")
		want := []string{"Bearer t", "-", "-", "Bearer t"}
		if got := sent(eng, "Authorization"); !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}
