package hsts

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/internal/sharedfile"
)

// Policy is what is known of one host.
type Policy struct {
	// Host is in lower case and ASCII.
	Host              string    `json:"host"`
	IncludeSubDomains bool      `json:"includeSubDomains,omitempty"`
	Expires           time.Time `json:"expires"`
}

// Store keeps policies. It is safe for concurrent use. It may return expired
// ones, which are ignored.
type Store interface {
	// Get returns the policy of exactly that host.
	Get(ctx context.Context, host string) (p Policy, ok bool, err error)
	// Set keeps a policy in the place of the host's earlier one.
	Set(ctx context.Context, p Policy) error
	// Delete forgets a host; one that is not known is no error.
	Delete(ctx context.Context, host string) error
	// All returns all policies.
	All(ctx context.Context) ([]Policy, error)
}

var (
	_ Store = (*Memory)(nil)
	_ Store = (*File)(nil)
)

// maxHosts bounds a store: over it a tenth is freed, what expires first.
const maxHosts = 10_000

// Memory keeps policies in memory, up to 10,000. Its zero value is empty and
// ready to use.
type Memory struct {
	mu    sync.RWMutex // guards hosts
	hosts policies
}

// policies are known hosts; the zero value is empty.
type policies map[string]Policy

func (all *policies) set(p Policy) {
	if *all == nil {
		*all = make(policies)
	}
	(*all)[p.Host] = p
	if len(*all) <= maxHosts {
		return
	}
	order := slices.SortedFunc(maps.Values(*all), func(a, b Policy) int { return a.Expires.Compare(b.Expires) })
	for _, old := range order[:len(order)-maxHosts+maxHosts/10] {
		delete(*all, old.Host)
	}
}

func (all policies) sorted() []Policy {
	return slices.SortedFunc(maps.Values(all), func(a, b Policy) int { return cmp.Compare(a.Host, b.Host) })
}

// Get implements [Store].
func (m *Memory) Get(_ context.Context, host string) (Policy, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p, ok := m.hosts[host]
	return p, ok, nil
}

// Set implements [Store].
func (m *Memory) Set(_ context.Context, p Policy) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts.set(p)
	return nil
}

// Delete implements [Store].
func (m *Memory) Delete(_ context.Context, host string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hosts, host)
	return nil
}

// All implements [Store].
func (m *Memory) All(context.Context) ([]Policy, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.hosts.sorted(), nil
}

// File keeps policies, up to 10,000, in a file of JSON that processes may share:
// it is replaced whole, under a lock (path.lock beside it), and read again when
// another process changed it. Path is set before first use.
type File struct {
	// Path is where the file is or will be; its folder is made if need be.
	Path string

	mu     sync.Mutex // guards what follows; held while the file is read or written
	shared *sharedfile.File
	hosts  policies
}

type document struct {
	Version int      `json:"version"`
	Hosts   []Policy `json:"hosts"`
}

const documentVersion = 1

// Get implements [Store].
func (f *File) Get(_ context.Context, host string) (Policy, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.load()
	p, ok := f.hosts[host]
	return p, ok, err
}

// Set implements [Store].
func (f *File) Set(ctx context.Context, p Policy) error {
	return f.update(ctx, func(all *policies) bool { all.set(p); return true })
}

// Delete implements [Store].
func (f *File) Delete(ctx context.Context, host string) error {
	return f.update(ctx, func(all *policies) bool {
		_, ok := (*all)[host]
		delete(*all, host)
		return ok
	})
}

// All implements [Store].
func (f *File) All(context.Context) ([]Policy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.load()
	return f.hosts.sorted(), err
}

// update applies a change, which says whether there is something to write.
func (f *File) update(ctx context.Context, change func(*policies) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	unlock, err := f.shared.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := f.load(); err != nil {
		return err
	}
	hosts := maps.Clone(f.hosts)
	if !change(&hosts) {
		return nil
	}
	data, err := json.MarshalIndent(document{documentVersion, hosts.sorted()}, "", "\t")
	if err != nil {
		return err
	}
	if err := f.shared.Replace(append(data, '\n')); err != nil {
		return err
	}
	f.hosts = hosts
	return nil
}

// load brings memory up to date if another process changed the file.
func (f *File) load() error {
	if f.shared == nil {
		if f.Path == "" {
			return fmt.Errorf("hsts.File has no Path")
		}
		f.shared = sharedfile.New(f.Path)
	}
	return f.shared.Load(func(data []byte) error {
		d := document{Version: documentVersion}
		if len(data) > 0 {
			if err := json.Unmarshal(data, &d); err != nil {
				return fmt.Errorf("these are no HSTS policies (%w); move it away to start afresh", err)
			}
		}
		if d.Version != documentVersion {
			return fmt.Errorf("version %d of the format is not known", d.Version)
		}
		f.hosts = make(policies)
		for _, p := range d.Hosts {
			f.hosts[p.Host] = p
		}
		return nil
	})
}
