package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/program"
)

const howTo = `the Autobahn test suite is not here: clone https://github.com/ricardo-valero/autobahn-testsuite,
apt-get install python3-autobahn python3-twisted python3-jinja2, and set GODWIT_AUTOBAHN to the clone's directory`

// serve runs the suite. Debian's autobahn gives bytes where the report expects
// text.
const serve = `import json
json.JSONEncoder.default = lambda self, o: bytes(o).decode("utf8", "replace")
from autobahntestsuite.wstest import run
run()`

// TestAutobahn runs the cases of GODWIT_AUTOBAHN_CASES ("1.*,7.*"; all if it is
// not set, which takes half an hour: go test -timeout 1h) against the fuzzing
// server.
func TestAutobahn(t *testing.T) {
	suite := os.Getenv("GODWIT_AUTOBAHN")
	if suite == "" {
		t.Skip(howTo) // also where all programs are required: it is no package to install, and takes half an hour
	}
	cases := strings.Split(os.Getenv("GODWIT_AUTOBAHN_CASES"), ",")
	if cases[0] == "" {
		cases = []string{"*"}
	}
	reports := t.TempDir()
	addrs := program.Server{
		Program: "env", Package: "coreutils", Ports: 1,
		Args: func(dir string, addrs []string) []string {
			spec, err := json.Marshal(map[string]any{
				"url": "ws://" + addrs[0], "options": map[string]any{"failByDrop": false}, "outdir": reports,
				"cases": cases, "exclude-cases": []string{}, "exclude-agent-cases": map[string]any{},
			})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "spec.json")
			if err := os.WriteFile(file, spec, 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"PYTHONPATH=" + filepath.Join(suite, "autobahntestsuite"), "/usr/bin/python3", "-c",
				serve, "-m", "fuzzingserver", "-u", "0", "-s", file}
		},
	}.Start(t)
	client := godwit.New()
	defer client.Close()
	if err := (tester{client: client, server: "ws://" + addrs[0], agent: "godwit"}).run(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	judge(t, filepath.Join(reports, "index.json"))
}

// judge reads the report.
func judge(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]map[string]struct{ Behavior, BehaviorClose string }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for name, r := range report["godwit"] {
		counts[r.Behavior]++
		for what, verdict := range map[string]string{"behaviour": r.Behavior, "close": r.BehaviorClose} {
			switch verdict {
			case "OK", "NON-STRICT", "INFORMATIONAL":
			case "UNCLEAN":
				// The server gives a farewell one second, its own work on a message
				// of megabytes included.
				t.Logf("case %s: %s is %s", name, what, verdict)
			default:
				t.Errorf("case %s: %s is %s", name, what, verdict)
			}
		}
	}
	if len(report["godwit"]) == 0 {
		t.Error("the report is empty")
	}
	t.Log(fmt.Sprint(len(report["godwit"]), " cases: ", counts))
}
