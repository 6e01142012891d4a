package auto

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a Resolver that asks a recursive name server, over UDP and, for what is
// too long for it, TCP. It trusts the server and the way to it. It is safe for
// concurrent use.
type DNS struct {
	// Server is the address of the name server, "host:port".
	Server string
	// Dial connects to it; nil = net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ Resolver = DNS{}

const (
	udpAnswer  = 1232            // bytes, which fit into a packet anywhere
	dnsRepeats = 3               // how often a question is asked over UDP
	dnsPause   = 1 * time.Second // between them
)

// LookupHTTPS asks for the HTTPS records of name. Records with a mandatory
// parameter other than alpn, no-default-alpn, port and the hints are left out
// (RFC 9460 §8); one that is malformed spoils all (§2.2).
func (d DNS) LookupHTTPS(ctx context.Context, name string) ([]Record, error) {
	if d.Server == "" {
		return nil, errors.New("auto: DNS.Server is empty: set it to the host:port of a name server")
	}
	query, id, err := question(name)
	if err != nil {
		return nil, err
	}
	answer, truncated, err := d.ask(ctx, "udp", query, id)
	if err == nil && truncated {
		answer, _, err = d.ask(ctx, "tcp", query, id)
	}
	if err != nil {
		return nil, fmt.Errorf("HTTPS records of %s from %s: %w", name, d.Server, err)
	}
	records, err := readAnswer(answer, name)
	if err != nil {
		return nil, fmt.Errorf("HTTPS records of %s from %s: %w", name, d.Server, err)
	}
	return records, nil
}

// question makes the query for name.
func question(name string) (query []byte, id uint16, err error) {
	owner, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, 0, fmt.Errorf("the name %q: %w", shorten(name), err)
	}
	id = uint16(rand.Uint32())
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var size dnsmessage.ResourceHeader
	steps := []error{
		b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: owner, Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}),
		b.StartAdditionals(),
		size.SetEDNS0(udpAnswer, dnsmessage.RCodeSuccess, false),
		b.OPTResource(size, dnsmessage.OPTResource{}),
	}
	if err := errors.Join(steps...); err != nil {
		return nil, 0, err
	}
	query, err = b.Finish()
	return query, id, err
}

// ask sends the query and returns the answer.
func (d DNS) ask(ctx context.Context, network string, query []byte, id uint16) (answer []byte, truncated bool, err error) {
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, d.Server)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		answer, err = converse(conn, query)
	} else {
		answer, err = exchange(ctx, conn, query, id)
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	switch {
	case err != nil:
		return nil, false, err
	case h.ID != id || !h.Response:
		return nil, false, errors.New("the answer is to another question")
	}
	return answer, h.Truncated, nil
}

// exchange asks over UDP, again if no answer comes, and skips answers to others.
func exchange(ctx context.Context, conn net.Conn, query []byte, id uint16) ([]byte, error) {
	buf := make([]byte, 1<<16)
	for attempt := 1; ; attempt++ {
		if _, err := conn.Write(query); err != nil {
			return nil, err
		}
		if ctx.Err() == nil {
			_ = conn.SetReadDeadline(time.Now().Add(dnsPause))
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				if attempt < dnsRepeats && ctx.Err() == nil && isTimeout(err) {
					break
				}
				return nil, err
			}
			if n >= 12 && binary.BigEndian.Uint16(buf) == id && buf[2]&0x80 != 0 { // QR: a response
				return buf[:n], nil
			}
		}
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// converse asks over TCP (RFC 1035 §4.2.2).
func converse(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, answer)
	return answer, err
}

