// Package program starts the real servers and proxies that tests talk to:
// squid, nginx and the like.
//
// They run in the foreground on free loopback ports, with a configuration of the
// test's own in its temporary directory, and end with the test. A program that
// is not installed skips the test; with GODWIT_REQUIRE_ALL=1 in the environment,
// as in CI, it fails it.
package program

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a program to run.
type Server struct {
	// Program is its name, Package that of the Debian package it comes in.
	Program, Package string
	// Ports is how many loopback addresses it listens on.
	Ports int
	// Args returns the command line for the given addresses ("127.0.0.1:4711").
	// It may write files to dir, which everybody can read.
	Args func(dir string, addrs []string) []string
}

const (
	startLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
	attempts   = 3 // a free port may be taken by somebody else before the program has it
)

// Find returns the path of a program. Those of /usr/sbin are found whatever
// PATH says. If there is none the test ends.
func Find(t testing.TB, program, pkg string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	missing := fmt.Sprintf("%s is not installed: apt-get install %s", program, pkg)
	if os.Getenv("GODWIT_REQUIRE_ALL") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// Start runs the program until the test ends, and returns the addresses when it
// listens on all of them. What it writes is logged if the test fails.
func (s Server) Start(t testing.TB) []string {
	t.Helper()
	path := Find(t, s.Program, s.Package)
	var failure error
	for range attempts {
		dir := t.TempDir()
		for _, d := range []string{filepath.Dir(dir), dir} {
			if err := os.Chmod(d, 0o755); err != nil { // programs give up their rights
				t.Fatal(err)
			}
		}
		addrs := freeAddrs(t, s.Ports)
		r := &running{name: s.Program, cmd: exec.Command(path, s.Args(dir, addrs)...), ended: make(chan struct{})}
		r.cmd.Dir = dir
		if failure = r.start(addrs); failure == nil {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s wrote:\n%s", s.Program, &r.output)
				}
			})
			t.Cleanup(func() {
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
			return addrs
		}
		failure = fmt.Errorf("%w\n%s", failure, &r.output)
	}
	t.Fatal(failure)
	return nil
}

// freeAddrs returns addresses that nobody listens on at this moment.
func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // when all are found, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// running is a program that was started.
type running struct {
	name   string
	cmd    *exec.Cmd
	output buffer
	ended  chan struct{} // closed when the program has ended
}

func (r *running) start(addrs []string) error {
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(r.ended)
		r.cmd.Wait()
	}()
	limit := time.After(startLimit)
	for _, addr := range addrs {
		for !listens(addr) {
			select {
			case <-r.ended:
				return fmt.Errorf("%s ended: %v", r.name, r.cmd.ProcessState)
			case <-limit:
				r.stop()
				return fmt.Errorf("%s does not listen on %s after %v", r.name, addr, startLimit)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// stop asks the program to end, so that it can end its children.
func (r *running) stop() error {
	r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
		return nil
	case <-time.After(stopLimit):
		r.cmd.Process.Kill()
		<-r.ended
		return fmt.Errorf("%s did not end within %v", r.name, stopLimit)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
