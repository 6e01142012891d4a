package cookies_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/cookies"
	"github.com/google/go-cmp/cmp"
)

// storageOf is a storage that shares p's cookies.
func storageOf(p *cookies.Plugin) cookies.Storage { return cookies.StorageOf(p) }

func TestTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cookies.New(cookies.Config{Storage: &cookies.Memory{Total: 60}})
		for i := range 30 {
			set(t, p, "https://crowded.example/", fmt.Sprintf("c%d=1", i))
		}
		for i := range 25 {
			set(t, p, "https://www.crowded.example/", fmt.Sprintf("s%d=1; Secure", i))
		}
		set(t, p, "https://a.example/", "a=1", "short=1; Max-Age=1")
		set(t, p, "https://b.example/", "b=1", "b2=1", "b3=1")
		time.Sleep(time.Minute)
		all, _ := p.All(t.Context())
		if len(all) != 59 { // one has expired
			t.Fatalf("%d at the start", len(all))
		}
		set(t, p, "https://c.example/", "d=1", "d2=1")
		left := names4(t, p)
		if all, _ = p.All(t.Context()); len(all) != 54 {
			t.Errorf("%d left", len(all))
		}
		if strings.Count(left, "c") != 23 || strings.Count(left, "s") != 25 || !strings.HasPrefix(left, "a b b2 b3 c") || !strings.Contains(left, " d d2 ") {
			t.Errorf("left: %s", left)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := cookies.New(cookies.Config{Storage: &cookies.Memory{Total: 3}})
		for _, host := range []string{"a", "b", "c"} {
			set(t, p, "https://"+host+".example/", host+"=1")
			time.Sleep(2 * time.Minute)
		}
		c, _, _ := install(t, cookies.Config{Storage: storageOf(p)}, mock.OK(""))
		get(t, c, "https://a.example/")
		set(t, p, "https://d.example/", "d=1")
		if got := names4(t, p); got != "a c d" {
			t.Errorf("least recently used: %s", got)
		}
	})
}

// TestUsedIsSaid: Used is exact to a minute, and asking is no use.
func TestUsedIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, _ := install(t, cookies.Config{}, mock.OK(""), mock.OK(""))
		set(t, p, "http://example.org/", "a=1")
		start := time.Now()
		used := func() time.Duration {
			all, _ := p.All(t.Context())
			return all[0].Used.Sub(start)
		}
		time.Sleep(59 * time.Second)
		get(t, c, "http://example.org/")
		if used() != 0 {
			t.Errorf("after 59 s: %v", used())
		}
		time.Sleep(time.Hour)
		names(t, p, "http://example.org/")
		if used() != 0 {
			t.Errorf("asking counts: %v", used())
		}
		get(t, c, "http://example.org/")
		if used() != time.Hour+59*time.Second {
			t.Errorf("in the end: %v", used())
		}
	})
}

func TestConstant(t *testing.T) {
	s := cookies.Constant(cookies.Cookie{Name: "a", Value: "1"}, cookies.Cookie{Name: "d", Value: "2", Domain: "Example.org"},
		cookies.Cookie{Name: "h", Value: "3", Domain: "example.org", HostOnly: true}, cookies.Cookie{Name: "s", Value: "4", Secure: true}, cookies.Cookie{Name: "p", Value: "5", Path: "/x"})
	c, p, eng := install(t, cookies.Config{Storage: s}, setting(200, "a=evil", "z=1"), mock.OK(""), mock.OK(""), mock.Redirect("http://b.example/"), mock.OK(""))
	get(t, c, "http://example.org/")
	get(t, c, "https://www.example.org/x")
	get(t, c, "http://192.0.2.1/")
	get(t, c, "http://a.example/")
	expect(t, "constant", eng, "a=1; d=2; h=3", "p=5; a=1; d=2; s=4", "a=1", "a=1", "a=1")
	if all, _ := p.All(t.Context()); len(all) != 5 {
		t.Errorf("%v", all)
	}
}

