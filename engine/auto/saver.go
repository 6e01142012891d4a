package auto

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// saver writes the cache to Storage, in one goroutine at a time; changes that come
// while it writes are written together afterwards.
type saver struct {
	mu      sync.Mutex // guards what follows
	dirty   bool
	closed  bool          // what comes from now on is lost
	running chan struct{} // closed when the goroutine ends; nil = there is none
	err     error         // of the last save
}

// save has the cache saved soon.
func (e *Engine) save() {
	if e.config.Storage == nil {
		return
	}
	s := &e.saver
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.dirty = true
	if s.running == nil {
		s.running = make(chan struct{})
		go e.writeOut(s.running)
	}
}

func (e *Engine) writeOut(done chan<- struct{}) {
	defer close(done)
	s := &e.saver
	for {
		s.mu.Lock()
		if !s.dirty {
			s.running = nil
			s.mu.Unlock()
			return
		}
		s.dirty = false
		s.mu.Unlock()
		err := e.config.Storage.Save(context.WithoutCancel(e.ctx), e.cache.snapshot(time.Now()))
		if err != nil {
			err = fmt.Errorf("auto: saving to Storage: %w", err)
			e.tell(Event{Kind: Trouble, Err: err})
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
}

// flush waits for what is being saved, saves nothing any more, and returns the last
// save's error.
func (e *Engine) flush() error {
	s := &e.saver
	s.mu.Lock()
	s.closed = true
	running := s.running
	s.mu.Unlock()
	if running != nil {
		<-running
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
