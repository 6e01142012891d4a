package auto_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
)

// zone answers from a table and notes what was asked for.
type zone struct {
	records map[string][]auto.Record
	asked   chan string
}

func (z *zone) LookupHTTPS(_ context.Context, name string) ([]auto.Record, error) {
	z.asked <- name
	if records, ok := z.records[name]; ok {
		return records, nil
	}
	return nil, nil
}

func port(t *testing.T, text string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// TestHTTPSRecords: the first request goes by HTTP/3 already.
func TestHTTPSRecords(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	owner := "_" + o.Port + "._https.example.test"
	h3 := []string{"h2", "h3"}
	for _, row := range []struct {
		name    string
		records map[string][]auto.Record
		proto   string
		asked   int
	}{
		{"port", map[string][]auto.Record{owner: {{Priority: 1, ALPN: h3, Port: port(t, a.Port)}}}, "HTTP/3.0", 1},
		{"target", map[string][]auto.Record{owner: {{Priority: 1, Target: "Other.test.", ALPN: h3, Port: port(t, a.Port)}}}, "HTTP/3.0", 1},
		{"priority", map[string][]auto.Record{owner: {{Priority: 2, ALPN: h3, Port: 1}, {Priority: 1, ALPN: h3, Port: port(t, a.Port)}}}, "HTTP/3.0", 1},
		{"without h3", map[string][]auto.Record{owner: {{Priority: 1, ALPN: []string{"h2"}, Port: port(t, a.Port)}}}, "HTTP/1.1", 1},
		{"alias", map[string][]auto.Record{owner: {{Target: "pool.test."}}, "pool.test": {{Priority: 1, Target: ".", ALPN: h3, Port: port(t, a.Port)}}}, "HTTP/3.0", 2},
		{"alias to nothing", map[string][]auto.Record{owner: {{Target: "."}}}, "HTTP/1.1", 1},
		{"endless alias", map[string][]auto.Record{owner: {{Target: "a.test."}}, "a.test": {{Target: "a.test."}}}, "HTTP/1.1", 8},
		{"none", nil, "HTTP/1.1", 1},
		{"of somebody else's port", map[string][]auto.Record{"example.test": {{Priority: 1, ALPN: h3, Port: port(t, a.Port)}}}, "HTTP/1.1", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			z := &zone{records: row.records, asked: make(chan string, 100)}
			e, _ := newEngine(t, auto.Config{HeadStart: long, Resolver: z, DNSWait: long})
			for range 2 { // the second time from memory
				if proto, _ := send(t, e, request(t, "GET", o.URL)); proto != row.proto {
					t.Errorf("went by %s, want %s", proto, row.proto)
				}
			}
			if len(z.asked) != row.asked {
				t.Errorf("%d lookups, want %d", len(z.asked), row.asked)
			}
			if name := <-z.asked; name != owner {
				t.Errorf("asked for %q, want %q", name, owner)
			}
		})
	}
}

// TestTTL: a record that has expired is looked up again.
func TestTTL(t *testing.T) {
	o := newOrigin(t)
	z := &zone{asked: make(chan string, 100), records: map[string][]auto.Record{
		"_" + o.Port + "._https.example.test": {{Priority: 1, ALPN: []string{"h2"}, TTL: time.Nanosecond}}}}
	e, _ := newEngine(t, auto.Config{Resolver: z, DNSWait: long})
	for range 3 {
		send(t, e, request(t, "GET", o.URL))
	}
	if len(z.asked) != 3 {
		t.Errorf("%d lookups, want 3", len(z.asked))
	}
}

// TestSlowResolver: a request does not wait for it, a later one profits.
func TestSlowResolver(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	release, answered := make(chan struct{}), make(chan struct{})
	resolver := auto.ResolverFunc(func(ctx context.Context, _ string) ([]auto.Record, error) {
		defer close(answered)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return []auto.Record{{Priority: 1, ALPN: []string{"h3"}, Port: port(t, a.Port)}}, nil
	})
	e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: resolver, DNSWait: time.Millisecond})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	close(release)
	<-answered
	for {
		if proto, _ := send(t, e, request(t, "GET", o.URL)); proto == "HTTP/3.0" {
			break // the answer is there a moment after the resolver has returned
		}
	}
}

