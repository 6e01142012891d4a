package auth_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

func netrc(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNetrc: each machine gets its login, the default goes to the first origin
// only.
func TestNetrc(t *testing.T) {
	path := netrc(t, "machine a.org login ada password pw\nmachine b.org login bob password pw\ndefault login any password pw\n")
	eng := mock.New(mock.Redirect("http://b.org:81/"), mock.Redirect("http://c.org/"), mock.OK(""), mock.OK(""), mock.Redirect("http://a.org/"), mock.OK(""))
	c := client(t, eng, auth.Netrc{Path: path})
	get(t, c, "http://A.org/")
	get(t, c, "http://c.org/")
	get(t, c, "https://c.org/")
	bob, anyone := basicValue("bob", "pw"), basicValue("any", "pw")
	if diff := cmp.Diff([]string{ada, bob, "-", anyone, anyone}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
}

func TestNetrcIsReadAgain(t *testing.T) {
	path := netrc(t, "machine example.org login ada password old")
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
	c := client(t, eng, auth.Netrc{Path: path})
	get(t, c, url)
	if err := os.WriteFile(path, []byte("machine example.org login ada password new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	get(t, c, url)
	if diff := cmp.Diff([]string{basicValue("ada", "old"), basicValue("ada", "new")}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a named file is gone: %v", err)
	}
}

func TestNetrcOfTheEnvironment(t *testing.T) {
	t.Setenv("NETRC", netrc(t, "machine example.org login ada password pw"))
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
	get(t, client(t, eng, auth.Netrc{}), url)
	t.Setenv("NETRC", filepath.Join(t.TempDir(), "none"))
	get(t, client(t, eng, auth.Netrc{}), url)
	if diff := cmp.Diff([]string{ada, "-"}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
}

func TestNetrcForDigest(t *testing.T) {
	s := newDigestServer()
	s.realm = "r"
	login := auth.Netrc{Path: netrc(t, "machine example.org login ada password pw")}.Login()
	if resp := get(t, client(t, serve(s.handle), auth.Digest{Credentials: login}), url); resp.Status != 200 {
		t.Errorf("%v", resp.Status)
	}
}
