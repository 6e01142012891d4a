package main

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/cloudwego/hertz/pkg/app/client"
	"github.com/cloudwego/hertz/pkg/common/config"
	"github.com/cloudwego/hertz/pkg/network"
	"github.com/cloudwego/hertz/pkg/network/standard"
	"github.com/cloudwego/hertz/pkg/protocol"
	"github.com/valyala/fasthttp"
)

// makeFasthttp measures fasthttp.Client; with timed, by DoTimeout.
func makeFasthttp(timed bool) maker {
	return func(e *env) (func() task, error) {
		stream := e.Kind == kindDownload || e.Kind == kindCopy || e.Kind == kindSave
		c := &fasthttp.Client{
			MaxConnsPerHost: max(e.Conns, e.Barrier, 1), StreamResponseBody: stream,
			NoDefaultUserAgentHeader: true, MaxIdleConnDuration: time.Minute,
			Dial: func(addr string) (net.Conn, error) { return fasthttp.DialTimeout(addr, timeout) },
		}
		if e.TLS {
			c.TLSConfig = e.tlsConfig()
		}
		do, u := c.Do, e.url()
		if timed {
			do = func(req *fasthttp.Request, resp *fasthttp.Response) error { return c.DoTimeout(req, resp, timeout) }
		}
		return func() task {
			sink, err := newConsumer(e)
			return func(context.Context) error {
				if err != nil {
					return err
				}
				req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				defer fasthttp.ReleaseRequest(req)
				defer fasthttp.ReleaseResponse(resp)
				if err := fasthttpRequest(e, u, req); err != nil {
					return err
				}
				if err := do(req, resp); err != nil {
					return err
				}
				if err := checkStatus(resp.StatusCode()); err != nil {
					return err
				}
				if stream {
					defer resp.CloseBodyStream()
					return sink.take(resp.BodyStream())
				}
				return sink.takeBytes(resp.Body())
			}
		}, nil
	}
}

func fasthttpRequest(e *env, u string, req *fasthttp.Request) error {
	req.SetRequestURI(u)
	req.Header.SetMethod(e.method())
	if e.fresh() {
		req.SetConnectionClose()
	}
	switch e.Kind {
	case kindJSON:
		b, err := marshal()
		if err != nil {
			return err
		}
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(b)
	case kindUploadFile:
		f, err := os.Open(e.File)
		if err != nil {
			return err
		}
		req.SetBodyStream(f, int(e.Size))
	case kindUpload:
		req.SetBodyStream(&source{left: e.Size}, -1)
	}
	return nil
}

// makeHertz measures the client of hertz, on netpoll or on package net.
func makeHertz(onNet bool) maker {
	return func(e *env) (func() task, error) {
		stream := e.Kind == kindDownload || e.Kind == kindCopy || e.Kind == kindSave
		if e.Kind == kindUploadFile || e.Kind == kindUpload || e.fresh() || e.TLS && !onNet {
			return nil, nil // not what it is made for; netpoll has no TLS
		}
		u := e.url()
		opts := []config.ClientOption{
			client.WithMaxConnsPerHost(max(e.Conns, e.Barrier, 1)), client.WithResponseBodyStream(stream),
			client.WithNoDefaultUserAgentHeader(true), client.WithMaxIdleConnDuration(time.Minute),
			client.WithDialTimeout(timeout),
		}
		if onNet {
			var d network.Dialer = standard.NewDialer()
			opts = append(opts, client.WithDialer(d))
		}
		if e.TLS {
			opts = append(opts, client.WithTLSConfig(e.tlsConfig()))
		}
		c, err := client.NewClient(opts...)
		if err != nil {
			return nil, err
		}
		return func() task {
			sink, err := newConsumer(e)
			return func(ctx context.Context) error {
				if err != nil {
					return err
				}
				req, resp := protocol.AcquireRequest(), protocol.AcquireResponse()
				defer protocol.ReleaseRequest(req)
				defer protocol.ReleaseResponse(resp)
				req.SetRequestURI(u)
				req.Header.SetMethod(e.method())
				if e.Kind == kindJSON {
					b, err := marshal()
					if err != nil {
						return err
					}
					req.Header.SetContentTypeBytes([]byte("application/json"))
					req.SetBodyRaw(b)
				}
				if err := c.Do(ctx, req, resp); err != nil {
					return err
				}
				if err := checkStatus(resp.StatusCode()); err != nil {
					return err
				}
				if !stream {
					return sink.takeBytes(resp.Body())
				}
				err := sink.take(resp.BodyStream())
				return errors.Join(err, resp.CloseBodyStream())
			}
		}, nil
	}
}
