package useragent

import (
	"runtime/debug"
	"testing"
)

func TestProgram(t *testing.T) {
	for name, row := range map[string]struct {
		path, version, want string
	}{
		"released":     {"example.org/shop", "v2.1.0", "shop/v2.1.0"},
		"a command":    {"example.org/shop/cmd/till", "v2.1.0", "till/v2.1.0"},
		"a major":      {"example.org/shop/v2", "v2.1.0", "shop/v2.1.0"},
		"in the works": {"example.org/shop", "(devel)", "shop"},
		"one file":     {"command-line-arguments", "", ""},
		"nothing":      {"", "", ""},
	} {
		got, err := join(programOf(&debug.BuildInfo{Path: row.path, Main: debug.Module{Version: row.version}}))
		if err != nil || got != row.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, row.want)
		}
	}
}
