package ws

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Deflate holds the parameters of permessage-deflate (RFC 7692 §7.1): of an
// offer, or as agreed.
type Deflate struct {
	// ServerNoContextTakeover and ClientNoContextTakeover: each message of that
	// side is compressed by itself.
	ServerNoContextTakeover, ClientNoContextTakeover bool
	// ServerMaxWindowBits and ClientMaxWindowBits are 8 to 15. In an offer 0
	// leaves the window to the server; the client's is always open to be
	// limited. As agreed they are never 0.
	ServerMaxWindowBits, ClientMaxWindowBits int
}

const deflateName = "permessage-deflate"

const maxWindowBits = 15

// Offer returns the value of Sec-WebSocket-Extensions that offers d.
func (d Deflate) Offer() string {
	var b strings.Builder
	b.WriteString(deflateName)
	if d.ServerNoContextTakeover {
		b.WriteString("; server_no_context_takeover")
	}
	if d.ClientNoContextTakeover {
		b.WriteString("; client_no_context_takeover")
	}
	if d.ServerMaxWindowBits != 0 {
		b.WriteString("; server_max_window_bits=" + strconv.Itoa(d.ServerMaxWindowBits))
	}
	b.WriteString("; client_max_window_bits")
	if d.ClientMaxWindowBits != 0 {
		b.WriteString("=" + strconv.Itoa(d.ClientMaxWindowBits))
	}
	return b.String()
}

