package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/carlmjohnson/requests"
	"resty.dev/v3"
)

func stdTransport(e *env) *http.Transport {
	n := max(e.Conns, e.Barrier, 1)
	t := &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n, DisableKeepAlives: e.fresh()}
	if e.TLS {
		t.TLSClientConfig = e.tlsConfig()
	}
	return t
}

// makeStd measures net/http. With whole, the body is read by io.ReadAll, as who
// wants it in memory does.
func makeStd(each func(context.Context) (context.Context, context.CancelFunc), whole bool) maker {
	return func(e *env) (func() task, error) {
		client := &http.Client{Transport: stdTransport(e)}
		u, method := e.url(), e.method()
		return func() task {
			c, err := newConsumer(e)
			return func(ctx context.Context) error {
				if err != nil {
					return err
				}
				ctx, cancel := each(ctx)
				defer cancel()
				body, length, err := e.payload()
				if err != nil {
					return err
				}
				req, err := http.NewRequestWithContext(ctx, method, u, nil)
				if err != nil {
					return err
				}
				if body != nil {
					req.Body, req.ContentLength = body, length
				}
				if e.Kind == kindJSON {
					req.Header.Set("Content-Type", "application/json")
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if err := checkStatus(resp.StatusCode); err != nil {
					return err
				}
				if !whole || e.Kind == kindJSON {
					return c.take(resp.Body)
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					return err
				}
				return c.takeBytes(b)
			}
		}, nil
	}
}

func makeResty(e *env) (func() task, error) {
	client := resty.NewWithClient(&http.Client{Transport: stdTransport(e)}).SetTimeout(timeout)
	u := e.url()
	return func() task {
		return func(ctx context.Context) error {
			if e.Kind == kindJSON {
				var r record
				resp, err := client.R().SetContext(ctx).SetBody(&sample).SetResult(&r).Post(u)
				if err != nil {
					return err
				}
				if err := checkStatus(resp.StatusCode()); err != nil {
					return err
				}
				return checkRecord(&r)
			}
			resp, err := client.R().SetContext(ctx).Get(u)
			if err != nil {
				return err
			}
			if err := checkStatus(resp.StatusCode()); err != nil {
				return err
			}
			return checkLength(len(resp.Bytes()), smallSize)
		}
	}, nil
}

func makeRequests(e *env) (func() task, error) {
	client := &http.Client{Transport: stdTransport(e), Timeout: timeout}
	u := e.url()
	return func() task {
		var buf bytes.Buffer
		return func(ctx context.Context) error {
			if e.Kind == kindJSON {
				var r record
				if err := requests.URL(u).Client(client).BodyJSON(&sample).ToJSON(&r).Fetch(ctx); err != nil {
					return err
				}
				return checkRecord(&r)
			}
			buf.Reset()
			if err := requests.URL(u).Client(client).ToBytesBuffer(&buf).Fetch(ctx); err != nil {
				return err
			}
			return checkLength(buf.Len(), smallSize)
		}
	}, nil
}

// marshal is what the clients without typed calls send.
func marshal() ([]byte, error) { return json.Marshal(&sample) }
