package cookies_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/cookies"
)

// TestConstantIsChecked: a cookie that would be sent as another one, or not at
// all, is an error that names it, wherever the storage is given.
func TestConstantIsChecked(t *testing.T) {
	for name, row := range map[string]struct {
		cookie cookies.Cookie
		want   string // "" = it is sent
	}{
		"fine":               {cookies.Cookie{Name: "a", Value: "x=1, \"y\" é"}, ""},
		"two in one":         {cookies.Cookie{Name: "a", Value: "x; evil=1"}, `cookie "a": its name or value can't be sent`},
		"a line":             {cookies.Cookie{Name: "a", Value: "x\r\nEvil: 1"}, `cookie "a": its name or value can't be sent`},
		"name with equals":   {cookies.Cookie{Name: "a=b", Value: "x"}, `cookie "a=b": its name`},
		"name with a line":   {cookies.Cookie{Name: "a\n", Value: "x", Domain: "Example.org"}, `cookie "a\n" of "example.org": its name`},
		"path without slash": {cookies.Cookie{Name: "a", Value: "x", Path: "nope"}, `cookie "a": path "nope"`},
	} {
		t.Run(name, func(t *testing.T) {
			storage := cookies.Constant(cookies.Cookie{Name: "first", Value: "1"}, row.cookie)
			check := func(where string, err error) {
				if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
					t.Errorf("%s: %v, want %q", where, err, row.want)
				}
				if err != nil && strings.Contains(strings.ToLower(err.Error()), "evil") {
					t.Errorf("%s shows the value: %v", where, err)
				}
			}
			eng := mock.Serve(mock.OK(""))
			defer eng.Close()
			for where, opts := range map[string][]godwit.ClientOption{
				"Config": {godwit.Install(cookies.New(cookies.Config{Storage: storage}))},
				"Use":    {godwit.Install(cookies.New(cookies.Config{})), cookies.Use(storage)},
			} {
				c := godwit.New(append(opts, godwit.WithEngineInstance(eng))...)
				check(where, c.Err())
				c.Close()
			}
			c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(cookies.New(cookies.Config{})))
			defer c.Close()
			_, err := godwit.Get[string](t.Context(), c, "https://example.org/", cookies.Use(storage))
			check("request", err)
			if n := len(eng.Requests()); row.want != "" && n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// TestFileIsChecked: what somebody wrote into the file by hand, too.
func TestFileIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	text := `{"version":1,"sites":{"example.org":[{"name":"a","value":"x; evil=1","domain":"example.org"}]}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	eng := mock.Serve(mock.OK(""))
	defer eng.Close()
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})))
	defer c.Close()
	_, err := godwit.Get[string](t.Context(), c, "https://example.org/")
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `cookie "a" of "example.org"`) || len(eng.Requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(eng.Requests()))
	}
}

// TestFileBehindLinks: a link stays one, and what it leads to holds the cookies;
// it need not exist yet.
func TestFileBehindLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("to make symbolic links there takes a privilege")
	}
	dir := t.TempDir()
	for _, sub := range []string{"a", "real/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, "real", "jar.json")
	for link, to := range map[string]string{
		"absolute.json": target,
		"a/up.json":     "../real/jar.json",
		"twice.json":    "a/up.json",
		"folder":        "real/deep",
		"real/deep/up":  "../jar.json", // by folder/up: up from where the link is, not from its name
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute.json", "a/up.json", "twice.json", "folder/up", "real/jar.json"} {
		link := filepath.Join(dir, name)
		before, _ := os.Lstat(link)
		p := cookies.New(cookies.Config{Storage: &cookies.File{Path: link}})
		set(t, p, "https://example.org/", name+"=1; Max-Age=1000")
		after, err := os.Lstat(link)
		if err != nil || before != nil && before.Mode().Type() != after.Mode().Type() {
			t.Errorf("%s is %v now, %v", name, after.Mode(), err)
		}
		data, err := os.ReadFile(target)
		if err != nil || !strings.Contains(string(data), name) {
			t.Errorf("%s: the target has %s, %v", name, data, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absolute.json.lock")); err == nil {
		t.Error("the lock is beside the link")
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	p := cookies.New(cookies.Config{Storage: &cookies.File{Path: loop}})
	if _, err := p.All(t.Context()); err == nil {
		t.Error("a link to itself was read")
	}
}
