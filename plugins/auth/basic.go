package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"github.com/godwit-go/godwit"
)

// CredentialsFunc returns the user name and password for a request; both empty =
// none. It is called for each send, so it should be quick or cache.
type CredentialsFunc func(ctx context.Context, req *godwit.Request) (user, password string, err error)

// Basic is user name and password in the clear (RFC 7617). By default they are
// sent when a server asks for them, and from then on unasked to what lies below
// the same directory (§2.2).
type Basic struct {
	User, Password string
	// Credentials chooses them by the request; nil = User and Password.
	Credentials CredentialsFunc
	// Realm is the one to answer; "" = any.
	Realm string
	// Preemptive sends the credentials with each request, unasked. Then a 401 is
	// final.
	Preemptive bool
	// Latin1 sends them in ISO-8859-1 unless the server asks for UTF-8, which is
	// the default.
	Latin1 bool
	// Hosts and Proxy tell what they are for: see [Scope]. Those for a proxy are
	// only sent when it asks.
	Hosts []string
	Proxy string
}

// NewAuthenticator implements [Provider].
func (b Basic) NewAuthenticator() (Authenticator, error) {
	if b.Credentials == nil {
		if b.User == "" && b.Password == "" {
			return nil, fmt.Errorf("auth: Basic needs User and Password, or Credentials")
		}
		if _, err := basicCredentials(b.User, b.Password, b.Latin1); err != nil {
			return nil, err
		}
	}
	if b.Preemptive && b.Proxy != "" {
		return nil, fmt.Errorf("auth: Basic{Preemptive, Proxy}: only the engine knows which requests go through the proxy; give the proxy's URL user info instead")
	}
	a := &basic{Basic: b}
	if b.Credentials == nil && !b.Latin1 {
		a.ready, _ = basicCredentials(b.User, b.Password, false) // checked above
		a.always = basicUse{user: b.User, password: b.Password, sent: true}
	}
	return a, nil
}

type basic struct {
	Basic
	ready  string   // the credentials, if they are always the same
	always basicUse // of them; not changed
	spaces spaces
}

// basicUse is the State of an Exchange.
type basicUse struct {
	user, password string
	utf8           bool // the server asks for it
	sent           bool
}

func (b *basic) Scope() Scope { return Scope{Hosts: b.Hosts, Proxy: b.Proxy} }

func (b *basic) Clear() { b.spaces.clear() }

func (b *basic) Authorize(ctx context.Context, x *Exchange) error {
	use, _ := x.State.(*basicUse)
	if use == nil {
		known, ok := b.spaces.find(x.Request.URL)
		if !b.Preemptive && (x.Proxy() || !ok) {
			return nil
		}
		if b.ready != "" {
			x.State = &b.always
			x.Set(b.ready)
			return nil
		}
		use = &basicUse{utf8: known.utf8}
		x.State = use
		if err := b.fetch(ctx, x, use); err != nil || use.user == "" && use.password == "" {
			return err
		}
		use.sent = true
	}
	if use.user == "" && use.password == "" {
		return nil
	}
	if b.ready != "" {
		x.Set(b.ready)
		return nil
	}
	credentials, err := basicCredentials(use.user, use.password, b.Latin1 && !use.utf8)
	if err != nil {
		return err
	}
	x.Set(credentials)
	return nil
}

func (b *basic) fetch(ctx context.Context, x *Exchange, use *basicUse) (err error) {
	use.user, use.password = b.User, b.Password
	if b.Credentials != nil {
		if use.user, use.password, err = b.Credentials(ctx, x.Request); err != nil {
			return fmt.Errorf("auth: Basic credentials: %w", err)
		}
	}
	return nil
}

func (b *basic) Accepts(x *Exchange) bool {
	use, _ := x.State.(*basicUse)
	if use != nil && use.sent {
		if !b.Preemptive {
			b.spaces.drop(x.Request.URL)
		}
		return false // the server knows them and says no
	}
	_, ok := x.asked("Basic", b.Realm)
	return ok
}

func (b *basic) Answer(ctx context.Context, x *Exchange) (bool, error) {
	use := new(basicUse)
	if err := b.fetch(ctx, x, use); err != nil || use.user == "" && use.password == "" {
		return false, err
	}
	c, _ := x.Challenge("Basic", b.Realm)
	use.utf8, use.sent = strings.EqualFold(c.Param("charset"), "UTF-8"), true
	x.State = use
	if !x.Proxy() {
		b.spaces.add(x.Request.URL, use.utf8)
	}
	return true, nil
}

// basicCredentials encodes by RFC 7617 §2: characters are put in normal form C,
// control characters and a colon in the name are not allowed.
func basicCredentials(user, password string, latin1 bool) (string, error) {
	if strings.ContainsRune(user, ':') {
		return "", fmt.Errorf("auth: Basic: the user name has a colon")
	}
	s := norm.NFC.String(user + ":" + password)
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("auth: Basic: a control character in the user name or password")
	}
	if latin1 {
		var err error
		if s, err = charmap.ISO8859_1.NewEncoder().String(s); err != nil {
			return "", fmt.Errorf("auth: Basic: the user name or password has characters that ISO-8859-1 does not have")
		}
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)), nil
}

// spaces remembers directories of origins that asked for credentials. Its zero
// value is empty.
type spaces struct {
	mu   sync.RWMutex // guards dirs
	dirs map[origin][]space
}

type space struct {
	dir  string
	utf8 bool // the server asked for it
}

const (
	mostOrigins = 1000 // remembered; past that all are forgotten
	mostDirs    = 100  // of one origin
)

func dirOf(u *url.URL) string {
	path := u.EscapedPath()
	return path[:strings.LastIndexByte(path, '/')+1]
}

// find returns the space that u lies in.
func (s *spaces) find(u *url.URL) (space, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.dirs) == 0 {
		return space{}, false
	}
	dir := dirOf(u)
	for _, d := range s.dirs[originOf(u)] {
		if strings.HasPrefix(dir, d.dir) {
			return d, true
		}
	}
	return space{}, false
}

func (s *spaces) add(u *url.URL, utf8 bool) {
	if _, ok := s.find(u); ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs == nil || len(s.dirs) >= mostOrigins {
		s.dirs = make(map[origin][]space)
	}
	o := originOf(u)
	if len(s.dirs[o]) >= mostDirs {
		s.dirs[o] = nil
	}
	s.dirs[o] = append(s.dirs[o], space{dirOf(u), utf8})
}

// drop forgets what u's origin asked for: it no longer takes what it took.
func (s *spaces) drop(u *url.URL) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dirs, originOf(u))
}

func (s *spaces) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs = nil
}
