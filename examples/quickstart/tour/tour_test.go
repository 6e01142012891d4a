package tour

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

// TestShownCodeRuns: what the tour prints as its code stands in the code, beside
// the list that it is printed from.
func TestShownCodeRuns(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	written := make(map[string]bool)
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			written[strings.TrimSpace(line)] = true
		}
	}
	all := append([]step{{title: "mock", code: mockCode}}, steps...)
	for _, s := range all {
		for _, line := range s.code {
			want := strings.TrimSpace(line)
			if body, _, short := strings.Cut(want, " … }"); short {
				want = body
			}
			if !written[want] {
				t.Errorf("%s: no such line of code: %s", s.title, line)
			}
		}
	}
}

// TestStepsNotice: a server that answers anything else than it should fails
// every step.
func TestStepsNotice(t *testing.T) {
	for _, s := range steps {
		t.Run(s.title, func(t *testing.T) {
			c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("something else"))), godwit.BaseURL("http://example.org"))
			defer c.Close()
			if result, err := s.run(t.Context(), c); err == nil {
				t.Errorf("it takes anything for a success: %s", result)
			}
		})
	}
}
