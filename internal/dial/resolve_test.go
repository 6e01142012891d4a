package dial_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// fakeDNS is what a name server says of one family.
type fakeDNS struct {
	after time.Duration
	until <-chan struct{} // nil = it does not wait for that
	addr  string          // "" = there is none
	never bool
}

// nameServer lets net.DefaultResolver ask a name server in memory.
func nameServer(t *testing.T, four, six fakeDNS) {
	old := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = old })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			var size [2]byte
			if _, err := io.ReadFull(server, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			var m dnsmessage.Message
			if _, err := io.ReadFull(server, query); err != nil || m.Unpack(query) != nil {
				return
			}
			q := m.Questions[0]
			says := six
			if q.Type == dnsmessage.TypeA {
				says = four
			}
			<-time.After(says.after)
			if says.until != nil {
				<-says.until
			}
			if says.never {
				_, _ = io.Copy(io.Discard, server)
				return
			}
			m.Response, m.Additionals = true, nil
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 1}
			switch ip := net.ParseIP(says.addr); {
			case ip == nil:
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte(ip.To4())}}}
			default:
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}}}
			}
			answer, err := m.Pack()
			if err != nil {
				t.Error(err)
			}
			_, _ = server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}()
		return client, nil
	}}
}

// TestLookup: neither family waits for the other's answer for longer than
// RFC 8305 §3 allows.
func TestLookup(t *testing.T) {
	const ms = time.Millisecond
	four, six := fakeDNS{addr: "192.0.2.1"}, fakeDNS{addr: "fe80::1"} // which no system reaches without a zone
	nameServer(t, four, six)
	if _, err := (&dial.Dialer{}).Lookup(t.Context(), "a.example."); err != nil {
		t.Fatal(err) // the first lookup makes what package net keeps: it must not be of a bubble
	}
	for _, tc := range []struct {
		name      string
		four, six fakeDNS
		want      string // "" = an error
		took      time.Duration
	}{
		{"both", four, six, "192.0.2.1 fe80::1", 0},
		{"AAAA never", four, fakeDNS{never: true}, "192.0.2.1", 50 * ms},
		{"AAAA in time", four, fakeDNS{after: 40 * ms, addr: six.addr}, "192.0.2.1 fe80::1", 40 * ms},
		{"AAAA too late", four, fakeDNS{after: 60 * ms, addr: six.addr}, "192.0.2.1", 50 * ms},
		{"AAAA first", fakeDNS{after: time.Second, addr: four.addr}, fakeDNS{addr: "::1"}, "::1", 0},
		{"no AAAA", four, fakeDNS{}, "192.0.2.1", 0},
		{"no AAAA, slow A", fakeDNS{after: time.Second, addr: four.addr}, fakeDNS{}, "192.0.2.1", time.Second},
		{"no A", fakeDNS{}, six, "fe80::1", 0},
		{"neither", fakeDNS{}, fakeDNS{after: 100 * ms}, "", 100 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == "::1" {
				l, err := net.Listen("tcp", "[::1]:0")
				if err != nil {
					t.Skipf("no IPv6 here: %v", err)
				}
				l.Close()
			}
			synctest.Test(t, func(t *testing.T) {
				nameServer(t, tc.four, tc.six)
				begin := time.Now()
				addrs, err := (&dial.Dialer{}).Lookup(t.Context(), "a.example.")
				took := time.Since(begin)
				var got []string
				for _, a := range addrs {
					got = append(got, a.String())
				}
				slices.Sort(got) // whether the system reaches the one is not for us to say
				if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") || took != tc.took {
					t.Errorf("%q (%v) after %v, want %q after %v", got, err, took, tc.want, tc.took)
				}
				if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
					t.Errorf("error = %v", err)
				}
				<-time.After(time.Minute) // virtual: package net gives up too
			})
		})
	}
}

// TestLateAnswer: an address that comes when all others have failed is tried too.
func TestLateAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	counted := serve(t, l, echo)
	_, port, _ := net.SplitHostPort(counted.Addr().String())
	failed := make(chan struct{})
	nameServer(t, fakeDNS{addr: "127.0.0.2"}, fakeDNS{until: failed, addr: "::1"})
	d := &dial.Dialer{Proxy: engine.NoProxy}
	c, err := d.Connect(t.Context(), route(t, d, "http://a.example.:"+port), 0, &engine.Trace{
		ConnectDone: func(_, _ string, err error) {
			if err != nil {
				close(failed)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pong(t, c)
}
