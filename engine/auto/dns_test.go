package auto_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/godwit-go/godwit/engine/auto"
)

// nameServer answers each question over UDP and TCP with what reply returns;
// nil = no answer.
func nameServer(t *testing.T, reply func(network string, q *dnsmessage.Message) *dnsmessage.Message) string {
	t.Helper()
	tcp, udp := listenBoth(t)
	answer := func(network string, query []byte) []byte {
		var q dnsmessage.Message
		if err := q.Unpack(query); err != nil {
			t.Errorf("query: %v", err)
			return nil
		}
		m := reply(network, &q)
		if m == nil {
			return nil
		}
		m.ID, m.Response, m.Questions = q.ID, true, q.Questions
		b, err := m.Pack()
		if err != nil {
			t.Errorf("answer: %v", err)
		}
		return b
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := answer("udp", buf[:n]); b != nil {
				_, _ = udp.WriteTo([]byte("noise"), from) // what is not the answer is skipped
				_, _ = udp.WriteTo(buf[:n], from)         // and the question itself
				other := bytes.Clone(b)
				other[0]++ // to another question
				_, _ = udp.WriteTo(other[:12], from)
				_, _ = udp.WriteTo(b, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			_, _ = io.ReadFull(c, length[:])
			query := make([]byte, binary.BigEndian.Uint16(length[:]))
			_, _ = io.ReadFull(c, query)
			b := answer("tcp", query)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			c.Close()
		}
	})
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		wg.Wait()
	})
	return udp.LocalAddr().String()
}

// listenBoth listens on one port over TCP and UDP.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	var failure error
	for range 20 { // a port that is free for one need not be for the other
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp4", tcp.Addr().String())
		if err == nil {
			return tcp, udp
		}
		tcp.Close()
		failure = err
	}
	t.Fatal(failure)
	return nil, nil
}

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

// rr makes an HTTPS record.
func rr(owner, target string, priority uint16, ttl uint32, params ...dnsmessage.SVCParam) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name(owner), Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.HTTPSResource{SVCBResource: dnsmessage.SVCBResource{Priority: priority, Target: name(target), Params: params}},
	}
}

func param(key dnsmessage.SVCParamKey, value string) dnsmessage.SVCParam {
	return dnsmessage.SVCParam{Key: key, Value: []byte(value)}
}

// malformed is a record that is, and one that is not.
func malformed(params ...dnsmessage.SVCParam) []dnsmessage.Resource {
	return []dnsmessage.Resource{rr("a.test.", ".", 1, 300, params...), rr("a.test.", "b.test.", 2, 300, param(dnsmessage.SVCParamALPN, "\x02h3"))}
}