func TestResolverFails(t *testing.T) {
	o := newOrigin(t)
	resolver := auto.ResolverFunc(func(context.Context, string) ([]auto.Record, error) { return nil, errors.New("no DNS") })
	e, told := newEngine(t, auto.Config{Resolver: resolver, DNSWait: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
}

// TestAltSvcGoesBeforeDNS: what the origin says itself counts more.
func TestAltSvcGoesBeforeDNS(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	z := &zone{asked: make(chan string, 100)}
	e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: z, DNSWait: long})
	o.tell(`h3=":` + a.Port + `"`)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	if len(z.asked) != 1 {
		t.Errorf("%d lookups, want 1", len(z.asked))
	}
}

// TestRecordsElsewhere: where nobody looks at certificates, records lead to the
// origin's own host only.
func TestRecordsElsewhere(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	for _, row := range []struct {
		target string
		proto  string
		reason auto.Reason
	}{{"other.test.", "HTTP/1.1", auto.NoAlternative}, {"Example.test.", "HTTP/3.0", auto.Won}} {
		z := &zone{asked: make(chan string, 100), records: map[string][]auto.Record{
			"_" + o.Port + "._https.example.test": {{Priority: 1, Target: row.target, ALPN: []string{"h3"}, Port: port(t, a.Port)}}}}
		e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: z, DNSWait: long}, func(c *engine.Config) { c.TLS.InsecureSkipVerify = true })
		wantProto(t, e, told, "https://EXAMPLE.test:"+o.Port, row.proto, row.reason)
	}
}

// TestRecordsAreForgotten: with the network, and beyond the bound of origins.
func TestRecordsAreForgotten(t *testing.T) {
	o := newOrigin(t)
	z := &zone{asked: make(chan string, 100)}
	e, _ := newEngine(t, auto.Config{Resolver: z, DNSWait: long})
	for range 2 {
		send(t, e, request(t, "GET", o.URL))
	}
	if len(z.asked) != 1 {
		t.Errorf("%d lookups, want 1", len(z.asked))
	}
	e.NetworkChanged()
	send(t, e, request(t, "GET", o.URL))
	if len(z.asked) != 2 {
		t.Errorf("%d lookups after NetworkChanged, want 2", len(z.asked))
	}
}

// TestLookupIsWaitedForOnce: DNSWait counts from the lookup's beginning; a resolver
// that hangs does not cost each request anew.
func TestLookupIsWaitedForOnce(t *testing.T) {
	o := newOrigin(t)
	resolver := auto.ResolverFunc(func(ctx context.Context, _ string) ([]auto.Record, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	const wait = 300 * time.Millisecond
	e, _ := newEngine(t, auto.Config{Resolver: resolver, DNSWait: wait})
	send(t, e, request(t, "GET", o.URL))
	begun := time.Now()
	const n = 10
	for range n {
		send(t, e, request(t, "GET", o.URL))
	}
	if took := time.Since(begun); took >= n*wait {
		t.Errorf("%d requests took %v", n, took)
	}
}

// TestOldRecordsServe: while a record is looked up anew, what it was before holds.
func TestOldRecordsServe(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	calls := make(chan int, 1)
	calls <- 0
	resolver := auto.ResolverFunc(func(ctx context.Context, _ string) ([]auto.Record, error) {
		n := <-calls
		calls <- n + 1
		if n > 0 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []auto.Record{{Priority: 1, Target: "example.test", ALPN: []string{"h3"}, Port: port(t, a.Port), TTL: time.Nanosecond}}, nil
	})
	e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: resolver, DNSWait: long})
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	for range 2 {
		if r := within(t, "a request", start(t, e, request(t, "GET", o.URL))); r.err != nil || r.proto != "HTTP/3.0" {
			t.Errorf("%+v", r)
		}
	}
}

// TestRecordsAreTheResolvers: what it returns is not changed.
func TestRecordsAreTheResolvers(t *testing.T) {
	o := newOrigin(t)
	records := []auto.Record{{Priority: 2, Port: 2}, {Priority: 1, Port: 1}}
	resolver := auto.ResolverFunc(func(context.Context, string) ([]auto.Record, error) { return records, nil })
	e, _ := newEngine(t, auto.Config{Resolver: resolver, DNSWait: long})
	send(t, e, request(t, "GET", o.URL))
	if records[0].Priority != 2 {
		t.Errorf("%+v", records)
	}
}
