package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is a promise: a client's figure in a cell, relative to another
// client's or absolute, is at most limit.
type target struct {
	what    string
	cell    string
	client  string
	metric  metric
	against string // "" = the figure itself
	limit   float64
}

var targets = slices.Concat(httpTargets, pipelineTargets, wsTargets, h2Targets)

var httpTargets = []target{
	{"engine, small GET, 1 connection: CPU", "get-1", "cio", cpu, "nethttp-timeout", 0.62},
	{"engine, small GET, 64 connections: CPU", "get-64", "cio", cpu, "nethttp-timeout", 0.48},
	{"engine, small GET, 1,000 connections: CPU", "get-1000", "cio", cpu, "nethttp-timeout", 0.42},
	{"engine, small GET, 1 connection: CPU", "get-1", "cio", cpu, "fasthttp", 1.05},
	{"engine, small GET, 64 connections: CPU", "get-64", "cio", cpu, "fasthttp", 1.05},
	{"engine, small GET, 1,000 connections: CPU", "get-1000", "cio", cpu, "fasthttp", 1.05},
	{"engine, caller's WithTimeout, 1 connection: CPU", "get-1", "cio-timeout", cpu, "nethttp-timeout", 0.62},
	{"engine, caller's WithTimeout, 64 connections: CPU", "get-64", "cio-timeout", cpu, "nethttp-timeout", 0.48},
	{"engine, caller's WithTimeout, 1,000 connections: CPU", "get-1000", "cio-timeout", cpu, "nethttp-timeout", 0.42},
	{"engine, context that never ends: allocations", "get-1", "cio-plain", allocs, "", 6},
	{"engine, cancellable context: allocations", "get-1", "cio", allocs, "", 10},
	{"client, Get[[]byte], 1 connection: CPU", "get-1", "godwit", cpu, "nethttp-whole", 0.75},
	{"client, Get[[]byte], 64 connections: CPU", "get-64", "godwit", cpu, "nethttp-whole", 0.60},
	{"client, Get[[]byte], 1,000 connections: CPU", "get-1000", "godwit", cpu, "nethttp-whole", 0.52},
	{"client, Get[[]byte]: allocations", "get-1", "godwit", allocs, "nethttp-whole", 1},
	{"auth, cookies, encoding, retry, 1 connection: CPU", "get-1", "godwit-plugins", cpu, "godwit", 1.25},
	{"auth, cookies, encoding, retry, 64 connections: CPU", "get-64", "godwit-plugins", cpu, "godwit", 1.25},
	{"auth, cookies, encoding, retry, 1,000 connections: CPU", "get-1000", "godwit-plugins", cpu, "godwit", 1.25},
	{"client, JSON, 1 connection: CPU", "json-1", "godwit", cpu, "nethttp-timeout", 0.72},
	{"client, JSON, 64 connections: CPU", "json-64", "godwit", cpu, "nethttp-timeout", 0.72},
	{"download: CPU/MiB", "download", "cio", cpu, "floor", 1.05},
	{"download: CPU/MiB of client and server", "download", "cio", wall, "floor", 1.05},
	{"download, io.Copy to io.Discard: CPU/MiB", "copy", "cio", cpu, "nethttp", 0.60},
	{"upload, chunked: CPU/MiB", "upload", "cio", cpu, "nethttp", 0.70},
	{"upload of a file: CPU/MiB", "upload-file", "cio", cpu, "nethttp", 1.05},
	{"idle connection: heap, B", "idle", "cio", heap, "", 1.2 * 1024},
	{"idle connection: RSS, B", "idle", "cio", rss, "", 2.5 * 1024},
	{"idle connection: goroutines", "idle", "cio", routines, "", 0},
	{"idle TLS connection: heap, B", "tls-idle", "cio", heap, "", 8 * 1024},
	{"new TLS connection: CPU", "tls-connect", "cio", cpu, "floor", 1.05},
	{"new TLS connection, resumed: CPU", "tls-resume", "cio", cpu, "floor", 1.05},
}

// writeTargets tells which are met in this run.
func writeTargets(b *strings.Builder, outcomes []outcome) {
	b.WriteString("| target | of | against | at most | is | |\n|---|---|---|--:|--:|---|\n")
	for _, t := range targets {
		o, base := find(outcomes, t.cell, t.client), find(outcomes, t.cell, t.against)
		if o == nil || t.against != "" && (base == nil || base.of(t.metric) == 0) {
			continue // not in this run
		}
		is, against := o.of(t.metric), "–"
		if base != nil {
			is, against = is/base.of(t.metric), t.against
		}
		verdict := "met"
		if is > t.limit {
			verdict = "**missed**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", t.what, t.client, against, figure(t.limit), figure(is), verdict)
	}
}

func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
}
