package main

import (
	"os"
	"testing"
)

// TestMain lets the harness start this test's program for the other roles.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
		return
	}
	os.Exit(m.Run())
}

func everything(string) bool { return true }

// TestQuick runs each cell with each client for a moment. The clients check
// status and length of what they get, and the server's count of what they send.
func TestQuick(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := settings{pin: "none", only: everything, client: everything, log: testLog{t}, program: []string{program}}.quick()
	h := &harness{settings: s}
	outcomes, err := h.run()
	if err != nil {
		t.Fatal(err)
	}
	took := make(map[string]int)
	for _, o := range outcomes {
		took[o.cell.name]++
		for _, r := range o.rounds {
			if r.Requests < 1 {
				t.Errorf("%s, %s: no requests", o.cell.name, o.client)
			}
			if !o.cell.kind.rests() && (r.CPU <= 0 || r.Wall <= 0) {
				t.Errorf("%s, %s: figures %+v", o.cell.name, o.client, r)
			}
		}
	}
	for _, c := range cells {
		if took[c.name] < 2 && (!c.nginx || hasNginx()) {
			t.Errorf("%s: only %d clients took part", c.name, took[c.name])
		}
	}
	if text := report(s, outcomes); text == "" {
		t.Error("the report is empty")
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", b)
	return len(b), nil
}
