package auto

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Record is an HTTPS resource record (RFC 9460 §9), or an SVCB one of the like.
// A Resolver leaves out records that have a mandatory parameter which it does not
// know (§8).
type Record struct {
	// Priority is SvcPriority: lower is better; 0 makes the record an alias.
	Priority uint16
	// Target is the name of the server, "." or "" = the owner of the record.
	Target string
	// Port is the port; 0 = that of the URL.
	Port uint16
	// ALPN are the protocols beside HTTP/1.1: "h3", "h2".
	ALPN []string
	// Hints are addresses of Target. They are not used: Target is looked up.
	Hints []netip.Addr
	// TTL is how long the record may be used; 0 = a minute.
	TTL time.Duration
}

// Resolver looks up HTTPS records. It is called from several goroutines. name is
// what RFC 9460 §9.1 makes of an origin: its host, or "_8443._https.host" for a
// port other than 443. No records and no error = there are none.
type Resolver interface {
	LookupHTTPS(ctx context.Context, name string) ([]Record, error)
}

// ResolverFunc is a function as a Resolver.
type ResolverFunc func(ctx context.Context, name string) ([]Record, error)

// LookupHTTPS calls f.
func (f ResolverFunc) LookupHTTPS(ctx context.Context, name string) ([]Record, error) {
	return f(ctx, name)
}

const (
	defaultTTL    = time.Minute
	longestTTL    = time.Hour
	failureTTL    = 30 * time.Second // how long a failed lookup is not repeated
	maxAliases    = 8                // RFC 9460 §3 asks for a bound
	lookupTimeout = 5 * time.Second
)

// services remembers what the Resolver says. Lookups run in the background;
// requests wait for one no longer than the engine's DNSWait from its beginning.
type services struct {
	resolver Resolver
	limit    int

	mu    sync.Mutex // guards known and its entries
	known map[string]*lookup
}

type lookup struct {
	done    chan struct{}
	begun   time.Time
	expires time.Time // zero while it runs
	found   []string  // authorities with HTTP/3, best first; those of the last lookup while it runs
}

// of returns the lookup of an origin, "host:port", which it starts if there is
// none that holds.
func (s *services) of(ctx context.Context, origin string) *lookup {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	old := s.known[origin]
	if old != nil && (old.expires.IsZero() || now.Before(old.expires)) {
		return old
	}
	l := &lookup{done: make(chan struct{}), begun: now}
	if old != nil && now.Before(old.expires.Add(longestTTL)) {
		l.found = old.found // a connection that is open need not wait for the answer
	} else if old == nil && len(s.known) >= s.limit {
		s.evict()
	}
	s.known[origin] = l
	go s.run(ctx, origin, l)
	return l
}

// evict makes room: what has expired goes, or else whatever comes. s.mu is held.
func (s *services) evict() {
	now := time.Now()
	for origin, l := range s.known {
		if !l.expires.IsZero() && now.After(l.expires) {
			delete(s.known, origin)
		}
	}
	for origin := range s.known {
		if len(s.known) < s.limit {
			return
		}
		delete(s.known, origin)
	}
}

func (s *services) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// authorities returns what l has found; while it runs, what the last one had.
func (s *services) authorities(l *lookup) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.found
}

// drop takes one authority away until the record is looked up anew.
func (s *services) drop(r route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known[r.origin]; l != nil { // the slice is in others' hands
		l.found = slices.DeleteFunc(slices.Clone(l.found), func(at string) bool { return at == r.authority })
	}
}

func (s *services) run(ctx context.Context, origin string, l *lookup) {
	defer close(l.done)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, ttl, err := s.resolve(ctx, origin)
	if err != nil {
		found, ttl = nil, failureTTL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.found, l.expires = found, time.Now().Add(ttl)
}

// resolve follows aliases and picks the services with HTTP/3.
func (s *services) resolve(ctx context.Context, origin string) ([]string, time.Duration, error) {
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		return nil, 0, err
	}
	name := host
	if port != "443" {
		name = "_" + port + "._https." + host
	}
	owner, ttl := name, longestTTL // "." is the owner, with its port and scheme (RFC 9460 §2.5.2)
	for range maxAliases {
		records, err := s.resolver.LookupHTTPS(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		if len(records) == 0 {
			return nil, defaultTTL, nil
		}
		records = slices.Clone(records) // they are the Resolver's
		slices.SortStableFunc(records, func(a, b Record) int { return int(a.Priority) - int(b.Priority) })
		for _, r := range records {
			if r.TTL <= 0 {
				r.TTL = defaultTTL
			}
			ttl = min(ttl, r.TTL)
		}
		if records[0].Priority > 0 {
			return pick(records, owner, port), ttl, nil
		}
		target := strings.ToLower(strings.TrimSuffix(records[0].Target, "."))
		if target == "" {
			return nil, ttl, nil // "." = the service does not exist (RFC 9460 §2.5.1)
		}
		name, owner = target, target
	}
	return nil, 0, fmt.Errorf("the HTTPS records of %s are aliases without an end", origin)
}

// pick returns the authorities of the records that have HTTP/3.
func pick(records []Record, owner, port string) []string {
	var found []string
	for _, r := range records {
		if !slices.Contains(r.ALPN, "h3") || len(found) >= maxAlternatives {
			continue
		}
		target := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		if target == "" {
			target = owner
		}
		p := port
		if r.Port != 0 {
			p = strconv.Itoa(int(r.Port))
		}
		if validHost(target) {
			found = append(found, net.JoinHostPort(target, p))
		}
	}
	return found
}
