package cookies

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
	"golang.org/x/net/idna"
)

// Cookie is one kept cookie (RFC 6265bis §5.7). It can be written and read as
// JSON.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Domain is in lower case and ASCII, without a leading dot: the host that set
	// the cookie if HostOnly, else the domain whose hosts get it. "" = every host,
	// which servers can't set.
	Domain   string `json:"domain,omitempty"`
	HostOnly bool   `json:"hostOnly,omitempty"`
	// Path starts with a slash; "" = "/".
	Path string `json:"path,omitempty"`
	// Expires is zero for a session cookie.
	Expires time.Time `json:"expires,omitzero"`
	// Created stays when the cookie is set again. Used is when it was last set or
	// sent, give or take a minute.
	Created     time.Time `json:"created,omitzero"`
	Used        time.Time `json:"used,omitzero"`
	Secure      bool      `json:"secure,omitempty"`
	HTTPOnly    bool      `json:"httpOnly,omitempty"`
	Partitioned bool      `json:"partitioned,omitempty"`
	// SameSite is "Strict", "Lax", "None" or "".
	SameSite string `json:"sameSite,omitempty"`
}

// plainCookie is a Cookie without its methods; Bytes are what is no valid UTF-8,
// which JSON can't carry.
type plainCookie Cookie

type jsonCookie struct {
	*plainCookie
	NameBytes  []byte `json:"nameBytes,omitempty"`
	ValueBytes []byte `json:"valueBytes,omitempty"`
}

// MarshalJSON implements json.Marshaler. A name or value that is no valid UTF-8
// stands as base64 in nameBytes or valueBytes.
func (c Cookie) MarshalJSON() ([]byte, error) {
	j := jsonCookie{plainCookie: (*plainCookie)(&c)}
	if !utf8.ValidString(c.Name) {
		j.NameBytes, c.Name = []byte(c.Name), ""
	}
	if !utf8.ValidString(c.Value) {
		j.ValueBytes, c.Value = []byte(c.Value), ""
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Cookie) UnmarshalJSON(data []byte) error {
	j := jsonCookie{plainCookie: (*plainCookie)(c)}
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if j.NameBytes != nil {
		c.Name = string(j.NameBytes)
	}
	if j.ValueBytes != nil {
		c.Value = string(j.ValueBytes)
	}
	return nil
}

// IsSession reports whether the cookie ends with the session.
func (c *Cookie) IsSession() bool { return c.Expires.IsZero() }

func (c *Cookie) expired(now time.Time) bool { return !c.Expires.IsZero() && !c.Expires.After(now) }

// same reports whether setting b takes the place of c.
func (c *Cookie) same(b *Cookie) bool {
	return c.Name == b.Name && c.Domain == b.Domain && c.HostOnly == b.HostOnly && c.Path == b.Path && c.Partitioned == b.Partitioned
}

// check refuses what can't stand in a Cookie field. The value may be a secret:
// errors do not show it.
func (c *Cookie) check() error {
	of := ""
	if c.Domain != "" {
		of = fmt.Sprintf(" of %q", c.Domain)
	}
	if strings.ContainsAny(c.Name, "=;") || strings.Contains(c.Value, ";") || !header.ValidValue(c.Name) || !header.ValidValue(c.Value) {
		return fmt.Errorf("cookie %q%s: its name or value can't be sent", c.Name, of)
	}
	if c.Path != "" && c.Path[0] != '/' {
		return fmt.Errorf("cookie %q%s: path %q does not start with a slash", c.Name, of, c.Path)
	}
	return nil
}

// origin is where a request goes, as far as cookies go.
type origin struct {
	host   string
	secure bool
	path   string // as sent, from its slash
}

// query is a request that wants cookies.
type query struct {
	origin
	cross bool // another site asked for it
	safe  bool // its method is
	now   time.Time
}

// matches reports whether c goes with the request (RFC 6265bis §5.8.3).
func (c *Cookie) matches(q *query) bool {
	switch {
	case c.expired(q.now), c.Secure && !q.secure:
		return false
	case c.Domain != "" && c.Domain != q.host && (c.HostOnly || !domainMatch(q.host, c.Domain)):
		return false
	case c.Path != "" && !pathMatch(q.path, c.Path):
		return false
	case q.cross && c.SameSite == "Strict", q.cross && c.SameSite == "Lax" && !q.safe:
		return false
	}
	return true
}

// domainMatch reports whether host is domain or below it (RFC 6265bis §5.1.3).
func domainMatch(host, domain string) bool {
	if host == domain {
		return true
	}
	below, ok := strings.CutSuffix(host, domain)
	return ok && strings.HasSuffix(below, ".") && !isIP(host)
}

// pathMatch reports whether a cookie of one path goes to another (RFC 6265bis
// §5.1.4).
func pathMatch(path, cookiePath string) bool {
	rest, ok := strings.CutPrefix(path, cookiePath)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(cookiePath, "/"))
}

// defaultPath is the path of a cookie that names none: that of the request up to
// its last slash (RFC 6265bis §5.1.4).
func defaultPath(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

func isIP(host string) bool {
	if host == "" || host[len(host)-1] > '9' && strings.IndexByte(host, ':') < 0 {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// originOf returns where req goes. A Host field given by hand names the host
// that the caller talks to, whatever the address.
func originOf(req *godwit.Request) origin {
	host := req.Header.Get("Host")
	if host == "" {
		host = req.URL.Host
	}
	return origin{hostOf(host), req.URL.Scheme == "https", pathOf(req.URL)}
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); strings.HasPrefix(p, "/") {
		return p
	}
	return "/"
}

// hostOf returns a host without its port as cookies have it: lower case, ASCII,
// no dot at the end, IPv6 without brackets.
func hostOf(hostPort string) string {
	host := hostPort
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	lower := true
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 0x80:
			if ascii, err := idna.Lookup.ToASCII(host); err == nil {
				return strings.TrimSuffix(ascii, ".")
			}
			return host
		case 'A' <= c && c <= 'Z':
			lower = false
		}
	}
	if !lower {
		host = strings.ToLower(host)
	}
	return strings.TrimSuffix(host, ".")
}
