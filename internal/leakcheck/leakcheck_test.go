package leakcheck

import (
	"net"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// recorder is a testing.TB that keeps complaints and runs cleanups on demand.
type recorder struct {
	testing.TB
	complaints int
	cleanups   []func()
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.complaints++ }

func TestStacksShowOurGoroutines(t *testing.T) {
	stop, started := make(chan struct{}), make(chan struct{})
	go func() { close(started); <-stop }()
	<-started
	var found bool
	for _, g := range stacks() {
		found = found || strings.Contains(g, "TestStacksShowOurGoroutines")
		if strings.Contains(g, "testing.tRunner(") {
			t.Errorf("a goroutine of the test binary is listed:\n%s", g)
		}
	}
	if !found {
		t.Error("the goroutine of this test is not listed")
	}
	close(stop)
	if left := wait(nil); len(left) > 0 {
		t.Errorf("%d goroutines left", len(left))
	}
}

func TestGoroutinesIgnoresEarlierOnes(t *testing.T) {
	stop, started := make(chan struct{}), make(chan struct{})
	go func() { close(started); <-stop }()
	<-started
	r := &recorder{TB: t}
	Goroutines(r)
	for _, f := range r.cleanups {
		f()
	}
	if r.complaints != 0 {
		t.Error("a goroutine that ran before counts as left")
	}
	close(stop)
}

func TestListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(inner)
	defer l.Close()
	var served []net.Conn
	for i := range 3 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		served = append(served, c)
		if l.Open() != i+1 || l.Accepted() != i+1 {
			t.Errorf("open %d, accepted %d, want %d", l.Open(), l.Accepted(), i+1)
		}
	}
	if _, ok := Unwrap(served[0]).(*net.TCPConn); !ok {
		t.Errorf("Unwrap gives %T", Unwrap(served[0]))
	}
	served[0].Close()
	served[0].Close()
	l.WaitOpen(t, 2)
	if n := l.CloseConns(); n != 2 {
		t.Errorf("CloseConns closed %d, want 2", n)
	}
	l.WaitClosed(t)
	if l.Accepted() != 3 {
		t.Errorf("accepted %d, want 3", l.Accepted())
	}
}
