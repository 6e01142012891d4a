package auto_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/engine/auto"
)

// memory is a Storage.
type memory struct {
	mu sync.Mutex // guards what follows
	auto.Snapshot
	loadErr, saveErr error
	saves            int
}

func (m *memory) Load(context.Context) (auto.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Snapshot, m.loadErr
}

func (m *memory) Save(_ context.Context, s auto.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if m.saveErr == nil {
		m.Snapshot = s
	}
	return m.saveErr
}

// TestPersistence: a second engine knows what the first has learnt.
func TestPersistence(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3=":` + a.Port + `"`)
	path := filepath.Join(t.TempDir(), "folder", "alternatives.json")
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: auto.File(path)})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e, told = newEngine(t, auto.Config{HeadStart: long, Storage: auto.File(path)})
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	want := auto.Snapshot{
		Services: []auto.Service{{Origin: "a.test:443", Alternatives: []auto.Alternative{{Authority: "b.test:8443", Expires: time.Unix(2e9, 0).UTC(), Persist: true}}}},
		Broken:   []auto.Broken{{Origin: "a.test:443", Authority: "b.test:8443", Until: time.Unix(3e9, 0).UTC(), Failures: 3}},
	}
	if empty, err := auto.File(path).Load(t.Context()); err != nil || len(empty.Services) > 0 {
		t.Errorf("no file: %+v, %v", empty, err)
	}
	if err := auto.File(path).Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := auto.File(path).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auto.File(path).Load(t.Context()); err == nil {
		t.Error("a broken file is no error")
	}
}

// TestBrokenFile: a cache that was cut off is told of, and replaced.
func TestBrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(path, []byte(`{"services": [{"ori`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOrigin(t)
	o.tell(`h3=":1"`)
	e, told := newEngine(t, auto.Config{HeadStart: -1, Storage: auto.File(path)})
	if ev := told.await(t, auto.Trouble, 1); ev.Err == nil || !strings.Contains(ev.Err.Error(), "loading") {
		t.Errorf("told %v", ev.Err)
	}
	send(t, e, request(t, "GET", o.URL))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := auto.File(path).Load(t.Context()); err != nil || len(s.Services) != 1 {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

func TestStorageFails(t *testing.T) {
	broken := errors.New("the disk is full")
	_, early := newEngine(t, auto.Config{Storage: &memory{loadErr: broken}})
	if ev := early.await(t, auto.Trouble, 1); !errors.Is(ev.Err, broken) {
		t.Errorf("Load: told %v", ev.Err)
	}
	o := newOrigin(t)
	o.tell(`h3=":1"`)
	e, told := newEngine(t, auto.Config{Storage: &memory{saveErr: broken}})
	send(t, e, request(t, "GET", o.URL))
	if ev := told.await(t, auto.Trouble, 1); !errors.Is(ev.Err, broken) {
		t.Errorf("told %v", ev.Err)
	}
	if err := e.Close(); !errors.Is(err, broken) {
		t.Errorf("Close: %v", err)
	}
}

// TestRenewalIsNotSaved: the same field in each response is not written each time.
func TestRenewalIsNotSaved(t *testing.T) {
	o := newOrigin(t)
	o.tell(`h3="elsewhere.test:443"; ma=86400`)
	m := &memory{}
	e, _ := newEngine(t, auto.Config{Storage: m, HeadStart: -1})
	for range 20 {
		send(t, e, request(t, "GET", o.URL))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if m.saves > 2 { // the alternative may have failed once
		t.Errorf("saved %d times", m.saves)
	}
}
