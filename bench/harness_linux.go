package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable tells a process of this program what it is.
const roleVariable = "GODWIT_BENCH_ROLE"

// settings of a run.
type settings struct {
	rounds   int
	duration time.Duration // of a round of small requests
	warmUp   time.Duration
	size     int64 // of bulk bodies
	idle     int   // connections; over TLS a fifth
	maxConns int   // bounds a cell's connections; 0 = no bound
	pin      string
	profile  string // directory for CPU profiles; "" = none
	only     func(cell string) bool
	client   func(name string) bool
	log      io.Writer
	program  []string // what to start for the other roles
}

// hello is the first line of a server.
type hello struct {
	Plain, TLS, H2 string
	Roots, Key     []byte // PEM
}

// harness runs the cells.
type harness struct {
	settings
	server *process
	other  string // the address of nginx while it runs
	hello  hello
	dir    string
}

// outcome is a client's part in a cell: one result each round, none if it
// cannot take part.
type outcome struct {
	cell   cell
	client string
	rounds []result
	calls  float64 // system calls a request; negative = not known
}

// run returns what it has measured even if some of it failed.
func (h *harness) run() (outcomes []outcome, failed error) {
	var err error
	if h.dir, err = os.MkdirTemp("", "godwit-bench"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(h.dir)
	if err := h.makeFile(); err != nil {
		return nil, err
	}
	if h.server, err = h.start("server", 0); err != nil {
		return nil, err
	}
	defer h.server.stop()
	if err := h.server.receive(&h.hello); err != nil {
		return nil, err
	}
	for _, c := range cells {
		if !h.only(c.name) || c.nginx && !hasNginx() {
			continue
		}
		begin := time.Now()
		done, err := h.cell(c)
		outcomes = append(outcomes, done...)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
		}
		fmt.Fprintf(h.log, "%s: %s\n", c.name, time.Since(begin).Round(time.Millisecond))
	}
	return outcomes, failed
}

// makeFile makes the file to upload; it stays in the page cache.
func (h *harness) makeFile() error {
	f, err := os.Create(filepath.Join(h.dir, "upload"))
	if err != nil {
		return err
	}
	defer f.Close()
	for left := h.size; left > 0; left -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(left, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}

func (h *harness) cell(c cell) (outcomes []outcome, err error) {
	if c.kind.rests() {
		return h.idleCell(c)
	}
	if c.nginx {
		other, err := h.startNginx(c)
		if err != nil {
			return nil, err
		}
		defer other.stop()
		h.other = other.addr
	}
	var running []*process
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	o := order{Duration: h.duration}
	if c.kind.bulk() {
		o = order{Requests: 1}
	}
	for _, cl := range contenders {
		if !h.client(cl.name) || !cl.takesPart(c) {
			continue
		}
		p, err := h.startClient(c, cl)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cl.name, err)
		}
		if p == nil {
			continue
		}
		running = append(running, p)
		outcomes = append(outcomes, outcome{cell: c, client: cl.name})
		warm := o
		warm.Duration, warm.First = h.warmUp, true
		if _, err := p.measure(warm); err != nil {
			return nil, fmt.Errorf("%s: %w", cl.name, err)
		}
	}
	turns := 1
	if !c.kind.bulk() {
		turns = turnsOfRound
		o.Duration /= turnsOfRound
	}
	for round := range h.rounds {
		last := make([]result, len(running))
		for turn := range turns {
			o.First = turn == 0
			for i := range running {
				i = (i + round*turns + turn) % len(running)
				if last[i], err = running[i].measure(o); err != nil {
					return nil, fmt.Errorf("%s: %w", outcomes[i].client, err)
				}
			}
		}
		for i, r := range last {
			outcomes[i].rounds = append(outcomes[i].rounds, r)
		}
	}
	o.First, o.Count = true, true
	for i := range running {
		r, err := running[i].measure(o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", outcomes[i].client, err)
		}
		outcomes[i].calls = r.Calls
	}
	return outcomes, nil
}

