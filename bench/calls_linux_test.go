package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestCountCalls: where the kernel lets us, each call counts, of old threads and new.
func TestCountCalls(t *testing.T) {
	c := countCalls()
	defer c.close()
	if c == nil {
		if n := c.total(); n != -1 || callsText(n) != "–" {
			t.Errorf("without rights: %v, %q", n, callsText(n))
		}
		return
	}
	const each, threads = 1_000, 4
	before := c.total()
	done := make(chan bool)
	for range threads {
		go func() {
			for range each {
				unix.Getppid()
			}
			done <- true
		}()
	}
	for range threads {
		<-done
	}
	if n := c.total() - before; n < each*threads || n > 2*each*threads {
		t.Errorf("%v system calls were counted, want %d or a few more", n, each*threads)
	}
}
