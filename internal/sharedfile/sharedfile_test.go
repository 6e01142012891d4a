package sharedfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/sharedfile"
)

// counting is set for the processes that TestProcesses starts.
const counting = "SHAREDFILE_TEST_COUNT"

func TestMain(m *testing.M) {
	if path := os.Getenv(counting); path != "" {
		c := newCounter(path)
		for range 50 {
			if err := c.increment(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		return
	}
	leakcheck.Main(m)
}

// counter is a number in a file, as a user of File keeps it in memory.
type counter struct {
	file *sharedfile.File
	n    int
}

func newCounter(path string) *counter { return &counter{file: sharedfile.New(path)} }

// increment adds 1 to the number.
func (c *counter) increment() error {
	unlock, err := c.file.Lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.load(); err != nil {
		return err
	}
	c.n++
	return c.file.Replace([]byte(strconv.Itoa(c.n)))
}

func (c *counter) load() error {
	return c.file.Load(func(data []byte) (err error) {
		c.n = 0
		if data != nil {
			c.n, err = strconv.Atoi(string(data))
		}
		return err
	})
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "file")
	a, b := sharedfile.New(path), sharedfile.New(path)
	loads := 0
	load := func(f *sharedfile.File) (text string, changed bool) {
		t.Helper()
		if err := f.Load(func(data []byte) error {
			text, changed = string(data), true
			loads++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return text, changed
	}
	if text, changed := load(a); text != "" || !changed {
		t.Error("no file: not told")
	}
	if _, changed := load(a); changed {
		t.Error("no file, again")
	}
	if err := b.Replace([]byte("1")); err != nil {
		t.Fatal(err)
	}
	if text, changed := load(a); text != "1" || !changed {
		t.Errorf("after Replace: %q %v", text, changed)
	}
	// The times of two changes may be the same, the sizes too.
	for i := range 20 {
		want := strconv.Itoa(i % 10)
		if err := b.Replace([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if text, changed := load(a); text != want || !changed {
			t.Fatalf("change %d: %q %v", i, text, changed)
		}
	}
	// One that is old is read once.
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	load(a)
	if _, changed := load(a); changed {
		t.Error("an old file was read twice")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	bad := errors.New("bad")
	if err := b.Replace([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := a.Load(func([]byte) error { return bad }); !errors.Is(err, bad) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if text, changed := load(a); text != "x" || !changed {
		t.Error("what could not be used counts as read")
	}
	left, err := filepath.Glob(path + "*.tmp")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLockEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	unlock, err := sharedfile.New(path).Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sharedfile.New(path).Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	again, err := sharedfile.New(path).Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file", "below")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := sharedfile.New(blocked)
	if _, err := f.Lock(t.Context()); err == nil {
		t.Error("Lock below a file")
	}
	if err := f.Replace(nil); err == nil {
		t.Error("Replace below a file")
	}
	if err := sharedfile.New(dir).Load(func([]byte) error { return nil }); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a folder: %v", err)
	}
}

// TestProcesses: no change of several processes and goroutines is lost.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), counting+"="+path)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		wg.Go(func() {
			c := newCounter(path)
			for range 50 {
				if err := c.increment(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c := newCounter(path)
	if err := c.load(); err != nil || c.n != 300 {
		t.Errorf("%d, %v", c.n, err)
	}
}

// TestSymbolicLink: a link stays one, and what it leads to is replaced; it need not
// exist yet.
func TestSymbolicLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("to make symbolic links there takes a privilege")
	}
	dir := t.TempDir()
	for _, sub := range []string{"a", "real/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, "real", "jar.json")
	for link, to := range map[string]string{
		"absolute.json": target,
		"a/up.json":     "../real/jar.json",
		"twice.json":    "a/up.json",
		"folder":        "real/deep",
		"real/deep/up":  "../jar.json", // by folder/up: up from where the link is, not from its name
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute.json", "a/up.json", "twice.json", "folder/up", "real/jar.json"} {
		link := filepath.Join(dir, name)
		before, _ := os.Lstat(link)
		f := sharedfile.New(link)
		unlock, err := f.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Replace([]byte(name)); err != nil {
			t.Error(err)
		}
		unlock()
		after, err := os.Lstat(link)
		if err != nil || before != nil && before.Mode().Type() != after.Mode().Type() {
			t.Errorf("%s is %v now, %v", name, after.Mode(), err)
		}
		data, err := os.ReadFile(target)
		if err != nil || string(data) != name {
			t.Errorf("%s: the target has %s, %v", name, data, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absolute.json.lock")); err == nil {
		t.Error("the lock is beside the link")
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if err := sharedfile.New(loop).Load(func([]byte) error { return nil }); err == nil {
		t.Error("a link to itself was read")
	}
}
