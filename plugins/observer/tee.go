package observer

import (
	"io"
	"sync"
)

// tee passes a body on and lets the side have what went through.
type tee struct {
	body   io.ReadCloser
	side   *side
	length int64 // as announced, -1 = unknown
	read   int64
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	t.read += int64(n)
	t.side.put(p[:n])
	if err != nil {
		t.side.end(err)
	}
	return n, err
}

// WriteTo keeps the body's own way to copy.
func (t *tee) WriteTo(w io.Writer) (int64, error) {
	out := &teeWriter{w: w, t: t}
	n, err := io.Copy(out, t.body)
	switch {
	case out.err != nil: // the caller's writer: the body may be read on
	case err != nil:
		t.side.end(err)
	default:
		t.side.end(io.EOF)
	}
	return n, err
}

type teeWriter struct {
	w   io.Writer
	t   *tee
	err error
}

func (w *teeWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if n >= 0 && n <= len(p) {
		w.t.read += int64(n)
		w.t.side.put(p[:n])
	}
	if err != nil {
		w.err = err
	}
	return n, err
}

func (t *tee) Close() error {
	if t.length >= 0 && t.read == t.length {
		t.side.end(io.EOF)
	} else {
		t.side.end(ErrClosed)
	}
	return t.body.Close()
}

// side is the buffer between the caller, who never waits, and the handler, who
// does. It is safe for concurrent use.
type side struct {
	limit int

	mu   sync.Mutex // guards what follows
	data []byte
	err  error // what follows data, once it is known
	gone bool  // the handler has returned
	wake chan struct{}
}

func newSide(limit int) *side { return &side{limit: limit, wake: make(chan struct{}, 1)} }

// put takes a copy of p, or gives up for good if there is no room: the copy has
// no gaps.
func (s *side) put(p []byte) {
	if len(p) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.err != nil {
		return
	}
	if len(s.data)+len(p) > s.limit {
		s.err = ErrOverrun
	} else {
		s.data = append(s.data, p...)
	}
	s.signal()
}

// end says what follows the data; the first time counts.
func (s *side) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.signal()
	}
}

func (s *side) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone, s.data = true, nil
}

func (s *side) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Read waits until there is something to read, or the end.
func (s *side) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n, err := s.take(p); n > 0 || err != nil {
			return n, err
		}
		<-s.wake
	}
}

func (s *side) take(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(p, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		s.data = nil // let the array go
		if n == 0 {
			return 0, s.err
		}
	}
	return n, nil
}