func TestDNS(t *testing.T) {
	alpn := param(dnsmessage.SVCParamALPN, "\x02h2\x02h3")
	cname := dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name("a.test."), Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET, TTL: 20},
		Body:   &dnsmessage.CNAMEResource{CNAME: name("B.test.")},
	}
	for _, row := range []struct {
		name    string
		answers []dnsmessage.Resource
		rcode   dnsmessage.RCode
		want    []auto.Record
		fails   string
	}{
		{name: "all parameters", answers: []dnsmessage.Resource{rr("a.test.", "svc.test.", 1, 300, param(dnsmessage.SVCParamMandatory, "\x00\x01\x00\x03"), alpn,
			param(dnsmessage.SVCParamPort, "\x20\xfb"), param(dnsmessage.SVCParamIPv4Hint, "\x01\x02\x03\x04"))},
			want: []auto.Record{{Priority: 1, Target: "svc.test.", Port: 8443, ALPN: []string{"h2", "h3"}, Hints: []netip.Addr{netip.MustParseAddr("1.2.3.4")}, TTL: 5 * time.Minute}}},
		{name: "alias", answers: []dnsmessage.Resource{rr("A.test.", "pool.test.", 0, 60)}, want: []auto.Record{{Target: "pool.test.", TTL: time.Minute}}},
		{name: "by CNAME", answers: []dnsmessage.Resource{cname, rr("b.test.", ".", 1, 300, alpn)},
			want: []auto.Record{{Priority: 1, Target: "b.test.", ALPN: []string{"h2", "h3"}, TTL: 20 * time.Second}}},
		{name: "of somebody else", answers: []dnsmessage.Resource{rr("x.test.", ".", 1, 300, alpn)}},
		{name: "unknown mandatory", answers: []dnsmessage.Resource{
			rr("a.test.", ".", 1, 300, param(dnsmessage.SVCParamMandatory, "\x00\x63"), alpn, param(0x63, "")), rr("a.test.", "b.test.", 2, 300, alpn)},
			want: []auto.Record{{Priority: 2, Target: "b.test.", ALPN: []string{"h2", "h3"}, TTL: 5 * time.Minute}}},
		{name: "mandatory, but absent", answers: malformed(param(dnsmessage.SVCParamMandatory, "\x00\x03"), alpn), fails: "Mandatory"},
		{name: "mandatory twice", answers: malformed(param(dnsmessage.SVCParamMandatory, "\x00\x01\x00\x01"), alpn), fails: "Mandatory"},
		{name: "mandatory itself", answers: malformed(param(dnsmessage.SVCParamMandatory, "\x00\x00"), alpn), fails: "Mandatory"},
		{name: "half a key", answers: malformed(param(dnsmessage.SVCParamMandatory, "\x00"), alpn), fails: "Mandatory"},
		{name: "ALPN cut off", answers: malformed(param(dnsmessage.SVCParamALPN, "\x09h3")), fails: "ALPN"},
		{name: "no ALPN", answers: malformed(param(dnsmessage.SVCParamALPN, "")), fails: "ALPN"},
		{name: "no protocol at all", answers: malformed(param(dnsmessage.SVCParamNoDefaultALPN, "")), fails: "NoDefaultALPN"},
		{name: "half a port", answers: malformed(param(dnsmessage.SVCParamPort, "\x01")), fails: "Port"},
		{name: "part of an address", answers: malformed(param(dnsmessage.SVCParamIPv6Hint, "\x01")), fails: "IPv6Hint"},
		{name: "no such name", rcode: dnsmessage.RCodeNameError},
		{name: "none"},
		{name: "failure", rcode: dnsmessage.RCodeServerFailure, fails: "ServerFailure"},
	} {
		for _, truncated := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				d := auto.DNS{Server: nameServer(t, func(network string, q *dnsmessage.Message) *dnsmessage.Message {
					if q.Questions[0].Type != dnsmessage.TypeHTTPS || q.Questions[0].Name.String() != "a.test." {
						t.Errorf("question %v", q.Questions[0])
					}
					if truncated && network == "udp" {
						return &dnsmessage.Message{Header: dnsmessage.Header{Truncated: true}}
					}
					return &dnsmessage.Message{Header: dnsmessage.Header{RCode: row.rcode}, Answers: row.answers}
				})}
				got, err := d.LookupHTTPS(t.Context(), "a.test")
				if row.fails != "" {
					if err == nil || !strings.Contains(err.Error(), row.fails) {
						t.Errorf("%v, want an error with %q", err, row.fails)
					}
					return
				}
				if diff := cmp.Diff(row.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
					t.Errorf("%s %v", diff, err)
				}
			})
		}
	}
}

// TestDNSAsksAgain: a lost packet is sent again.
func TestDNSAsksAgain(t *testing.T) {
	var n atomic.Int32
	d := auto.DNS{Server: nameServer(t, func(string, *dnsmessage.Message) *dnsmessage.Message {
		if n.Add(1) == 1 {
			return nil
		}
		return &dnsmessage.Message{Answers: []dnsmessage.Resource{rr("a.test.", ".", 1, 300)}}
	})}
	if got, err := d.LookupHTTPS(t.Context(), "a.test."); len(got) != 1 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDNSEnds(t *testing.T) {
	asked := make(chan struct{}, 10)
	d := auto.DNS{Server: nameServer(t, func(string, *dnsmessage.Message) *dnsmessage.Message { asked <- struct{}{}; return nil })}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := d.LookupHTTPS(ctx, "a.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := d.LookupHTTPS(t.Context(), strings.Repeat("x", 300)); err == nil {
		t.Error("a name of 300 bytes is none")
	}
	if _, err := (auto.DNS{}).LookupHTTPS(t.Context(), "a.test"); err == nil || !strings.Contains(err.Error(), "DNS.Server") {
		t.Errorf("without a server: %v", err)
	}
}

// TestDNSToHTTP3: from the record on the wire to the protocol of the response.
func TestDNSToHTTP3(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	p := port(t, a.Port)
	d := auto.DNS{Server: nameServer(t, func(_ string, q *dnsmessage.Message) *dnsmessage.Message {
		return &dnsmessage.Message{Answers: []dnsmessage.Resource{rr(q.Questions[0].Name.String(), "example.test.", 1, 300,
			param(dnsmessage.SVCParamALPN, "\x02h3"), param(dnsmessage.SVCParamPort, string([]byte{byte(p >> 8), byte(p)})))}}
	})}
	e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: d, DNSWait: long})
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
}
