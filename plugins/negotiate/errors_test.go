package negotiate_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/negotiate"
)

type fault struct {
	Code string `json:"code" xml:"code"`
}

// failure is an error by its pointer.
type failure struct {
	Code string `json:"code"`
}

func (f *failure) Error() string { return "code " + f.Code }

func TestErrorAs(t *testing.T) {
	for name, opts := range map[string][]godwit.ClientOption{
		"without the plugin": nil,
		"with the plugin":    {godwit.Install(negotiate.New(negotiate.Config{}))},
	} {
		everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
			get := func(contentType, body string, opts ...godwit.Option) error {
				_, err := godwit.Get[user](t.Context(), c, base, append(opts, godwit.Param("status", 1), godwit.Param("type", contentType), godwit.Param("body", body))...)
				return err
			}
			err := get("application/json", `{"code":"x"}`, negotiate.ErrorAs[fault]())
			f, ok := negotiate.ErrorOf[fault](err)
			se, isStatus := errors.AsType[*godwit.StatusError](err)
			if !ok || f.Code != "x" || !isStatus || se.Response.Status != 418 || !strings.Contains(err.Error(), "status 418") {
				t.Errorf("%s: %v", name, err)
			}
			if _, ok := errors.AsType[*godwit.Error](err); !ok {
				t.Errorf("%s: no envelope around %v", name, err)
			}
			err = get("application/x+json", `{"code":"x"}`, negotiate.ErrorAs[failure]())
			if f, ok := errors.AsType[*failure](err); !ok || f.Code != "x" || !strings.HasSuffix(err.Error(), "418 I'm a teapot: code x") {
				t.Errorf("%s: %v", name, err)
			}
			err = get("application/json", `{"code":"x"}`, negotiate.ErrorAs[*failure]())
			if f, ok := errors.AsType[*failure](err); !ok || f.Code != "x" {
				t.Errorf("%s: %v", name, err)
			}
			for reason, err := range map[string]error{
				"another status":    get("application/json", `{"code":"x"}`, negotiate.ErrorAs[fault](404, 500)),
				"another type":      get("text/html", `<h1>`, negotiate.ErrorAs[fault]()),
				"no type":           get("", `{"code":"x"}`, negotiate.ErrorAs[fault]()),
				"not of that shape": get("application/json", `[1]`, negotiate.ErrorAs[fault]()),
				"empty":             get("application/json", ``, negotiate.ErrorAs[fault]()),
				"not asked for":     get("application/json", `{"code":"x"}`),
			} {
				if _, ok := negotiate.ErrorOf[fault](err); ok {
					t.Errorf("%s, %s: decoded: %v", name, reason, err)
				}
				if _, ok := errors.AsType[*godwit.StatusError](err); !ok {
					t.Errorf("%s, %s: %v", name, reason, err)
				}
			}
			err = get("application/json", `{"code":"x"}`, negotiate.ErrorAs[failure](), negotiate.ErrorAs[fault](418))
			if _, ok := negotiate.ErrorOf[fault](err); !ok {
				t.Errorf("%s: the last did not win: %v", name, err)
			}
			// A success is none of its business.
			u, err := godwit.Get[user](t.Context(), c, base, negotiate.ErrorAs[fault](), godwit.Param("type", "application/json"), godwit.Param("body", `{"name":"a"}`))
			if err != nil || u.Name != "a" {
				t.Errorf("%s: %v, %v", name, u, err)
			}
		}, opts...)
	}
	// The plugin's codecs decode errors, too.
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		_, err := godwit.Get[user](t.Context(), c, base, godwit.Param("status", 1), godwit.Param("type", "application/xml; charset=latin1"), godwit.Param("body", "<e><code>\xe9</code></e>"))
		if f, ok := negotiate.ErrorOf[fault](err); !ok || f.Code != "é" {
			t.Errorf("%v", err)
		}
	}, godwit.Install(negotiate.New(negotiate.Config{})), negotiate.ErrorAs[fault]())
}

func TestErrorAsConcurrent(t *testing.T) {
	everyengine.Run(t, send, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				_, err := godwit.Get[user](t.Context(), c, base, godwit.Param("status", 1), godwit.Param("type", "application/json"), godwit.Param("body", `{"code":"x"}`))
				if f, ok := negotiate.ErrorOf[fault](err); !ok || f.Code != "x" {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
	}, negotiate.ErrorAs[fault]())
}
