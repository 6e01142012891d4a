// Package leakcheck finds what tests leave behind: goroutines and connections.
//
// It asks the runtime for the stacks of all goroutines and leaves out those of
// the test binary itself. Goroutines need a moment to end after what they wait
// for is closed, so every check polls for a bounded time before it fails.
package leakcheck

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long a check waits for goroutines or connections to end.
const patience = 10 * time.Second

// Main runs the tests of a package and exits; it fails if they passed but left
// goroutines. It is called from TestMain:
//
//	func TestMain(m *testing.M) { leakcheck.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := wait(nil); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "leakcheck: %d goroutines left after the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// Goroutines fails t if goroutines started after this call are left when the
// test and its other cleanups (those registered later) are done. Tests that run
// in parallel with t would be counted too, so t must not be parallel.
func Goroutines(t testing.TB) {
	t.Helper()
	before := make(map[string]bool)
	for _, g := range stacks() {
		before[id(g)] = true
	}
	t.Cleanup(func() {
		if left := wait(before); len(left) > 0 {
			t.Errorf("leakcheck: %d goroutines left:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// wait polls until no goroutines but those in before are left, and returns
// what is left in the end.
func wait(before map[string]bool) []string {
	return poll(func() []string {
		var left []string
		for _, g := range stacks() {
			if !before[id(g)] {
				left = append(left, g)
			}
		}
		return left
	})
}

// poll calls f until it returns nothing or patience is at its end.
func poll(f func() []string) []string {
	pause := 50 * time.Microsecond
	for start := time.Now(); ; {
		left := f()
		if len(left) == 0 || time.Since(start) > patience {
			return left
		}
		runtime.Gosched()
		<-time.After(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// stacks returns the stacks of all goroutines but the caller's and those that
// belong to the test binary.
func stacks() []string {
	buf := make([]byte, 1<<18)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var others []string
	for i, g := range bytes.Split(buf, []byte("\n\n")) {
		if s := strings.TrimSpace(string(g)); i > 0 && s != "" && !ofTestBinary(s) {
			others = append(others, s)
		}
	}
	return others
}

// ofTestBinary reports whether the goroutine is package testing's or the
// runtime's: one of its frames is in a package that never runs our code but as
// a test. A goroutine that a test started has no such frame, only a line
// "created by".
func ofTestBinary(stack string) bool {
	for line := range strings.Lines(stack) {
		for _, own := range []string{"testing.", "os/signal.", "runtime.ReadTrace(", "runtime.runCleanups(", "runtime.runFinalizers("} {
			if strings.HasPrefix(line, own) {
				return true
			}
		}
	}
	return false
}

// id returns "goroutine 12" of a stack; the runtime does not use numbers again.
func id(stack string) string {
	head, _, _ := strings.Cut(stack, " [")
	return head
}
