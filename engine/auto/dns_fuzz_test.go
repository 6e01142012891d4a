package auto

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// packed returns an answer with the records, as it comes from a server.
func packed(f *testing.F, records ...dnsmessage.ResourceBody) []byte {
	f.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}}}
	for _, body := range records {
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("a.test."), Class: dnsmessage.ClassINET, TTL: 300}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzAnswer: whatever a name server sends, what is made of it is within bounds
// and can be used as an address, and an error leaves nothing.
func FuzzAnswer(f *testing.F) {
	service := &dnsmessage.HTTPSResource{SVCBResource: dnsmessage.SVCBResource{Priority: 1, Target: dnsmessage.MustNewName("."), Params: []dnsmessage.SVCParam{
		{Key: dnsmessage.SVCParamMandatory, Value: []byte("\x00\x01")},
		{Key: dnsmessage.SVCParamALPN, Value: []byte("\x02h2\x02h3")},
		{Key: dnsmessage.SVCParamPort, Value: []byte("\x20\xfb")},
		{Key: dnsmessage.SVCParamIPv4Hint, Value: []byte("\x01\x02\x03\x04")},
		{Key: dnsmessage.SVCParamIPv6Hint, Value: []byte("0123456789abcdef")},
	}}}
	alias := &dnsmessage.HTTPSResource{SVCBResource: dnsmessage.SVCBResource{Target: dnsmessage.MustNewName("b.test.")}}
	cname := &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("a.test.")}
	f.Add(packed(f, service))
	f.Add(packed(f, alias))
	f.Add(packed(f, cname, service, alias))
	f.Add(packed(f, service)[:40])
	f.Fuzz(func(t *testing.T, answer []byte) {
		records, err := readAnswer(answer, "a.test")
		if err != nil && records != nil {
			t.Fatalf("%v, and %+v", err, records)
		}
		for _, r := range records {
			if r.TTL < time.Second || r.TTL > longestTTL || r.Target == "" || slices.Contains(r.ALPN, "") {
				t.Errorf("%+v", r)
			}
			for _, a := range r.Hints {
				if !a.IsValid() {
					t.Errorf("%+v", r)
				}
			}
		}
		found := pick(records, "a.test", "443")
		if len(found) > maxAlternatives {
			t.Errorf("%d authorities", len(found))
		}
		for _, at := range found {
			if again, err := completeAuthority(at, ""); err != nil || again != at {
				t.Errorf("authority %q: %q, %v", at, again, err)
			}
		}
	})
}
