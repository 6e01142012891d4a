package program_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/program"
)

// TestMain plays the program if it is told to.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		l, err := net.Listen("tcp", os.Args[2])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "hello")
			c.Close()
		}
	case len(os.Args) == 2 && os.Args[1] == "fail":
		fmt.Println("no such option")
		os.Exit(1)
	}
	leakcheck.Main(m)
}

// recorder is a test whose end is looked at.
type recorder struct {
	testing.TB
	fatal, skip string
	cleanups    []func()
}

func (r *recorder) Helper()             {}
func (r *recorder) Failed() bool        { return r.fatal != "" }
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any)   { r.fatal += fmt.Sprint(args...) }
func (r *recorder) Fatal(args ...any)   { r.fatal = fmt.Sprint(args...); runtime.Goexit() }
func (r *recorder) Skip(args ...any)    { r.skip = fmt.Sprint(args...); runtime.Goexit() }
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) run(f func()) {
	done := make(chan bool)
	go func() { defer close(done); f() }()
	<-done
	for _, f := range r.cleanups {
		f()
	}
}

func TestMissing(t *testing.T) {
	for required, want := range map[string]func(*recorder) string{
		"1": func(r *recorder) string { return r.fatal },
		"":  func(r *recorder) string { return r.skip },
	} {
		t.Setenv("GODWIT_REQUIRE_ALL", required)
		r := &recorder{TB: t}
		r.run(func() { program.Find(r, "no-such-program", "some-package") })
		if got := want(r); !strings.Contains(got, "apt-get install some-package") {
			t.Errorf("GODWIT_REQUIRE_ALL=%s: fatal %q, skip %q", required, r.fatal, r.skip)
		}
	}
}

func TestStart(t *testing.T) {
	r := &recorder{TB: t}
	var addr string
	r.run(func() {
		addr = program.Server{Program: os.Args[0], Ports: 1, Args: func(dir string, addrs []string) []string {
			return []string{"serve", addrs[0]}
		}}.Start(r)[0]
		c, err := net.Dial("tcp", addr)
		if err != nil {
			r.Fatal(err)
		}
		defer c.Close()
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
			r.Fatal(line, err)
		}
	})
	if r.fatal != "" {
		t.Error(r.fatal)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it listens when the test is over")
	}
}

func TestStartFails(t *testing.T) {
	r := &recorder{TB: t}
	r.run(func() {
		program.Server{Program: os.Args[0], Ports: 1, Args: func(string, []string) []string { return []string{"fail"} }}.Start(r)
	})
	if !strings.Contains(r.fatal, "no such option") {
		t.Errorf("failed with %q", r.fatal)
	}
}
