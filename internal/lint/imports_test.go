package lint_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/godwit-go/godwit"

// listed is what go list says of one package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Dir        string
	GoFiles    []string
	Doc        string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps,Dir,GoFiles,Doc"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// room returns the path inside the module: "" for the root, "engine/cio", …
func room(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// under reports whether a room is one of the named ones or inside of it.
func under(room string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return room == n || strings.HasPrefix(room, n+"/") })
}

// The rooms that may import net/http, and what stands on it. Of the plugins two
// do so by their dependencies: x/net/publicsuffix and andybalholm/brotli import
// it for types that we don't use.
var mayUseNetHTTP = []string{"engine/nethttp", "engine/enginetest", "stdhttp", "examples", "internal/lint", "internal/everyengine", "bench", "plugins/cookies", "plugins/encoding"}

// bans are the import rules: a package for which from is true must not depend,
// directly or not, on one for which to is true.
var bans = []struct {
	name     string
	reason   string
	indirect bool
	from     func(room string) bool
	to       func(importPath string) bool
}{
	{
		"net/http", "our engines replace it, and its size and init cost are paid by everyone who imports the root", true,
		func(r string) bool { return !under(r, mayUseNetHTTP...) },
		func(p string) bool {
			return p == "net/http" || p == "golang.org/x/net/http2" || p == "golang.org/x/oauth2"
		},
	},
	{
		"engines know no client", "the contract is a package of its own so that the root can hold a default engine without a cycle", true,
		func(r string) bool { return under(r, "engine") },
		func(p string) bool { return p == module },
	},
	{
		"engines don't know each other", "what two of them need stands in internal/", true,
		func(r string) bool {
			return under(r, "engine") && strings.Count(r, "/") == 1 && r != "engine/enginetest"
		},
		func(p string) bool {
			to, ok := room(p)
			return ok && under(to, "engine") && strings.Count(to, "/") == 1
		},
	},
	{
		"codecs do no I/O", "a codec that knows bytes only can be tested whole, byte by byte, and fuzzed", false,
		func(r string) bool { return under(r, "internal/h1", "internal/ws", "internal/eventstream") },
		func(p string) bool { return p == "net" || p == "time" || p == "os" },
	},
	{
		"header, attr and pipeline stand on std", "they are the words that all others speak", true,
		func(r string) bool { return under(r, "header", "attr", "pipeline") },
		func(p string) bool { return strings.Contains(strings.SplitN(p, "/", 2)[0], ".") },
	},
	{
		"content knows fields only", "content can't import the client", true,
		func(r string) bool { return under(r, "content") },
		func(p string) bool { to, ok := room(p); return ok && to != "header" },
	},
	{
		"the contract is small", "authors of engines need it and nothing else", true,
		func(r string) bool { return r == "engine" },
		func(p string) bool { to, ok := room(p); return ok && !under(to, "header", "content", "attr") },
	},
	{
		"plugins use the contract", "a plugin works on every engine, and alone", true,
		func(r string) bool { return under(r, "plugins") },
		func(p string) bool {
			to, ok := room(p)
			return ok && under(to, "engine/nethttp", "engine/mock", "engine/h2", "engine/fetch")
		},
	},
	{
		"no heavy dependencies", "anything else is a nested module, or a decision written down in docs/design.md", true,
		func(r string) bool { return true },
		func(p string) bool {
			if !strings.Contains(strings.SplitN(p, "/", 2)[0], ".") {
				return false
			}
			allowed := []string{module, "golang.org/x/net", "golang.org/x/text", "golang.org/x/crypto", "golang.org/x/time", "github.com/klauspost/compress", "github.com/andybalholm/brotli"}
			return !slices.ContainsFunc(allowed, func(a string) bool { return p == a || strings.HasPrefix(p, a+"/") })
		},
	},
}

func TestImports(t *testing.T) {
	pkgs := list(t, "./...")
	std := make(map[string]bool)
	for _, p := range list(t, "std") {
		std[p.ImportPath] = true
	}
	for _, ban := range bans {
		t.Run(ban.name, func(t *testing.T) {
			for _, p := range pkgs {
				r, ok := room(p.ImportPath)
				if !ok || !ban.from(r) {
					continue
				}
				imports := p.Imports
				if ban.indirect {
					imports = p.Deps
				}
				for _, to := range imports {
					if to != p.ImportPath && !strings.HasPrefix(to, "vendor/") && (!std[to] || to == "net/http" || !ban.indirect) && ban.to(to) {
						t.Errorf("%s depends on %s: %s", p.ImportPath, to, ban.reason)
					}
				}
			}
		})
	}
}
