package enginetest_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine/enginetest"
)

// TestDocsNameTests holds docs/enginetest.md to the tests that exist.
func TestDocsNameTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/enginetest.md")
	if err != nil {
		t.Fatal(err)
	}
	names := enginetest.Names()
	mentioned := regexp.MustCompile("`enginetest: ([^`]*)`").FindAllStringSubmatch(string(page), -1)
	if len(mentioned) < 50 {
		t.Errorf("the page names %d tests only", len(mentioned))
	}
	for _, m := range mentioned {
		if !slices.Contains(names, m[1]) && m[1] != "Group/Name" {
			t.Errorf("the page names %q, which does not exist", m[1])
		}
	}
	for _, name := range names {
		group, _, _ := strings.Cut(name, "/")
		if !strings.Contains(string(page), "`"+group+"`") {
			t.Errorf("the page does not tell of group %s", group)
		}
	}
}
