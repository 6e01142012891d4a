package useragent_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/useragent"
)

func echo(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.UserAgent()) }

func TestAgent(t *testing.T) {
	for name, row := range map[string]struct {
		config useragent.Config
		client []godwit.ClientOption
		opts   []godwit.Option
		want   string
	}{
		"browser":            {config: useragent.Config{Agent: useragent.Browser}, want: useragent.Browser},
		"curl":               {config: useragent.Config{Agent: useragent.Curl}, want: useragent.Curl},
		"agent goes first":   {config: useragent.Config{Agent: "a", Products: []useragent.Product{{Name: "b"}}}, want: "a"},
		"products":           {config: useragent.Config{Products: []useragent.Product{{Name: "shop", Version: "2.1", Comment: `a (b) \`}, {Name: "lib"}}}, want: `shop/2.1 (a \(b\) \\) lib`},
		"the program":        {want: "useragent.test godwit"},
		"on the request":     {opts: []godwit.Option{useragent.Agent("mine")}, want: "mine"},
		"on the client":      {client: []godwit.ClientOption{useragent.Agent("ours")}, want: "ours"},
		"request first":      {client: []godwit.ClientOption{useragent.Agent("ours")}, opts: []godwit.Option{useragent.Agent("mine")}, want: "mine"},
		"a field of its own": {config: useragent.Config{Agent: "a"}, opts: []godwit.Option{godwit.UserAgent("own")}, want: "own"},
		"the default's own":  {config: useragent.Config{Agent: "a"}, opts: []godwit.Option{godwit.UserAgent("godwit")}, want: "godwit"},
		"the client's own":   {config: useragent.Config{Agent: "a"}, client: []godwit.ClientOption{godwit.UserAgent("godwit")}, want: "godwit"},
		"own and client's":   {config: useragent.Config{Agent: "a"}, client: []godwit.ClientOption{godwit.UserAgent("c")}, opts: []godwit.Option{godwit.UserAgent("godwit")}, want: "godwit"},
		"field and agent":    {config: useragent.Config{Agent: "a"}, opts: []godwit.Option{useragent.Agent("mine"), godwit.UserAgent("godwit")}, want: "godwit"},
		"none":               {config: useragent.Config{Agent: "a"}, opts: []godwit.Option{godwit.DelHeader("User-Agent")}, want: ""},
		"other fields":       {config: useragent.Config{Agent: "a"}, client: []godwit.ClientOption{godwit.Header("X-A", "b")}, opts: []godwit.Option{godwit.Header("X-B", "godwit")}, want: "a"},
		"a client's field":   {config: useragent.Config{Agent: "a"}, client: []godwit.ClientOption{godwit.UserAgent("own")}, want: "own"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := append([]godwit.ClientOption{godwit.Install(useragent.New(row.config))}, row.client...)
			everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
				got, err := godwit.Get[string](t.Context(), c, base, row.opts...)
				if err != nil || got != row.want {
					t.Errorf("%q, %v, want %q", got, err, row.want)
				}
			}, opts...)
		})
	}
}

func TestBadAgents(t *testing.T) {
	for name, row := range map[string]struct {
		option godwit.ClientOption
		want   string
	}{
		"product name": {godwit.Install(useragent.New(useragent.Config{Products: []useragent.Product{{Name: "my shop"}}})), `product name "my shop"`},
		"no name":      {godwit.Install(useragent.New(useragent.Config{Products: []useragent.Product{{Version: "1"}}})), `product name ""`},
		"version":      {godwit.Install(useragent.New(useragent.Config{Products: []useragent.Product{{Name: "shop", Version: "1/2"}}})), `version "1/2" of product shop`},
		"comment":      {godwit.Install(useragent.New(useragent.Config{Products: []useragent.Product{{Name: "shop", Comment: "a\nb"}}})), `comment "a\nb" of product shop`},
		"agent":        {godwit.Install(useragent.New(useragent.Config{Agent: "a\r\nb: c"})), `"a\r\nb: c"`},
		"option":       {useragent.Agent(""), `useragent: ""`},
	} {
		c := godwit.New(row.option)
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
		c.Close()
	}
}

func TestConcurrent(t *testing.T) {
	everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				want := fmt.Sprint("agent-", i)
				if got, err := godwit.Get[string](t.Context(), c, base, useragent.Agent(want)); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wg.Wait()
	}, godwit.Install(useragent.New(useragent.Config{})))
}