// Agree reads the server's Sec-WebSocket-Extensions in answer to the client's, each
// with all its fields joined by commas. It returns nil if the server wants no
// extension, and an error for whatever was not offered, or is not known here.
func Agree(offered, answer string) (*Deflate, error) {
	extensions, err := parseExtensions(answer)
	if err != nil {
		return nil, err
	}
	all := parseOffers(offered)
	var agreed *Deflate
	for _, x := range extensions {
		switch {
		case !strings.EqualFold(x.name, deflateName) && offers(offered, x.name):
			return nil, fmt.Errorf("extension %q was offered by hand and agreed, but only %s can be used", x.name, deflateName)
		case !strings.EqualFold(x.name, deflateName) || len(all) == 0:
			return nil, fmt.Errorf("extension %q was not offered", x.name)
		case agreed != nil:
			return nil, fmt.Errorf("extension %s is answered twice", deflateName)
		}
		for _, o := range all { // the answer is to one of them
			if agreed, err = o.accept(x.params); err == nil {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", deflateName, err)
		}
	}
	return agreed, nil
}

// offer is one that a client made.
type offer struct {
	Deflate
	limitable bool // the client's window, by the server (RFC 7692 §7.1.2.2)
}

// offers reports whether an offer names the extension.
func offers(offered, name string) bool {
	extensions, _ := parseExtensions(offered)
	return slices.ContainsFunc(extensions, func(x extension) bool { return strings.EqualFold(x.name, name) })
}

// accept checks the server's parameters against the offer.
func (d *offer) accept(params []param) (*Deflate, error) {
	agreed := Deflate{ClientNoContextTakeover: d.ClientNoContextTakeover}
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		name := strings.ToLower(p.name)
		if seen[name] {
			return nil, fmt.Errorf("parameter %s stands there twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "server_no_context_takeover":
			agreed.ServerNoContextTakeover, err = true, p.bare()
		case "client_no_context_takeover":
			agreed.ClientNoContextTakeover, err = true, p.bare()
		case "server_max_window_bits":
			agreed.ServerMaxWindowBits, err = p.bits(d.ServerMaxWindowBits)
		case "client_max_window_bits":
			if agreed.ClientMaxWindowBits, err = p.bits(d.ClientMaxWindowBits); err == nil && !d.limitable {
				err = fmt.Errorf("parameter %s was not offered", name)
			}
		default:
			err = fmt.Errorf("unknown parameter %q", p.name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case d.ServerNoContextTakeover && !agreed.ServerNoContextTakeover:
		return nil, fmt.Errorf("server_no_context_takeover was asked for and not granted")
	case d.ServerMaxWindowBits != 0 && agreed.ServerMaxWindowBits == 0:
		return nil, fmt.Errorf("server_max_window_bits was asked for and not granted")
	}
	if agreed.ServerMaxWindowBits == 0 {
		agreed.ServerMaxWindowBits = maxWindowBits
	}
	if agreed.ClientMaxWindowBits == 0 { // what we said of our window still holds
		agreed.ClientMaxWindowBits = maxWindowBits
		if d.ClientMaxWindowBits != 0 {
			agreed.ClientMaxWindowBits = d.ClientMaxWindowBits
		}
	}
	return &agreed, nil
}

// AgreeAsServer answers the offers of a client, and returns what was agreed and
// the answer; nil if none can be accepted.
func AgreeAsServer(offers string) (*Deflate, string) {
	extensions, err := parseExtensions(offers)
	if err != nil {
		return nil, ""
	}
	for _, x := range extensions {
		if !strings.EqualFold(x.name, deflateName) {
			continue
		}
		if d, answer, ok := grant(x.params); ok {
			return d, answer
		}
	}
	return nil, ""
}

// grant accepts an offer as it is, if it is valid.
func grant(params []param) (*Deflate, string, bool) {
	d := Deflate{ServerMaxWindowBits: maxWindowBits, ClientMaxWindowBits: maxWindowBits}
	answer := deflateName
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		name := strings.ToLower(p.name)
		if seen[name] {
			return nil, "", false
		}
		seen[name] = true
		var err error
		switch name {
		case "server_no_context_takeover":
			d.ServerNoContextTakeover, err = true, p.bare()
		case "client_no_context_takeover":
			d.ClientNoContextTakeover, err = true, p.bare()
		case "server_max_window_bits":
			d.ServerMaxWindowBits, err = p.bits(0)
		case "client_max_window_bits":
			if !p.hasValue {
				continue
			}
			d.ClientMaxWindowBits, err = p.bits(0)
		default:
			return nil, "", false
		}
		if err != nil {
			return nil, "", false
		}
		answer += "; " + name
		if p.hasValue {
			answer += "=" + p.value
		}
	}
	return &d, answer, true
}

type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	hasValue    bool
}

func (p param) bare() error {
	if p.hasValue {
		return fmt.Errorf("parameter %s has a value", p.name)
	}
	return nil
}

// bits reads a number of window bits that is not above limit, 0 = none.
func (p param) bits(limit int) (int, error) {
	n, err := strconv.Atoi(p.value)
	switch {
	case !p.hasValue:
		return 0, fmt.Errorf("parameter %s has no value", p.name)
	case err != nil || n < 8 || n > maxWindowBits || p.value[0] == '0' || p.value[0] == '+':
		return 0, fmt.Errorf("parameter %s=%q is no number from 8 to 15", p.name, p.value)
	case limit != 0 && n > limit:
		return 0, fmt.Errorf("parameter %s=%d is more than the %d of the offer", p.name, n, limit)
	}
	return n, nil
}

// parseExtensions reads extension-list (RFC 6455 §9.1); an empty one is fine.
func parseExtensions(s string) ([]extension, error) {
	var all []extension
	p := listParser{rest: s}
	for {
		p.space()
		if p.take(',') {
			continue
		}
		if p.rest == "" {
			return all, nil
		}
		name := p.token()
		if name == "" {
			return nil, fmt.Errorf("Sec-WebSocket-Extensions: no name at %q", p.rest)
		}
		x := extension{name: name}
		for p.space(); p.take(';'); p.space() {
			one, ok := p.param()
			if !ok {
				return nil, fmt.Errorf("Sec-WebSocket-Extensions: bad parameter in %q", s)
			}
			x.params = append(x.params, one)
		}
		if p.rest != "" && !p.take(',') {
			return nil, fmt.Errorf("Sec-WebSocket-Extensions: unexpected %q", p.rest)
		}
		all = append(all, x)
	}
}

// listParser reads from the left.
type listParser struct{ rest string }

func (p *listParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *listParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *listParser) token() string {
	n := 0
	for n < len(p.rest) && isToken(p.rest[n]) {
		n++
	}
	t := p.rest[:n]
	p.rest = p.rest[n:]
	return t
}

func (p *listParser) param() (one param, ok bool) {
	p.space()
	if one.name = p.token(); one.name == "" {
		return one, false
	}
	p.space()
	if !p.take('=') {
		return one, true
	}
	p.space()
	one.hasValue = true
	if !p.take('"') {
		one.value = p.token()
		return one, one.value != ""
	}
	for p.rest != "" { // a quoted-string whose content is a token
		switch c := p.rest[0]; {
		case c == '"':
			p.rest = p.rest[1:]
			return one, one.value != ""
		case c == '\\' && len(p.rest) > 1:
			p.rest = p.rest[1:]
			fallthrough
		default:
			if !isToken(p.rest[0]) {
				return one, false
			}
			one.value += p.rest[:1]
			p.rest = p.rest[1:]
		}
	}
	return one, false
}

func isToken(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// parseOffers reads a client's own offers of permessage-deflate back from its
// Sec-WebSocket-Extensions, best first.
func parseOffers(offered string) []*offer {
	extensions, err := parseExtensions(offered)
	if err != nil {
		return nil
	}
	var all []*offer
	for _, x := range extensions {
		if !strings.EqualFold(x.name, deflateName) {
			continue
		}
		d := new(offer)
		for _, p := range x.params {
			switch strings.ToLower(p.name) {
			case "server_no_context_takeover":
				d.ServerNoContextTakeover = true
			case "client_no_context_takeover":
				d.ClientNoContextTakeover = true
			case "server_max_window_bits":
				d.ServerMaxWindowBits, _ = p.bits(0)
			case "client_max_window_bits":
				d.limitable = true
				d.ClientMaxWindowBits, _ = p.bits(0)
			}
		}
		all = append(all, d)
	}
	return all
}
