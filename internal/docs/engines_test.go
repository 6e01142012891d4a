// Package docs_test keeps the generated parts of docs/ equal to the code.
package docs_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
)

var update = flag.Bool("update", false, "write the generated parts of docs/")

const (
	begin = "<!-- generated from Capabilities(): begin -->\n"
	end   = "<!-- generated from Capabilities(): end -->\n"
)

// TestCapabilityMatrix: docs/engines.md says what the engines say.
func TestCapabilityMatrix(t *testing.T) {
	const path = "../../docs/engines.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no marks for the matrix", path)
	}
	want := before + begin + matrix(t) + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is not what Capabilities() says: run make docs", path)
	}
}

func matrix(t *testing.T) string {
	t.Helper()
	var engines []engine.Engine
	for _, f := range []engine.Factory{cio.Config{}, h2.Config{}, nethttp.Config{}, mock.Config{}} {
		e, err := f.NewEngine(engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		engines = append(engines, e)
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, e := range engines {
		fmt.Fprintf(&b, " %s |", e.Name())
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(engines)) + "\n")
	for _, c := range engine.AllCapabilities.Each() {
		fmt.Fprintf(&b, "| %s |", c)
		for _, e := range engines {
			if e.Capabilities().Has(c) {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
