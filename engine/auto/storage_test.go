package auto_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/http3"
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

// TestPersist: after a restart all is there, after a change of the network what its
// origin calls persistent, and that is what the next run finds.
func TestPersist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alternatives.json")
	fleeting, lasting := newOrigin(t), newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	fleeting.tell(`h3=":` + a.Port + `"`)
	lasting.tell(`h3=":` + a.Port + `"; persist=1`)
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: auto.File(path)})
	wantProto(t, e, told, fleeting.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, lasting.URL, "HTTP/1.1", auto.NoAlternative)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	fleeting.tell("")
	lasting.tell("")
	e, told = newEngine(t, auto.Config{HeadStart: long, Storage: auto.File(path)})
	wantProto(t, e, told, fleeting.URL, "HTTP/3.0", auto.Won)
	wantProto(t, e, told, lasting.URL, "HTTP/3.0", auto.Won)
	e.NetworkChanged()
	wantProto(t, e, told, fleeting.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, lasting.URL, "HTTP/3.0", auto.Won) // idle connections went, too
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e, told = newEngine(t, auto.Config{HeadStart: long, Storage: auto.File(path)})
	if s := e.Snapshot(); len(s.Services) != 1 || s.Services[0].Origin != "example.test:"+lasting.Port {
		t.Errorf("the next run finds %+v", s.Services)
	}
	wantProto(t, e, told, lasting.URL, "HTTP/3.0", auto.Won)
}

// TestPersistentMarks: what is broken is so after a restart, until NetworkChanged.
func TestPersistentMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alternatives.json")
	o := newOrigin(t)
	o.tell(`h3=":` + silent(t) + `"; persist=1`)
	c := auto.Config{HeadStart: long, Storage: auto.File(path), HTTP3: http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: 20 * time.Millisecond}}}
	e, told := newEngine(t, c)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e, told = newEngine(t, c)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
	e.NetworkChanged()
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
	if s := e.Snapshot(); len(s.Broken) != 1 || s.Broken[0].Failures != 1 {
		t.Errorf("snapshot %+v", s)
	}
}

// TestExpires: what an origin has told of ends with its time.
func TestExpires(t *testing.T) {
	o := newOrigin(t)
	m := knows(o.Port, silent(t))
	expires := time.Now().Add(50 * time.Millisecond)
	m.Services[0].Alternatives[0].Expires = expires
	e, told := newEngine(t, auto.Config{HeadStart: -1, Storage: m})
	if s := e.Snapshot(); len(s.Services) != 1 {
		t.Errorf("at first %+v", s)
	}
	<-time.After(time.Until(expires))
	if s := e.Snapshot(); len(s.Services) > 0 {
		t.Errorf("afterwards %+v", s)
	}
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
}

// TestMaxOrigins: no more are remembered, whoever tells of them.
func TestMaxOrigins(t *testing.T) {
	m := &memory{}
	for i := range 5 {
		origin := fmt.Sprintf("o%d.test:443", i)
		m.Services = append(m.Services, auto.Service{Origin: origin, Alternatives: []auto.Alternative{{Authority: "a.test:1", Expires: time.Now().Add(long)}}})
		m.Broken = append(m.Broken, auto.Broken{Origin: origin, Authority: "a.test:1", Until: time.Now().Add(long), Failures: 1})
	}
	e, _ := newEngine(t, auto.Config{HeadStart: -1, MaxOrigins: 2, Storage: m})
	if s := e.Snapshot(); len(s.Services) != 2 || len(s.Broken) != 2 {
		t.Errorf("loaded %+v", s)
	}
	o := newOrigin(t)
	o.tell(`h3=":1"`)
	send(t, e, request(t, "GET", o.URL))
	s := e.Snapshot()
	if len(s.Services) != 2 || !slices.ContainsFunc(s.Services, func(s auto.Service) bool { return s.Origin == "example.test:"+o.Port }) {
		t.Errorf("learnt %+v", s.Services)
	}
}

// TestNothingIsSavedAfterClose: a response that comes later is not waited for, and
// its news are lost.
func TestNothingIsSavedAfterClose(t *testing.T) {
	release := make(chan struct{})
	unblock := sync.OnceFunc(func() { close(release) })
	arrived := make(chan struct{}, 1)
	port := serveTLS(t, false, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.Header().Set("Alt-Svc", `h3=":1"`)
	})
	t.Cleanup(unblock)
	m := &memory{}
	e, told := newEngine(t, auto.Config{Storage: m})
	sent := start(t, e, request(t, "GET", "https://example.test:"+port))
	within(t, "the request", arrived)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	unblock()
	if r := within(t, "the answer", sent); r.err != nil {
		t.Fatal(r.err)
	}
	told.await(t, auto.Learned, 1)
	e.Close() // waits for a save that was begun
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saves > 0 {
		t.Errorf("saved %d times after Close", m.saves)
	}
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
