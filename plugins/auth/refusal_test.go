package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/auth"
)

const problem = `{"title":"why","detail":"explained","code":7}`

// refusing answers 401 with problem details to all but "Bearer new"; /token has
// that token.
func refusing(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	switch {
	case r.URL.Path == "/token":
		fmt.Fprint(w, "new")
	case r.Header.Get("Authorization") == "Bearer new":
		fmt.Fprint(w, "in")
	default:
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(401)
		fmt.Fprint(w, problem)
	}
}

// TestRefusalHasItsBody: the 401 that a caller gets in the end, as an error or a
// response, is whole though it was given up before the refresh.
func TestRefusalHasItsBody(t *testing.T) {
	for name, row := range map[string]struct {
		token      string
		replayable bool
	}{
		"not replayable": {"new", false},
		"no new token":   {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			provider := auth.Bearer{Token: "old", Refresh: func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: row.token}, nil }}
			everyengine.Run(t, refusing, func(t *testing.T, c *godwit.Client, base string) {
				c = c.With(godwit.Install(auth.New(provider)))
				defer c.Close()
				var body any = "again and again"
				if !row.replayable {
					body = io.MultiReader(strings.NewReader("once"))
				}
				_, err := godwit.Put[string](t.Context(), c, base+"/", body)
				se, ok := errors.AsType[*godwit.StatusError](err)
				if !ok {
					t.Fatal(err)
				}
				if errors.Is(err, godwit.ErrNotReplayable) == row.replayable {
					t.Error(err)
				}
				if se.Response.Text() != problem || se.BodyErr != nil || se.Problem == nil || se.Problem.Detail != "explained" {
					t.Errorf("text %q, problem %v, %v", se.Response.Text(), se.Problem, se.BodyErr)
				}
				for range 2 {
					if v, err := godwit.As[struct{ Code int }](t.Context(), se.Response); err != nil || v.Code != 7 {
						t.Errorf("%v, %v", v, err)
					}
				}
			})
		})
	}
}

// endless is a body that comes byte by byte and has no end.
func endless(ctx context.Context, w io.Writer) error {
	for {
		if _, err := io.WriteString(w, "x"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// TestEndlessRefusal: a 401 that goes on and on holds nobody up for long, and
// what is kept of it says so.
func TestEndlessRefusal(t *testing.T) {
	for name, row := range map[string]struct {
		token string
		body  any
		check func(*testing.T, *godwit.Response, error)
	}{
		"answered": {"new", nil, func(t *testing.T, resp *godwit.Response, err error) {
			if err != nil || resp.Text() != "in" {
				t.Errorf("%v, %v", resp, err)
			}
		}},
		"not answered": {"", nil, func(t *testing.T, resp *godwit.Response, err error) {
			if err != nil || resp.Status != 401 || resp.Text() != "" {
				t.Errorf("%v, %v", resp, err)
			}
		}},
		"not replayable": {"new", io.MultiReader(strings.NewReader("once")), func(t *testing.T, _ *godwit.Response, err error) {
			se, ok := errors.AsType[*godwit.StatusError](err)
			if !ok || se.BodyErr == nil || se.Response.Text() != "xxxx" {
				t.Errorf("%v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eng := mock.Serve(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
					if r.Header.Get("Authorization") == "Bearer new" {
						return mock.OK("in"), nil
					}
					return mock.Status(401).WithStream(endless), nil
				}))
				defer eng.Close()
				c := client(t, eng, auth.Bearer{Token: "old", Refresh: func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: row.token}, nil }})
				start := time.Now()
				resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", url, godwit.Body(row.body)))
				row.check(t, resp, err)
				if took := time.Since(start); took != time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestRefreshWhileClosing: a running call finishes though its client is closed,
// with the token that it gets by the same client; a new call does not start.
func TestRefreshWhileClosing(t *testing.T) {
	for name, first := range map[string]string{"refresh": "old", "load": ""} {
		t.Run(name, func(t *testing.T) {
			var c *godwit.Client
			var base string
			ask := func(ctx context.Context) (auth.Token, error) {
				c.Close()
				if _, err := godwit.Get[string](context.WithoutCancel(t.Context()), c, base+"/token"); !errors.Is(err, godwit.ErrClientClosed) {
					t.Errorf("another call: %v", err)
				}
				access, err := godwit.Get[string](ctx, c, base+"/token")
				return auth.Token{Access: access}, err
			}
			provider := auth.Bearer{Token: first, Refresh: func(ctx context.Context, _ auth.Token) (auth.Token, error) { return ask(ctx) }}
			if first == "" {
				provider.Load = ask
			}
			everyengine.Run(t, refusing, func(t *testing.T, client *godwit.Client, at string) {
				c, base = client.With(godwit.Install(auth.New(provider))), at
				got, err := godwit.Get[string](t.Context(), c, base+"/")
				if err != nil || got != "in" {
					t.Errorf("%q, %v", got, err)
				}
				if err := c.Join(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
