package cookies

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Storage keeps cookies. It only stores: which cookies are accepted, sent and
// dropped is the plugin's business, but for a bound on their number in all. It
// is safe for concurrent use.
type Storage interface {
	// Site returns the cookies kept under a site, a registrable domain or a host,
	// in the order in which Update left them. The caller does not change them.
	Site(ctx context.Context, site string) ([]Cookie, error)
	// Update replaces a site's cookies by what change makes of them. No other
	// change of the site comes between, whoever makes it. change may be called
	// several times; it gets a copy, and nil if there are none.
	Update(ctx context.Context, site string, change func([]Cookie) []Cookie) error
	// All returns all cookies.
	All(ctx context.Context) ([]Cookie, error)
}

var (
	_ Storage = (*Memory)(nil)
	_ Storage = (*File)(nil)
	_ Storage = (*constant)(nil)
)

const (
	defaultTotal = 3300
	// crowded is how many cookies a site has at least when its cookies go first
	// if there are too many in all.
	crowded = 50
)

// Memory keeps cookies in memory. Its zero value is empty and ready to use.
type Memory struct {
	// Total is how many cookies there may be; 0 = 3,300. Over it a tenth of that
	// is freed: what has expired goes first, then cookies of sites with more than
	// 50, those without Secure before others, then all others; each time what was
	// used least recently first.
	Total int

	mu    sync.RWMutex // guards what follows
	sites map[string][]Cookie
	count int
}

// Site implements [Storage].
func (m *Memory) Site(_ context.Context, site string) ([]Cookie, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.sites[site], nil
}

// Update implements [Storage].
func (m *Memory) Update(_ context.Context, site string, change func([]Cookie) []Cookie) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(site, change(slices.Clone(m.sites[site])))
	m.bound(time.Now())
	return nil
}

// All implements [Storage].
func (m *Memory) All(context.Context) ([]Cookie, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all(), nil
}

func (m *Memory) all() []Cookie {
	all := make([]Cookie, 0, m.count)
	for _, site := range slices.Sorted(maps.Keys(m.sites)) {
		all = append(all, m.sites[site]...)
	}
	return all
}

// put replaces a site's cookies; slices that Site returned stay as they are.
func (m *Memory) put(site string, cookies []Cookie) {
	m.count += len(cookies) - len(m.sites[site])
	switch {
	case len(cookies) == 0:
		delete(m.sites, site)
	default:
		if m.sites == nil {
			m.sites = make(map[string][]Cookie)
		}
		m.sites[site] = cookies
	}
}

// bound frees room if there are too many cookies (RFC 6265bis §5.7) and reports
// whether it did.
func (m *Memory) bound(now time.Time) bool {
	total := cmp.Or(max(m.Total, 0), defaultTotal)
	if m.count <= total {
		return false
	}
	type place struct {
		site  string
		index int
		class int
		used  time.Time
	}
	var all []place
	for site, cookies := range m.sites {
		for i, c := range cookies {
			class := 3
			switch {
			case c.expired(now):
				class = 0
			case len(cookies) > crowded && !c.Secure:
				class = 1
			case len(cookies) > crowded:
				class = 2
			}
			all = append(all, place{site, i, class, c.Used})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.class, b.class), a.used.Compare(b.used), cmp.Compare(a.site, b.site), cmp.Compare(a.index, b.index))
	})
	drop := make(map[string]map[int]bool)
	for _, p := range all[:m.count-total+total/10] {
		if drop[p.site] == nil {
			drop[p.site] = make(map[int]bool)
		}
		drop[p.site][p.index] = true
	}
	for site, indexes := range drop {
		var left []Cookie
		for i, c := range m.sites[site] {
			if !indexes[i] {
				left = append(left, c)
			}
		}
		m.put(site, left)
	}
	return true
}

// Constant returns a storage of fixed cookies: it ignores what servers set, and
// sends each cookie to every host, unless the cookie names a Domain, and on every
// path unless it names one. A cookie that can't be sent is an error of whatever
// is given the storage, the client or the request.
func Constant(cookies ...Cookie) Storage {
	c := &constant{cookies: slices.Clone(cookies)}
	for i := range c.cookies {
		one := &c.cookies[i]
		one.Domain = hostOf(one.Domain)
		if c.err == nil {
			c.err = one.check()
		}
	}
	return c
}

type constant struct {
	cookies []Cookie
	err     error
}

// checkStorage returns the error that a storage was made with.
func checkStorage(s Storage) error {
	if c, ok := s.(*constant); ok {
		return c.err
	}
	return nil
}

func (c *constant) Site(context.Context, string) ([]Cookie, error) { return c.cookies, c.err }

func (c *constant) Update(context.Context, string, func([]Cookie) []Cookie) error { return nil }

func (c *constant) All(context.Context) ([]Cookie, error) { return slices.Clone(c.cookies), c.err }
