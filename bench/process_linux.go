package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the harness tells a client's process to do: one line of JSON.
type order struct {
	Duration time.Duration // for small requests
	Requests int           // for bulk
}

// result is what it answers. For kindIdle the figures are per connection.
type result struct {
	Err      string `json:",omitempty"`
	Absent   bool   `json:",omitempty"` // the client cannot do it
	Requests int64
	CPU      float64 // µs a request
	Wall     float64 // seconds
	P50, P99 float64 // µs
	Allocs   float64 // a request
	Bytes    float64 // allocated for a request
	IOCalls  float64 // read and write system calls a request; recv and epoll are not among them

	Heap, Stack, RSS, Goroutines float64 // of an idle connection
}

// serveClient is the main function of a client's process.
func serveClient(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return errors.New("no instructions")
	}
	var e env
	if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
		return err
	}
	c, ok := contenderByName(e.Client)
	if !ok {
		return fmt.Errorf("there is no client %q", e.Client)
	}
	newTask, err := c.make(&e)
	if err != nil {
		return answers.Encode(result{Err: err.Error()})
	}
	if newTask == nil {
		return answers.Encode(result{Absent: true})
	}
	if err := answers.Encode(result{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	workers := newWorkers(ctx, max(e.Conns, 1), newTask)
	if e.Profile != "" {
		stop, err := startProfile(e.Profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		var r result
		if e.Kind.rests() {
			// What a context keeps of those who registered with it is not theirs.
			r, err = measureIdle(context.Background(), newTask, e.Barrier, e.Kind == kindWSIdle)
		} else {
			r, err = measure(workers, o)
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

func startProfile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, pprof.StartCPUProfile(f)
}

// worker repeats its task; its context is its own and can be cancelled.
type worker struct {
	ctx       context.Context
	do        task
	latencies histogram
	done      int64
	err       error
}

func newWorkers(ctx context.Context, n int, newTask func() task) []*worker {
	workers := make([]*worker, n)
	for i := range workers {
		own, cancel := context.WithCancel(ctx)
		context.AfterFunc(ctx, cancel)
		workers[i] = &worker{ctx: own, do: newTask()}
	}
	return workers
}

// measure lets the workers run for the time or the number of requests ordered.
func measure(workers []*worker, o order) (result, error) {
	runtime.GC()
	var stop atomic.Bool
	var wg sync.WaitGroup
	before, begin := usage(), time.Now()
	if o.Requests == 0 {
		timer := time.AfterFunc(o.Duration, func() { stop.Store(true) })
		defer timer.Stop()
	}
	for _, w := range workers {
		wg.Go(func() {
			w.done, w.err = 0, nil
			w.latencies.reset()
			for more := true; more; more = w.err == nil && !stop.Load() && w.done != int64(o.Requests) {
				start := time.Now()
				w.err = w.do(w.ctx)
				w.latencies.add(time.Since(start))
				w.done++
			}
		})
	}
	wg.Wait()
	wall, after := time.Since(begin), usage()
	var all histogram
	var n int64
	for _, w := range workers {
		if w.err != nil {
			return result{}, w.err
		}
		n += w.done
		all.merge(&w.latencies)
	}
	per := 1 / float64(n)
	return result{
		Requests: n, Wall: wall.Seconds(),
		CPU:    float64((after.cpu - before.cpu).Nanoseconds()) / 1e3 * per,
		P50:    all.quantile(0.5),
		P99:    all.quantile(0.99),
		Allocs: float64(after.allocs-before.allocs) * per, Bytes: float64(after.bytes-before.bytes) * per,
		IOCalls: float64(after.calls-before.calls) * per,
	}, nil
}

type used struct {
	cpu                  time.Duration
	allocs, bytes, calls uint64
}

// usage is what the process has used so far.
func usage() used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := used{allocs: m.Mallocs, bytes: m.TotalAlloc}
	if b, err := os.ReadFile("/proc/self/io"); err == nil {
		for line := range strings.Lines(string(b)) {
			var n uint64
			if _, err := fmt.Sscanf(line, "syscr: %d", &n); err == nil {
				u.calls += n
			} else if _, err := fmt.Sscanf(line, "syscw: %d", &n); err == nil {
				u.calls += n
			}
		}
	}
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) == nil {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return u
}

// measureIdle opens n connections at once, by requests that the server answers
// when all are there, and looks at what is left of them afterwards. inTurn opens
// them one after the other.
func measureIdle(ctx context.Context, newTask func() task, n int, inTurn bool) (result, error) {
	if !inTurn {
		park(n)
	}
	before := settle()
	errs := make(chan error, n)
	for range n {
		do := newTask()
		if inTurn {
			errs <- do(ctx)
			continue
		}
		go func() { errs <- do(ctx) }()
	}
	for range n {
		if err := <-errs; err != nil {
			return result{}, err
		}
	}
	after := settle()
	per := 1 / float64(n)
	return result{
		Requests: int64(n),
		Heap:     float64(after.heap-before.heap) * per,
		Stack:    float64(after.stack-before.stack) * per,
		RSS:      float64(after.rss-before.rss) * per, Goroutines: float64(after.goroutines-before.goroutines) * per,
	}, nil
}

// park lets n goroutines run and end: the runtime keeps some 440 B of each for
// the next one, which are not the connections'.
func park(n int) {
	var all sync.WaitGroup
	release := make(chan struct{})
	for range n {
		all.Go(func() { <-release })
	}
	close(release)
	all.Wait()
}

type footprint struct{ heap, stack, rss, goroutines int64 }

// settle gives back what is free and returns the rest.
func settle() footprint {
	for range 3 { // what is in a sync.Pool survives one collection
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{heap: int64(m.HeapAlloc), stack: int64(m.StackInuse), goroutines: int64(runtime.NumGoroutine())}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident int64
		fmt.Sscan(string(b), &size, &resident)
		f.rss = resident * int64(os.Getpagesize())
	}
	return f
}

// histogram counts durations in steps of 1/16 of their magnitude.
type histogram struct {
	counts [64 * 16]uint32
	total  uint64
}

func (h *histogram) reset() { *h = histogram{} }

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 1)))]++
	h.total++
}

func bucket(n uint64) int {
	if n < 16 {
		return int(n)
	}
	shift := 0
	for n >= 32 {
		n >>= 1
		shift++
	}
	return (shift+1)*16 + int(n-16)
}

// lower is the smallest duration of a bucket, in nanoseconds.
func lower(i int) float64 {
	if i < 16 {
		return float64(i)
	}
	return float64(uint64(16+i%16) << (i/16 - 1))
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns µs.
func (h *histogram) quantile(q float64) float64 {
	want, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += uint64(n); seen > want {
			return lower(i) / 1e3
		}
	}
	return 0
}