// readAnswer returns the HTTPS records that an answer has for name, by way of
// CNAME records too.
func readAnswer(answer []byte, name string) ([]Record, error) {
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	if err != nil {
		return nil, err
	}
	switch h.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return nil, nil
	default:
		return nil, fmt.Errorf("the server answers %v", h.RCode)
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, err
	}
	owner, ttl := strings.ToLower(strings.TrimSuffix(name, "."))+".", longestTTL
	var records []Record
	for {
		rr, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		life := time.Duration(rr.TTL) * time.Second
		switch mine := strings.ToLower(rr.Name.String()) == owner; {
		case mine && rr.Type == dnsmessage.TypeCNAME:
			r, err := p.CNAMEResource()
			if err != nil {
				return nil, err
			}
			owner, ttl = strings.ToLower(r.CNAME.String()), min(ttl, life)
		case mine && rr.Type == dnsmessage.TypeHTTPS:
			r, err := p.HTTPSResource()
			if err != nil {
				return nil, err
			}
			record, ok, err := fromWire(&r.SVCBResource)
			if err != nil {
				return nil, err // of all records (RFC 9460 §2.2)
			}
			if ok {
				record.TTL = max(min(ttl, life), time.Second)
				if record.Target == "." && record.Priority > 0 {
					record.Target = owner // which may not be the name that was asked for
				}
				records = append(records, record)
			}
		default:
			if err := p.SkipAnswer(); err != nil {
				return nil, err
			}
		}
	}
}

// understood are the parameters that may be mandatory.
var understood = map[dnsmessage.SVCParamKey]bool{
	dnsmessage.SVCParamALPN: true, dnsmessage.SVCParamNoDefaultALPN: true, dnsmessage.SVCParamPort: true,
	dnsmessage.SVCParamIPv4Hint: true, dnsmessage.SVCParamIPv6Hint: true,
}

// fromWire makes a Record; ok is false if it wants more than is understood. The
// error is that of a malformed one.
func fromWire(r *dnsmessage.SVCBResource) (record Record, ok bool, err error) {
	record = Record{Priority: r.Priority, Target: r.Target.String()}
	if r.Priority == 0 {
		return record, true, nil // parameters of aliases are ignored (RFC 9460 §2.4.2)
	}
	has := make(map[dnsmessage.SVCParamKey]bool, len(r.Params))
	for _, p := range r.Params {
		has[p.Key] = true
	}
	ok = true
	for _, p := range r.Params {
		good, v := true, p.Value
		switch p.Key {
		case dnsmessage.SVCParamMandatory:
			var all bool
			all, good = readMandatory(v, has)
			ok = ok && all
		case dnsmessage.SVCParamALPN:
			record.ALPN, good = readALPN(v)
		case dnsmessage.SVCParamNoDefaultALPN:
			good = len(v) == 0 && has[dnsmessage.SVCParamALPN]
		case dnsmessage.SVCParamPort:
			if good = len(v) == 2; good {
				record.Port = binary.BigEndian.Uint16(v)
			}
		case dnsmessage.SVCParamIPv4Hint, dnsmessage.SVCParamIPv6Hint:
			size := 4
			if p.Key == dnsmessage.SVCParamIPv6Hint {
				size = 16
			}
			good = len(v) > 0 && len(v)%size == 0
			for ; good && len(v) > 0; v = v[size:] {
				addr, _ := netip.AddrFromSlice(v[:size])
				record.Hints = append(record.Hints, addr)
			}
		}
		if !good {
			return Record{}, false, fmt.Errorf("malformed record: the parameter %v has the value %q", p.Key, shorten(string(p.Value)))
		}
	}
	return record, ok, nil
}

// readMandatory reads the list of mandatory keys (RFC 9460 §8); all tells that all
// are understood. Each must be there, once and in order.
func readMandatory(v []byte, has map[dnsmessage.SVCParamKey]bool) (all, good bool) {
	if len(v) == 0 || len(v)%2 != 0 {
		return false, false
	}
	all = true
	last := dnsmessage.SVCParamMandatory
	for ; len(v) > 0; v = v[2:] {
		key := dnsmessage.SVCParamKey(binary.BigEndian.Uint16(v))
		if key <= last || !has[key] {
			return false, false
		}
		all, last = all && understood[key], key
	}
	return all, true
}

// readALPN reads a list of protocols, at least one (RFC 9460 §7.1.1).
func readALPN(v []byte) (protocols []string, good bool) {
	for len(v) > 0 {
		n := int(v[0])
		if n == 0 || 1+n > len(v) {
			return nil, false
		}
		protocols = append(protocols, string(v[1:1+n]))
		v = v[1+n:]
	}
	return protocols, len(protocols) > 0
}
