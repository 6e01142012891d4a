package main

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/cookies"
	"github.com/godwit-go/godwit/plugins/encoding"
	"github.com/godwit-go/godwit/plugins/retry"
)

func cioConfig(e *env) cio.Config {
	c := cio.Config{
		MaxConnections:         max(e.Conns, e.Barrier, 1),
		MaxConnectionsPerRoute: max(e.Conns, e.Barrier, 1),
		Proxy:                  engine.NoProxy,
	}
	if e.TLS {
		c.TLS = e.tlsConfig()
	}
	if e.fresh() {
		c.KeepAlive = -1
	}
	return c
}

// makeCIO measures the engine itself, with a deadline on the request. each
// makes the context of each request from that of the worker.
func makeCIO(each func(context.Context) (context.Context, context.CancelFunc)) maker {
	return func(e *env) (func() task, error) {
		eng := cioConfig(e).New(engine.Config{})
		u, err := url.Parse(e.url())
		if err != nil {
			return nil, err
		}
		return func() task {
			c, err := newConsumer(e)
			// A request may be used again when its exchange is over.
			req := &engine.Request{Method: e.method(), URL: u}
			return func(ctx context.Context) error {
				if err != nil {
					return err
				}
				ctx, cancel := each(ctx)
				defer cancel()
				if req.Body, req.Header, err = cioBody(e); err != nil {
					return err
				}
				req.Deadline = time.Now().Add(timeout)
				resp, err := eng.Execute(ctx, req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if err := checkStatus(resp.Status); err != nil {
					return err
				}
				if e.Kind != kindJSON {
					return c.take(resp.Body)
				}
				b, err := c.fill(resp.Body)
				if err != nil {
					return err
				}
				return c.takeBytes(b)
			}
		}, nil
	}
}

func cioBody(e *env) (content.Content, header.Header, error) {
	switch e.Kind {
	case kindJSON:
		b, err := json.Marshal(&sample)
		return content.Bytes(b, "application/json"), header.New("Content-Type", "application/json"), err
	case kindUploadFile:
		return content.File(e.File), header.Header{}, nil
	case kindUpload:
		return content.Reader(&source{left: e.Size}, "", -1), header.Header{}, nil
	}
	return nil, header.Header{}, nil
}

func noCancel(context.Context) (context.Context, context.CancelFunc) {
	return context.Background(), func() {}
}

func sameContext(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeout)
}

// makeGodwit measures typed calls with what New installs, and streams for bulk.
func makeGodwit(e *env) (func() task, error) { return godwitTasks(e) }

// makeGodwitPlugins does so with the plugins that most clients have.
func makeGodwitPlugins(e *env) (func() task, error) {
	return godwitTasks(e, godwit.Install(auth.New(auth.Basic{User: "ada", Password: "pw", Preemptive: true}),
		cookies.New(cookies.Config{}), encoding.New(encoding.Config{}), retry.New(retry.Config{})))
}

func godwitTasks(e *env, opts ...godwit.ClientOption) (func() task, error) {
	client := godwit.New(append(opts, godwit.WithEngine(cioConfig(e)), godwit.Timeout(timeout))...)
	if err := client.Err(); err != nil {
		return nil, err
	}
	u := e.url()
	return func() task {
		c, err := newConsumer(e)
		if err != nil {
			return func(context.Context) error { return err }
		}
		switch {
		case e.Kind == kindJSON:
			return func(ctx context.Context) error {
				r, err := godwit.Post[record](ctx, client, u, &sample)
				if err != nil {
					return err
				}
				return checkRecord(&r)
			}
		case e.Kind == kindUploadFile || e.Kind == kindUpload:
			return func(ctx context.Context) error {
				body, _, err := cioBody(e)
				if err != nil {
					return err
				}
				b, err := godwit.Post[[]byte](ctx, client, u, body)
				if err != nil {
					return err
				}
				return c.checkUpload(b)
			}
		case e.Kind.bulk():
			return func(ctx context.Context) error {
				return client.Stream(ctx, godwit.NewRequest("GET", u, godwit.Header("Accept-Encoding", "identity")), func(r *godwit.Response) error {
					if err := checkStatus(int(r.Status)); err != nil {
						return err
					}
					return c.take(r.Body)
				})
			}
		}
		return func(ctx context.Context) error {
			b, err := godwit.Get[[]byte](ctx, client, u)
			if err != nil {
				return err
			}
			return checkLength(len(b), smallSize)
		}
	}, nil
}
