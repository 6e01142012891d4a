package main

import (
	"slices"
	"strings"
)

// contender is a client that takes part, by the name that the tables show.
type contender struct {
	name string
	what string // for the legend
	make maker
	// variant marks what differs from another one in small requests only.
	variant bool
}

// takesPart reports whether its figures would say something in a cell.
func (c contender) takesPart(in cell) bool {
	if speaksH2 := strings.HasPrefix(c.name, "h2-"); speaksH2 || in.kind.isH2() {
		return speaksH2 && in.kind.isH2()
	}
	if pipes(c.name) || in.kind == kindPipeline {
		return pipes(c.name) && in.kind == kindPipeline
	}
	if speaksWS := strings.HasPrefix(c.name, "ws-"); speaksWS || in.kind.isWS() {
		return speaksWS && in.kind.isWS()
	}
	return !c.variant || !in.tls && (in.kind == kindGet || in.kind == kindJSON)
}

var contenders = slices.Concat(httpContenders, pipelineContenders, wsContenders, h2Contenders)

var httpContenders = []contender{
	{"floor", "no client: prebaked bytes on a net.Conn, or on crypto/tls", makeFloor, false},
	{"cio", "the engine, cancellable context, deadline on the request", makeCIO(sameContext), false},
	{"cio-plain", "the engine, context that never ends, deadline on the request", makeCIO(noCancel), true},
	{"cio-timeout", "the engine, the caller's context.WithTimeout for each request", makeCIO(withTimeout), true},
	{"godwit", "godwit.Get[[]byte], Post[record] or Client.Stream with what New installs, and godwit.Timeout", makeGodwit, false},
	{"godwit-plugins", "the same with auth, cookies, encoding and retry", makeGodwitPlugins, true},
	{"fasthttp", "fasthttp.Client, no timeout, no context", makeFasthttp(false), false},
	{"fasthttp-timeout", "fasthttp.Client.DoTimeout", makeFasthttp(true), true},
	{"hertz", "hertz client on netpoll", makeHertz(false), false},
	{"hertz-net", "hertz client on package net", makeHertz(true), false},
	{"nethttp", "net/http, cancellable context", makeStd(sameContext, false), false},
	{"nethttp-timeout", "net/http, context.WithTimeout for each request", makeStd(withTimeout, false), true},
	{"nethttp-whole", "the same, and the body by io.ReadAll", makeStd(withTimeout, true), true},
	{"resty", "resty v3", makeResty, true},
	{"requests", "carlmjohnson/requests", makeRequests, true},
}

func contenderByName(name string) (contender, bool) {
	for _, c := range contenders {
		if c.name == name {
			return c, true
		}
	}
	return contender{}, false
}

// cell is one measurement that clients take part in.
type cell struct {
	name  string
	title string
	kind  kind
	tls   bool
	conns int
	nginx bool // answered by nginx
}

var cells = slices.Concat(httpCells, pipelineCells, wsCells, h2Cells)

var httpCells = []cell{
	{"get-1", "GET 100 B, 1 connection", kindGet, false, 1, false},
	{"get-64", "GET 100 B, 64 connections", kindGet, false, 64, false},
	{"get-1000", "GET 100 B, 1,000 connections", kindGet, false, 1000, false},
	{"nginx-get-64", "GET 100 B from nginx, 64 connections", kindGet, false, 64, true},
	{"json-1", "POST 1 KiB JSON and decode 1 KiB, 1 connection", kindJSON, false, 1, false},
	{"json-64", "POST 1 KiB JSON and decode 1 KiB, 64 connections", kindJSON, false, 64, false},
	{"download", "Download, reads of 64 KiB", kindDownload, false, 1, false},
	{"copy", "Download, io.Copy to io.Discard", kindCopy, false, 1, false},
	{"save", "Download, io.Copy to a file", kindSave, false, 1, false},
	{"upload-file", "Upload of a file", kindUploadFile, false, 1, false},
	{"upload", "Upload of a reader, chunked", kindUpload, false, 1, false},
	{"tls-get-64", "GET 100 B over TLS, 64 connections", kindGet, true, 64, false},
	{"tls-download", "Download over TLS, reads of 64 KiB", kindDownload, true, 1, false},
	{"tls-copy", "Download over TLS, io.Copy to io.Discard", kindCopy, true, 1, false},
	{"tls-upload-file", "Upload of a file over TLS", kindUploadFile, true, 1, false},
	{"tls-upload", "Upload of a reader over TLS, chunked", kindUpload, true, 1, false},
	{"tls-connect", "GET 100 B, a new TLS connection each", kindConnect, true, 1, false},
	{"tls-resume", "GET 100 B, a new TLS connection each, session resumed", kindResume, true, 1, false},
	{"idle", "Idle connections", kindIdle, false, 0, false},
	{"tls-idle", "Idle connections over TLS", kindIdle, true, 0, false},
}
