package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Source is an opened body. One goroutine reads it. Close may be called by two; it
// closes once.
type Source struct {
	Data     []byte
	InMemory bool          // Data is all of it
	Reader   io.ReadCloser // else
	once     sync.Once
	vain     int // Reads without a result, one after the other
}

// Read reads from a body that is not in memory, or is to be framed. It holds the
// body's own Read to what io.Reader says: a wrong count would send what else is in
// p, and one that yields nothing for ever would take a processor.
func (s *Source) Read(p []byte) (int, error) {
	if !s.InMemory {
		n, err := s.Reader.Read(p)
		switch s.vain++; {
		case n < 0 || n > len(p):
			return 0, fmt.Errorf("the Read of the request's body returned %d for a buffer of %d bytes", n, len(p))
		case n > 0 || err != nil || len(p) == 0:
			s.vain = 0
		case s.vain == maxVain:
			return 0, fmt.Errorf("the request's body: %w", io.ErrNoProgress)
		}
		return n, err
	}
	n := copy(p, s.Data)
	if s.Data = s.Data[n:]; len(s.Data) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// maxVain is how often in a row a Read may return no bytes and no error, as many
// times as in package bufio.
const maxVain = 100

// Close closes the body. The body's own error says nothing about the request; what
// Close returns is a panic in it.
func (s *Source) Close() (err error) {
	s.once.Do(func() {
		defer func() {
			if p := recover(); p != nil {
				err = recovered.Error("the Close of the request's body", p)
			}
		}()
		if s.Reader != nil {
			s.Reader.Close()
		}
	})
	return err
}

// Open opens a request's body before anything of the request is sent. One that is
// not in memory may take its time for that, which neither the end of ctx nor limit
// waits for; when it is open at last, it is closed. Go starts the goroutine for it.
// A body that says to be empty is held to that: nobody else would read it.
func Open(ctx context.Context, body content.Content, limit Due, start func(func())) (*Source, error) {
	if data, ok := content.BytesOf(body); ok {
		return &Source{Data: data, InMemory: true}, nil
	}
	var expired <-chan time.Time
	if !limit.At.IsZero() {
		timer := time.NewTimer(time.Until(limit.At))
		defer timer.Stop()
		expired = timer.C
	}
	type opened struct {
		source *Source
		err    error
	}
	done, over := make(chan opened), make(chan struct{})
	defer close(over)
	start(func() {
		o := opened{err: recovered.ErrExited}
		defer func() {
			select {
			case done <- o:
			case <-over:
				if o.source != nil {
					o.source.Close()
				}
			}
		}()
		o.source, o.err = open(ctx, body)
	})
	var err error
	select {
	case o := <-done:
		if o.err == nil {
			return o.source, nil
		}
		err = o.err
	case <-ctx.Done():
		err = ctxerr.Of(ctx)
	case <-expired:
		err = limit.Err()
	}
	return nil, &engine.OpError{Op: engine.OpSend, Err: err}
}

func open(ctx context.Context, body content.Content) (s *Source, err error) {
	returned := false
	defer func() {
		if !returned {
			s, err = nil, recovered.Error("the request's body", recover())
		}
	}()
	r, err := body.Open(ctx)
	if err == nil {
		s = &Source{Reader: r}
		if body.ContentLength() == 0 {
			s, err = nothing(s)
		}
	}
	returned = true
	return s, err
}

// nothing makes sure that a source has no bytes.
func nothing(s *Source) (none *Source, err error) {
	defer func() {
		if fault := s.Close(); err == nil {
			err = fault
		}
	}()
	var b [1]byte
	for {
		n, err := s.Read(b[:])
		switch {
		case n > 0:
			return nil, ErrLong
		case err == io.EOF:
			return &Source{InMemory: true}, nil
		case err != nil:
			return nil, err
		}
	}
}