// TestExport: All, as JSON, into another plugin.
func TestExport(t *testing.T) {
	a, b := cookies.New(cookies.Config{}), cookies.New(cookies.Config{})
	set(t, a, "https://www.example.org/x/y", "one=1; Max-Age=100; Secure; SameSite=Lax; HttpOnly; Partitioned", "two=\xe4\xf6; Domain=example.org", "three=ü\"&<")
	set(t, a, "http://192.0.2.1/", "four=4")
	want, err := a.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var read []cookies.Cookie
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if err := b.Set(t.Context(), read...); err != nil {
		t.Fatal(err)
	}
	got, _ := b.All(t.Context())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := b.Delete(t.Context(), func(c cookies.Cookie) bool { return c.Name == "one" || c.Name == "four" }); err != nil {
		t.Fatal(err)
	}
	if got := names4(t, b); got != "three two" {
		t.Errorf("after Delete: %s", got)
	}
	if err := b.Delete(t.Context(), nil); err != nil || names4(t, b) != "" {
		t.Errorf("after Delete of all: %s, %v", names4(t, b), err)
	}
	for name, bad := range map[string]cookies.Cookie{
		"name":      {Name: "a;b", Domain: "example.org"},
		"equals":    {Name: "a=b", Domain: "example.org"},
		"value":     {Name: "a", Value: "1;2", Domain: "example.org"},
		"line feed": {Name: "a", Value: "1\n", Domain: "example.org"},
		"path":      {Name: "a", Path: "x", Domain: "example.org"},
		"domain":    {Name: "a"},
	} {
		if err := b.Set(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cookies.json")
	one := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})
	two := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})
	const u = "https://example.org/"
	if got := names(t, one, u); got != "" {
		t.Errorf("at the start: %q", got)
	}
	set(t, one, u, "session=1", "a=1; Max-Age=1000", "v=\xff; Max-Age=1000")
	if got := names(t, one, u); got != "session=1; a=1; v=\xff" {
		t.Errorf("one: %q", got)
	}
	if got := names(t, two, u); got != "a=1; v=\xff" {
		t.Errorf("two: %q", got)
	}
	set(t, two, u, "a=2; Max-Age=1000", "b=1; Max-Age=1000", "v=; Max-Age=0")
	if got := names(t, one, u); got != "session=1; a=2; b=1" {
		t.Errorf("one after two: %q", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), "session") {
		t.Errorf("%s, %v", data, err)
	}
	all := cookies.New(cookies.Config{Storage: &cookies.File{Path: path, Session: true}})
	set(t, all, u, "session2=1")
	again := cookies.New(cookies.Config{Storage: &cookies.File{Path: path, Session: true}})
	if got := names(t, again, u); got != "a=2; b=1; session2=1" {
		t.Errorf("with session cookies: %q", got)
	}
	bounded := cookies.New(cookies.Config{Storage: &cookies.File{Path: path, Session: true, Total: 2}})
	set(t, bounded, "https://example.com/", "c=1; Max-Age=1000")
	if kept, _ := again.All(t.Context()); len(kept) != 2 {
		t.Errorf("Total: %v", kept)
	}
}

// TestFileIsNotWritten: session cookies and use alone don't touch it.
func TestFileIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cookies.json")
	p := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})
	set(t, p, "https://example.org/", "session=1")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written for a session cookie: %v", err)
	}
	if names(t, p, "https://example.org/") != "session=1" {
		t.Error("session cookie is lost")
	}
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"garbage": "<html>", "version": `{"version": 99}`} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})
		err := p.SetCookies(t.Context(), parse(t, "https://example.org/"), "a=1")
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := cookies.New(cookies.Config{Storage: &cookies.File{}}).All(t.Context()); err == nil || !strings.Contains(err.Error(), "Path") {
		t.Errorf("no Path: %v", err)
	}
	// What could not be written is not taken for written: there is room for the
	// file's name here, but none for that of the temporary one.
	p := cookies.New(cookies.Config{Storage: &cookies.File{Path: filepath.Join(dir, strings.Repeat("x", 250))}})
	for range 2 {
		if err := p.SetCookies(t.Context(), parse(t, "https://example.org/"), "a=1; Expires=Fri, 31 Dec 2100 23:59:59 GMT"); err == nil {
			t.Error("written to a name that is too long")
		}
	}
}

const childFile = "COOKIES_TEST_FILE"

// TestFileProcesses: no cookie of several processes and goroutines is lost.
func TestFileProcesses(t *testing.T) {
	add := func(path, name string) error {
		p := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}})
		for i := range 10 {
			if err := p.SetCookies(context.Background(), parse(t, "https://example.org/"), fmt.Sprintf("%s-%d=1; Max-Age=1000", name, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if path := os.Getenv(childFile); path != "" {
		if err := add(path, fmt.Sprint("child", os.Getpid())); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "cookies.json")
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFileProcesses$")
			cmd.Env = append(os.Environ(), childFile+"="+path)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		wg.Go(func() {
			if err := add(path, fmt.Sprint("own", n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := cookies.New(cookies.Config{Storage: &cookies.File{Path: path}}).All(t.Context())
	if err != nil || len(all) != 60 {
		t.Errorf("%d cookies, %v", len(all), err)
	}
}

// TestParallel: one storage, 64 goroutines.
func TestParallel(t *testing.T) {
	for name, s := range map[string]cookies.Storage{
		"memory": &cookies.Memory{Total: 40}, "file": &cookies.File{Path: filepath.Join(t.TempDir(), "c.json"), Total: 40}, "constant": cookies.Constant(cookies.Cookie{Name: "a"}),
	} {
		p := cookies.New(cookies.Config{Storage: s, PerSite: 10})
		var wg sync.WaitGroup
		for n := range 64 {
			wg.Go(func() {
				u := fmt.Sprintf("https://h%d.example/", n%8)
				set(t, p, u, fmt.Sprintf("c%d=1; Max-Age=1000", n), "session=1")
				names(t, p, u)
				if _, err := p.All(t.Context()); err != nil {
					t.Error(err)
				}
				if n%16 == 0 {
					if err := p.Delete(t.Context(), func(c cookies.Cookie) bool { return c.Name == "session" }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if all, err := p.All(t.Context()); err != nil || len(all) > 40 {
			t.Errorf("%s: %d, %v", name, len(all), err)
		}
	}
}
