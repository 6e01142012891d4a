package cookies_test

import (
	"os"
	"path/filepath"
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
