package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Reload reads files again when they change; its methods are options like those
// without it. The files are looked at during handshakes (their time and size, and
// whether they were replaced), at most once in Every; there is no goroutine.
// Connections that are open stay as they are.
type Reload struct {
	// Every is the shortest time between two looks; 0 = 10 s. Negative: every
	// handshake looks.
	Every time.Duration
	// OnError is told why changed files cannot be used, once for each change; what
	// was read before stays in use. It runs during a handshake and must not
	// block; it may be called from several goroutines. nil = nobody is told.
	OnError func(error)
}

const defaultEvery = 10 * time.Second

// Client is [ClientFiles] of files that may change. A new certificate ends the
// resumption of sessions that were made with the old one; net/http and quic-go do
// not tell which those are, and with them a session that comes when another
// handshake has seen the new one counts as made with that. It goes before
// certificates of other options; of several the last one goes first.
func (r Reload) Client(chainFile, keyFile string) Option {
	return func(b *builder) error {
		f := &files[*tls.Certificate]{reload: r, names: []string{chainFile, keyFile}}
		f.read = func() (*tls.Certificate, error) {
			c, err := loadKeyPair(chainFile, keyFile)
			return &c, err
		}
		if err := f.first(); err != nil {
			return err
		}
		b.clients = append(b.clients, f)
		return nil
	}
}

// Roots is [RootFiles] of files that may change. What is trusted at the moment
// holds for resumed sessions too.
//
// The check of certificates then runs in VerifyConnection, for which
// InsecureSkipVerify is set in the result of [Config]; ConnectionState has no
// VerifiedChains. Hosts must be names, as crypto/tls does not tell addresses:
// https://127.0.0.1/ fails unless ServerName is set. An https proxy may be an
// address.
func (r Reload) Roots(files ...string) Option {
	return func(b *builder) error { return b.reloadRoots(r, files, x509.NewCertPool()) }
}

// MoreRoots is [MoreRootFiles] of files that may change; see [Reload.Roots].
func (r Reload) MoreRoots(files ...string) Option {
	return func(b *builder) error {
		pool, err := b.trusted()
		if err != nil {
			return err
		}
		return b.reloadRoots(r, files, pool)
	}
}

// reloadRoots leaves the reading to finish: options after this one may add to base.
func (b *builder) reloadRoots(r Reload, names []string, base *x509.CertPool) error {
	if b.roots != nil {
		return errors.New("roots are reloaded by two options; name all files in one")
	}
	b.config.RootCAs = base
	b.roots = &files[*x509.CertPool]{reload: r, names: names}
	return nil
}

// files holds what was made of some files. It is safe for concurrent use.
type files[T any] struct {
	reload Reload
	names  []string
	read   func() (T, error)

	mu      sync.Mutex // guards what follows; held while files are read, so that one goroutine reads
	value   T
	changed uint64        // how often
	stamps  []os.FileInfo // nil = missing
	looked  time.Time
}

// first reads the files for the first time.
func (f *files[T]) first() error {
	// Looking comes before reading: what changes in between is read again.
	stamps, err := f.look()
	if err != nil {
		return err
	}
	value, err := f.read()
	if err != nil {
		return err
	}
	f.value, f.stamps, f.looked = value, stamps, time.Now()
	return nil
}

// current returns what the files hold.
func (f *files[T]) current() T {
	value, err := f.refresh()
	if err != nil && f.reload.OnError != nil {
		f.reload.OnError(fmt.Errorf("certs: %w; what was read before stays in use", err))
	}
	return value
}

// changes returns how often the files have changed; it does not look.
func (f *files[T]) changes() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *files[T]) refresh() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	every := f.reload.Every
	if every == 0 {
		every = defaultEvery
	}
	now := time.Now()
	if now.Sub(f.looked) < every {
		return f.value, nil
	}
	f.looked = now
	stamps, err := f.look()
	if same(stamps, f.stamps) {
		return f.value, nil
	}
	f.stamps = stamps // a change is reported once, whether it is good or bad
	if err != nil {
		return f.value, err
	}
	value, err := f.read()
	if err != nil {
		return f.value, err
	}
	f.value = value
	f.changed++
	return f.value, nil
}

// look returns what changed files are known by; nil for a missing one.
func (f *files[T]) look() (stamps []os.FileInfo, failed error) {
	for _, name := range f.names {
		info, err := os.Stat(name)
		if err != nil {
			info, failed = nil, cmp.Or(failed, err)
		} else {
			os.SameFile(info, info) // on Windows it is only now that the file is identified
		}
		stamps = append(stamps, info)
	}
	return stamps, failed
}

// same reports whether the files are the same ones, as far as their time, size and
// identity tell: what is put in place of a file may have its time and size.
func same(a, b []os.FileInfo) bool {
	return slices.EqualFunc(a, b, func(a, b os.FileInfo) bool {
		if a == nil || b == nil {
			return a == b
		}
		return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
	})
}
