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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the harness tells a client's process to do: one line of JSON.
type order struct {
	Duration time.Duration // for small requests
	Requests int           // for bulk
	First    bool          // a round begins
	Count    bool          // the system calls, which takes time
}

// result is what it answers: the figures of the round so far. For kindIdle they are
// per connection.
type result struct {
	Err      string `json:",omitempty"`
	Absent   bool   `json:",omitempty"` // the client cannot do it
	Requests int64
	CPU      float64 // µs a request
	Wall     float64 // seconds
	P50, P99 float64 // µs
	Allocs   float64 // a request
	Bytes    float64 // allocated for a request
	Calls    float64 // system calls a request; negative = not counted

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
	t := newTeam(ctx, max(e.Conns, 1), newTask)
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
			r, err = t.measure(o)
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

// team is the workers of a process. They live as long as it does: a worker's stack
// has grown to what its task wants.
type team struct {
	workers []*worker
	turns   sync.WaitGroup // of those who work
	stop    atomic.Bool

	// Of the round so far:
	used used
	wall time.Duration
}

// worker repeats its task; its context is its own and can be cancelled.
type worker struct {
	ctx       context.Context
	do        task
	turn      chan int // how many requests; 0 = until team.stop
	latencies histogram
	done      int64
	err       error
}

func newTeam(ctx context.Context, n int, newTask func() task) *team {
	t := &team{workers: make([]*worker, n)}
	for i := range t.workers {
		own, cancel := context.WithCancel(ctx)
		context.AfterFunc(ctx, cancel)
		w := &worker{ctx: own, do: newTask(), turn: make(chan int)}
		t.workers[i] = w
		go w.run(t)
	}
	return t
}

func (w *worker) run(t *team) {
	for requests := range w.turn {
		last := w.done + int64(requests)
		for more := true; more; more = w.err == nil && !t.stop.Load() && w.done != last {
			start := time.Now()
			w.err = w.do(w.ctx)
			w.latencies.add(time.Since(start))
			w.done++
		}
		t.turns.Done()
	}
}

// measure lets the workers run for the time or the number of requests ordered, and
// returns the figures of the round so far.
func (t *team) measure(o order) (result, error) {
	if o.First {
		runtime.GC()
		t.used, t.wall = used{}, 0
		for _, w := range t.workers {
			w.done = 0
			w.latencies.reset()
		}
	}
	var calls *callCounter
	if o.Count {
		calls = countCalls()
		defer calls.close()
	}
	t.stop.Store(false)
	before, begin := usage(), time.Now()
	if o.Requests == 0 {
		timer := time.AfterFunc(o.Duration, func() { t.stop.Store(true) })
		defer timer.Stop()
	}
	t.turns.Add(len(t.workers))
	for _, w := range t.workers {
		w.turn <- o.Requests
	}
	t.turns.Wait()
	t.wall += time.Since(begin)
	t.used.add(before, usage())
	var all histogram
	var n int64
	for _, w := range t.workers {
		if w.err != nil {
			return result{}, w.err
		}
		n += w.done
		all.merge(&w.latencies)
	}
	per := 1 / float64(n)
	return result{
		Requests: n, Wall: t.wall.Seconds(),
		CPU:    float64(t.used.cpu.Nanoseconds()) / 1e3 * per,
		P50:    all.quantile(0.5),
		P99:    all.quantile(0.99),
		Allocs: float64(t.used.allocs) * per, Bytes: float64(t.used.bytes) * per,
		Calls: calls.total() * per,
	}, nil
}

type used struct {
	cpu           time.Duration
	allocs, bytes uint64
}

// add adds what was used between two looks.
func (u *used) add(before, after used) {
	u.cpu += after.cpu - before.cpu
	u.allocs += after.allocs - before.allocs
	u.bytes += after.bytes - before.bytes
}

// usage is what the process has used so far.
func usage() used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := used{allocs: m.Mallocs, bytes: m.TotalAlloc}
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
