package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/valyala/fasthttp"
)

// kindPipeline is GETs of 100 bytes by several callers on one connection.
const kindPipeline kind = "pipeline"

var pipelineContenders = []contender{
	{"piped-cio", "cio.Config.Pipelining, one connection, cancellable context, deadline on the request", makePipedCIO, false},
	{"piped-fasthttp", "fasthttp.PipelineClient, one connection", makePipedFasthttp, false},
}

var pipelineCells = []cell{
	{"pipeline-20", "GET 100 B, pipelined, 20 callers on one connection", kindPipeline, false, 20, false},
}

var pipelineTargets = []target{
	{"pipelined, 20 callers: CPU", "pipeline-20", "piped-cio", cpu, "piped-fasthttp", 0.33},
	{"pipelined, 20 callers: CPU, µs", "pipeline-20", "piped-cio", cpu, "", 3},
}

func pipes(client string) bool { return strings.HasPrefix(client, "piped-") }

func makePipedCIO(e *env) (func() task, error) {
	c := cioConfig(e)
	c.Pipelining, c.PipelineMaxSize, c.MaxConnections, c.MaxConnectionsPerRoute = true, e.Conns, 1, 1
	eng := c.New(engine.Config{})
	u, err := url.Parse(e.url())
	if err != nil {
		return nil, err
	}
	return func() task {
		sink, err := newConsumer(e)
		req := &engine.Request{Method: "GET", URL: u}
		return func(ctx context.Context) error {
			if err != nil {
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
			return sink.take(resp.Body)
		}
	}, nil
}

func makePipedFasthttp(e *env) (func() task, error) {
	u, err := url.Parse(e.url())
	if err != nil {
		return nil, err
	}
	c := &fasthttp.PipelineClient{
		Addr: u.Host, MaxConns: 1, MaxPendingRequests: e.Conns, NoDefaultUserAgentHeader: true,
		Dial: func(addr string) (net.Conn, error) { return fasthttp.DialTimeout(addr, timeout) },
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
			req.SetRequestURI(u.String())
			if err := c.Do(req, resp); err != nil {
				return err
			}
			if err := checkStatus(resp.StatusCode()); err != nil {
				return err
			}
			return sink.takeBytes(resp.Body())
		}
	}, nil
}
