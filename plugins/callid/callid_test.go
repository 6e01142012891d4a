package callid_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/callid"
)

const field = "X-Request-Id"

func echo(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get(field)) }

type tenant struct{}

func TestSources(t *testing.T) {
	fixed := func(context.Context, *godwit.Request) string { return "made" }
	fromContext := func(ctx context.Context) string { s, _ := ctx.Value(tenant{}).(string); return s }
	for name, row := range map[string]struct {
		config callid.Config
		with   string
		outer  string
		opts   []godwit.Option
		want   string
	}{
		"generated":             {config: callid.Config{Generate: fixed}, want: "made"},
		"context":               {config: callid.Config{Generate: fixed}, with: "ctx", want: "ctx"},
		"from context":          {config: callid.Config{Generate: fixed, FromContext: fromContext}, outer: "srv", want: "srv"},
		"With before it":        {config: callid.Config{FromContext: fromContext}, with: "ctx", outer: "srv", want: "ctx"},
		"option before context": {with: "ctx", opts: []godwit.Option{callid.ID("opt")}, want: "opt"},
		"field before option":   {opts: []godwit.Option{callid.ID("opt"), godwit.Header(field, "own")}, want: "own"},
		"no id":                 {config: callid.Config{Generate: func(context.Context, *godwit.Request) string { return "" }}, want: ""},
		"off":                   {with: "ctx", opts: []godwit.Option{callid.Off(true)}, want: ""},
		"off, field":            {opts: []godwit.Option{callid.Off(true), godwit.Header(field, "own")}, want: "own"},
		"bad in context":        {config: callid.Config{Generate: fixed}, with: "a b\r\nX: y", want: "made"},
		"too long":              {config: callid.Config{Generate: fixed}, with: strings.Repeat("x", 129), want: "made"},
		"long enough":           {with: strings.Repeat("x", 128), want: strings.Repeat("x", 128)},
		"bad field":             {config: callid.Config{Generate: fixed}, opts: []godwit.Option{godwit.Header(field, "a b")}, want: "made"},
		"bad field, no other":   {config: callid.Config{Verify: func(string) bool { return false }}, opts: []godwit.Option{godwit.Header(field, "x")}, want: ""},
		"verified":              {config: callid.Config{Generate: fixed, Verify: func(id string) bool { return len(id) == 4 }}, with: "five5", want: "made"},
		"verify can't allow":    {config: callid.Config{Generate: fixed, Verify: func(string) bool { return true }}, with: "a\nb", want: "made"},
	} {
		t.Run(name, func(t *testing.T) {
			everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
				ctx := context.WithValue(t.Context(), tenant{}, row.outer)
				if row.with != "" {
					ctx = callid.With(ctx, row.with)
				}
				resp, err := c.Do(ctx, godwit.NewRequest("GET", base, row.opts...))
				if err != nil || resp.Text() != row.want {
					t.Fatalf("%v, %v, want %q", resp, err, row.want)
				}
				id := row.want
				if name == "off, field" {
					id = ""
				}
				if got := callid.Of(resp.Call()); got != id {
					t.Errorf("Of: %q, want %q", got, id)
				}
				if got := callid.From(resp.Call().Context()); got != id && name != "off" {
					t.Errorf("From: %q, want %q", got, id)
				}
			}, godwit.Install(callid.New(row.config)))
		})
	}
}

func TestDefault(t *testing.T) {
	everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
		seen := make(map[string]bool)
		for range 10 {
			id, err := godwit.Get[string](t.Context(), c, base)
			if err != nil || len(id) < 20 || seen[id] {
				t.Errorf("%q, %v", id, err)
			}
			seen[id] = true
		}
		if callid.Of(nil) != "" || callid.From(t.Context()) != "" || callid.From(callid.With(t.Context(), "x")) != "x" {
			t.Error("outside of a call")
		}
	}, godwit.Install(callid.New(callid.Config{})))
}

// TestOneIDForAll: hops and repetitions carry the same id, and interceptors see
// it.
func TestOneIDForAll(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ids = append(ids, r.Header.Get("Trace"))
		n := len(ids)
		mu.Unlock()
		switch n {
		case 1:
			w.Header().Set("Location", "/next")
			w.WriteHeader(302)
		case 2:
			w.WriteHeader(503)
		default:
			fmt.Fprint(w, "done")
		}
	}
	again := func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil || resp.Status != 503 {
			return resp, err
		}
		resp.Discard()
		return next(ctx, req)
	}
	var inside string
	spy := godwit.On(func(ctx context.Context, _ godwit.Sending) { inside = callid.From(ctx) })
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		ids = nil
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
		if err != nil || resp.Text() != "done" || len(ids) != 3 {
			t.Fatalf("%v, %v, %q", resp, err, ids)
		}
		for _, id := range append(ids, inside) {
			if id == "" || id != callid.Of(resp.Call()) {
				t.Errorf("%q, want %q", id, callid.Of(resp.Call()))
			}
		}
	}, godwit.Install(callid.New(callid.Config{Header: "Trace"})), godwit.Intercept(godwit.SendRetry, again), spy)
}

func TestBadHeader(t *testing.T) {
	c := godwit.New(godwit.Install(callid.New(callid.Config{Header: "a b"})))
	defer c.Close()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), `"a b"`) {
		t.Error(err)
	}
}

func TestConcurrent(t *testing.T) {
	everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				want := fmt.Sprint("id-", i)
				resp, err := c.Do(callid.With(t.Context(), want), godwit.NewRequest("GET", base))
				if err != nil || resp.Text() != want || callid.Of(resp.Call()) != want {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		wg.Wait()
	}, godwit.Install(callid.New(callid.Config{})))
}
