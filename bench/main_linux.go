package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
		return
	}
	var (
		rounds   = flag.Int("rounds", 5, "rounds of each cell")
		duration = flag.Duration("duration", 500*time.Millisecond, "length of a round of small requests")
		size     = flag.Int64("size", 1<<30, "bytes of a bulk body")
		idle     = flag.Int("idle", 10_000, "idle connections; over TLS a fifth of them")
		pin      = flag.String("pin", "same", "same: clients and server on one CPU; split: on two; none: anywhere")
		quick    = flag.Bool("quick", false, "show that all runs, in seconds: the figures are worth nothing")
		only     = flag.String("cells", "", "regular expression of the cells to run")
		who      = flag.String("clients", "", "regular expression of the clients that take part")
		profile  = flag.String("profile", "", "write CPU profiles of the clients into this directory")
		write    = flag.String("write", "", "write the tables into this file, between its marks")
	)
	flag.Parse()
	program, err := os.Executable()
	exit(err)
	s := settings{
		rounds: *rounds, duration: *duration, warmUp: *duration / 2, size: *size, idle: *idle, pin: *pin, profile: *profile,
		only: matcher(*only), client: matcher(*who), log: os.Stderr, program: []string{program},
	}
	if *quick {
		s = s.quick()
	}
	h := &harness{settings: s}
	outcomes, failed := h.run()
	if len(outcomes) == 0 {
		exit(failed)
	}
	text := report(s, outcomes)
	fmt.Print(text)
	if *write != "" {
		exit(replaceGenerated(*write, text))
	}
	exit(failed)
}

// quick are the settings of a run that only shows that everything works.
func (s settings) quick() settings {
	s.rounds, s.duration, s.warmUp, s.size, s.idle, s.maxConns = 1, 5*time.Millisecond, time.Millisecond, 1<<20, 50, 100
	return s
}

func matcher(expression string) func(string) bool {
	if expression == "" {
		return func(string) bool { return true }
	}
	r, err := regexp.Compile("^(?:" + expression + ")$")
	exit(err)
	return r.MatchString
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
