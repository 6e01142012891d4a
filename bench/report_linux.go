package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// metric is a figure of a result.
type metric func(result) float64

func cpu(r result) float64    { return r.CPU }
func wall(r result) float64   { return r.Wall } // with -pin same: the CPU of client and server
func allocs(r result) float64 { return r.Allocs }
func heap(r result) float64   { return r.Heap }
func rss(r result) float64    { return r.RSS }
func routines(r result) float64 {
	return r.Goroutines
}

// of returns the median of a figure over the rounds.
func (o *outcome) of(m metric) float64 {
	values := o.sorted(m)
	if len(values) == 0 {
		return 0
	}
	return values[len(values)/2]
}

func (o *outcome) sorted(m metric) []float64 {
	values := make([]float64, 0, len(o.rounds))
	for _, r := range o.rounds {
		values = append(values, m(r))
	}
	slices.Sort(values)
	return values
}

// spread is the range of the middle rounds (3 of 5) around the median, in per
// cent.
func (o *outcome) spread(m metric) float64 {
	values := o.sorted(m)
	n := len(values)
	if n < 3 {
		return 0
	}
	return 50 * (values[n-1-n/5] - values[n/5]) / values[n/2]
}

// find returns a client's part in a cell, nil if it took none.
func find(outcomes []outcome, cell, client string) *outcome {
	for i := range outcomes {
		if o := &outcomes[i]; o.cell.name == cell && o.client == client {
			return o
		}
	}
	return nil
}

// report renders what was measured in Markdown.
func report(s settings, outcomes []outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d CPUs, %s, %s, Linux %s. Pinned: %s. %d rounds; small requests for %s each, bulk bodies of %s. Load average at the end: %s.\n",
		processor(), runtime.NumCPU(), memory(), runtime.Version(), kernel(), s.pin, s.rounds, s.duration, bytesText(s.size), load())
	b.WriteString("\n## Targets\n\n")
	writeTargets(&b, outcomes)
	for _, c := range cells {
		var mine []outcome
		for _, o := range outcomes {
			if o.cell.name == c.name {
				mine = append(mine, o)
			}
		}
		if len(mine) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", c.title)
		switch {
		case c.kind.rests():
			writeIdle(&b, mine)
		case c.kind.bulk():
			writeBulk(&b, mine, s.size)
		default:
			writeSmall(&b, mine)
		}
	}
	b.WriteString("\n## Clients\n\n| name | what it is |\n|---|---|\n")
	for _, c := range contenders {
		if s.client(c.name) {
			fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.what)
		}
	}
	return b.String()
}

// reference is the client that a cell's ratios are taken against.
func reference(mine []outcome) *outcome {
	name := mine[0].cell.name
	if mine[0].cell.kind.isH2() {
		return find(mine, name, "h2-nethttp")
	}
	if mine[0].cell.kind.isWS() {
		return find(mine, name, "ws-gws")
	}
	if o := find(mine, name, "nethttp-timeout"); o != nil {
		return o
	}
	return find(mine, name, "nethttp")
}

func ratio(o, against *outcome, m metric) string {
	if against == nil || against.of(m) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", o.of(m)/against.of(m))
}

func writeSmall(b *strings.Builder, mine []outcome) {
	net, floor := reference(mine), find(mine, mine[0].cell.name, mine[0].cell.floor())
	refName := "nethttp"
	if net != nil {
		refName = net.client
	}
	fmt.Fprintf(b, "| client | CPU µs | ± | × %s | × floor | req/s | p50 µs | p99 µs | allocs | B | system calls |\n", refName)
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range mine {
		o := &mine[i]
		fmt.Fprintf(b, "| %s | %.2f | %.0f%% | %s | %s | %.0f | %.0f | %.0f | %.1f | %.0f | %s |\n", o.client, o.of(cpu), o.spread(cpu),
			ratio(o, net, cpu), ratio(o, floor, cpu), o.of(func(r result) float64 { return float64(r.Requests) / r.Wall }),
			o.of(func(r result) float64 { return r.P50 }), o.of(func(r result) float64 { return r.P99 }),
			o.of(allocs), o.of(func(r result) float64 { return r.Bytes }), callsText(o.calls))
	}
}

func writeBulk(b *strings.Builder, mine []outcome, size int64) {
	net, floor := reference(mine), find(mine, mine[0].cell.name, "floor")
	mib := float64(size) / (1 << 20)
	b.WriteString("| client | CPU µs/MiB | ± | × nethttp | × floor | MiB/s | system calls/MiB |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for i := range mine {
		o := &mine[i]
		fmt.Fprintf(b, "| %s | %.0f | %.0f%% | %s | %s | %.0f | %s |\n", o.client, o.of(cpu)/mib, o.spread(cpu),
			ratio(o, net, cpu), ratio(o, floor, cpu), o.of(func(r result) float64 { return mib / r.Wall }),
			callsText(o.calls/mib))
	}
}

func writeIdle(b *strings.Builder, mine []outcome) {
	fmt.Fprintf(b, "%d connections after one request each; figures per connection.\n\n", mine[0].rounds[0].Requests)
	b.WriteString("| client | heap B | stack B | RSS B | goroutines |\n|---|--:|--:|--:|--:|\n")
	for i := range mine {
		r := mine[i].rounds[0]
		fmt.Fprintf(b, "| %s | %.0f | %.0f | %.0f | %.1f |\n", mine[i].client, r.Heap, max(r.Stack, 0), r.RSS, r.Goroutines)
	}
}

func bytesText(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func memory() string {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
}

// load is what tells a disturbed run: on its own one makes about 1.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// The marks around what is generated.
const (
	markBegin = "<!-- generated by make bench: begin -->\n"
	markEnd   = "<!-- generated by make bench: end -->\n"
)

// replaceGenerated puts text between the marks of a file.
func replaceGenerated(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok1 := bytes.Cut(old, []byte(markBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(markEnd))
	if !ok1 || !ok2 {
		return errors.New(file + ": the marks of the generated part are missing")
	}
	return os.WriteFile(file, slices.Concat(before, []byte(markBegin+"\n"+text+"\n"+markEnd), after), 0o644)
}