// turnsOfRound is how many turns a client takes in a round of small requests. What
// disturbs a machine comes and goes within seconds: who takes short turns with the
// others meets the same of it as they do.
const turnsOfRound = 5

// idleCell runs one client after the other: a server has so many descriptors.
func (h *harness) idleCell(c cell) (outcomes []outcome, failed error) {
	for _, cl := range contenders {
		if !h.client(cl.name) || !cl.takesPart(c) {
			continue
		}
		p, err := h.startClient(c, cl)
		if err != nil {
			return outcomes, fmt.Errorf("%s: %w", cl.name, err)
		}
		if p == nil {
			continue
		}
		r, err := p.measure(order{})
		p.stop()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", cl.name, err))
			continue
		}
		outcomes = append(outcomes, outcome{cell: c, client: cl.name, rounds: []result{r}})
	}
	return outcomes, failed
}

// startClient returns nil if the client cannot take part.
func (h *harness) startClient(c cell, cl contender) (*process, error) {
	p, err := h.start("client", 1)
	if err != nil {
		return nil, err
	}
	e := env{
		Client: cl.name, Kind: c.kind, TLS: c.tls, Conns: c.conns, Addr: h.hello.Plain, Roots: h.hello.Roots, Size: h.size,
		File: filepath.Join(h.dir, "upload"), Sink: filepath.Join(h.dir, "sink"),
	}
	if h.maxConns > 0 {
		e.Conns = min(e.Conns, h.maxConns)
	}
	if h.profile != "" {
		e.Profile = filepath.Join(h.profile, c.name+"."+cl.name+".prof")
	}
	switch {
	case c.nginx:
		e.Addr = h.other
	case c.kind.isH2():
		e.Addr = h.hello.H2
	case c.tls:
		e.Addr = h.hello.TLS
	}
	if c.kind.rests() {
		if e.Barrier = h.idle; c.tls {
			e.Barrier = max(h.idle/5, 1)
		}
	}
	r, err := p.ask(e)
	if err != nil || r.Absent {
		p.stop()
		return nil, err
	}
	return p, nil
}

// process is another process of this program.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start starts a process on the CPU that h.pin says: the second one is for
// clients if they are to be apart from the server.
func (h *harness) start(role string, cpu int) (*process, error) {
	cmd := exec.Command(h.program[0], h.program[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.pinned(cpu, cmd.Start); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 1<<20)
	return p, nil
}

// pinned runs f on a thread that is bound to a CPU, which a child inherits.
func (h *harness) pinned(cpu int, f func() error) error {
	if h.pin == "none" {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	if h.pin == "same" {
		cpu = 0
	}
	nth := cpu % all.Count()
	for i := 0; ; i++ {
		if all.IsSet(i) {
			if nth--; nth < 0 {
				one.Set(i)
				break
			}
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &all)
	return f()
}

func (p *process) receive(v any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the process ended"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), v)
}

// ask sends one line and takes one.
func (p *process) ask(v any) (r result, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return r, err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return r, err
	}
	if err := p.receive(&r); err != nil {
		return r, err
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

func (p *process) measure(o order) (result, error) { return p.ask(o) }

// stop ends the process by the end of its input, and by force if that is not
// heard.
func (p *process) stop() {
	p.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.cmd.Wait()
}

// play is what the process does if its role is not the harness's.
func play(role string) error {
	if role == "client" {
		return serveClient(os.Stdin, os.Stdout)
	}
	plain, err := newEpollServer()
	if err != nil {
		return err
	}
	secure, err := newTLSServer()
	if err != nil {
		return err
	}
	both, err := newH2Server(secure)
	if err != nil {
		return err
	}
	h := hello{
		Plain: fmt.Sprint("127.0.0.1:", plain.port), TLS: secure.listener.Addr().String(), H2: both.listener.Addr().String(),
		Roots: secure.roots, Key: secure.key,
	}
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	failed := make(chan error, 4)
	go func() { failed <- plain.run() }()
	go func() { failed <- secure.run() }()
	go func() { failed <- both.run() }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	return <-failed
}
