package cookies

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/internal/sharedfile"
)

// File keeps cookies in a file of JSON that processes may share: it is replaced
// whole, under a lock (path.lock beside it), and read again when another process
// changed it. Only its owner can read it, since cookies are credentials. If it is
// a symbolic link, that stays one, and the file that it leads to is replaced.
//
// Session cookies stay in memory, and when a cookie was last used is written with
// the next other change. Fields are set before first use; all but Path may be
// left zero.
type File struct {
	// Path is where the file is or will be; its folder is made if need be.
	Path string
	// Session keeps session cookies in the file, too.
	Session bool
	// Total is how many cookies there may be, as in Memory.
	Total int

	mu      sync.Mutex // guards what follows; held while the file is read or written
	shared  *sharedfile.File
	memory  Memory
	unsaved bool // memory has what could not be written
}

// document is what the file holds.
type document struct {
	Version int                 `json:"version"`
	Sites   map[string][]Cookie `json:"sites"`
}

const documentVersion = 1

// Site implements [Storage].
func (f *File) Site(ctx context.Context, site string) ([]Cookie, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return nil, err
	}
	return f.memory.sites[site], nil
}

// All implements [Storage].
func (f *File) All(ctx context.Context) ([]Cookie, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return nil, err
	}
	return f.memory.all(), nil
}

// Update implements [Storage].
func (f *File) Update(ctx context.Context, site string, change func([]Cookie) []Cookie) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	old := f.memory.sites[site]
	if changed := change(slices.Clone(old)); !f.unsaved && f.written(old, changed) {
		f.memory.put(site, changed)
		if !f.memory.bound(time.Now()) {
			return nil
		}
	}
	unlock, err := f.shared.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := f.load(); err != nil {
		return err
	}
	f.memory.put(site, change(slices.Clone(f.memory.sites[site])))
	f.memory.bound(time.Now())
	return f.save()
}

// written reports whether the file says of both the same.
func (f *File) written(a, b []Cookie) bool {
	return slices.EqualFunc(f.lasting(a), f.lasting(b), func(a, b Cookie) bool {
		expires := a.Expires.Equal(b.Expires)
		created := a.Created.Equal(b.Created)
		a.Used, a.Expires, a.Created = b.Used, b.Expires, b.Created
		return expires && created && a == b
	})
}

// lasting returns the cookies that go to the file.
func (f *File) lasting(cookies []Cookie) []Cookie {
	if f.Session {
		return cookies
	}
	return slices.DeleteFunc(slices.Clone(cookies), func(c Cookie) bool { return c.IsSession() })
}

// load brings memory up to date if another process changed the file. Session
// cookies that are not in files stay.
func (f *File) load() error {
	if f.shared == nil {
		if f.Path == "" {
			return fmt.Errorf("cookies.File has no Path")
		}
		f.shared, f.memory.Total = sharedfile.New(f.Path), f.Total
	}
	return f.shared.Load(func(data []byte) error {
		d := document{Version: documentVersion}
		if len(data) > 0 {
			if err := json.Unmarshal(data, &d); err != nil {
				return fmt.Errorf("these are no cookies (%w); move it away to start afresh", err)
			}
			for _, cookies := range d.Sites {
				for i := range cookies {
					if err := cookies[i].check(); err != nil {
						return err
					}
				}
			}
		}
		if d.Version != documentVersion {
			return fmt.Errorf("version %d of the cookies' format is not known", d.Version)
		}
		session := f.memory.sites
		f.memory.sites, f.memory.count = nil, 0
		for site, cookies := range d.Sites {
			f.memory.put(site, cookies)
		}
		if f.Session {
			return nil
		}
		for site, cookies := range session {
			both := slices.Clone(f.memory.sites[site])
			for _, c := range cookies {
				if c.IsSession() && !slices.ContainsFunc(both, func(old Cookie) bool { return old.same(&c) }) {
					both = append(both, c)
				}
			}
			f.memory.put(site, both)
		}
		return nil
	})
}

func (f *File) save() error {
	d := document{Version: documentVersion, Sites: make(map[string][]Cookie)}
	for site, cookies := range f.memory.sites {
		if lasting := f.lasting(cookies); len(lasting) > 0 {
			d.Sites[site] = lasting
		}
	}
	data, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return err
	}
	f.unsaved = true
	if err := f.shared.Replace(append(data, '\n')); err != nil {
		return err
	}
	f.unsaved = false
	return nil
}
