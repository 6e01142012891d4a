package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
)

// Writer returns a body that write produces; length is -1 if it is not known.
// write is called once for each attempt, so it must start from the beginning
// again; wrap the Content in [Once] if it cannot. Its error, io.EOF too, or a
// panic in it turned into an error, ends the request.
//
// Where the engine allows it write runs in the sending goroutine and w is the
// connection's own writer. Otherwise it runs in a goroutine of its own, which
// ends before the body's Close returns: Close cancels ctx and lets w fail, and
// write must then return.
func Writer(write func(ctx context.Context, w io.Writer) error, contentType string, length int64) Content {
	if write == nil {
		return unsendable{errors.New("content: Writer was given no function")}
	}
	return Opener(func(ctx context.Context) (io.ReadCloser, error) {
		ctx, cancel := context.WithCancel(ctx)
		return &writerBody{write: write, ctx: ctx, cancel: cancel}, nil
	}, contentType, length)
}

// writerBody runs a writer function: directly on the writer given to WriteTo,
// or behind a pipe once Read is called. One goroutine at a time reads it; Close
// may come from any.
type writerBody struct {
	write  func(context.Context, io.Writer) error
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows
	closed bool
	began  bool
	pipe   *io.PipeReader // nil until Read starts write
	done   chan struct{}  // closed when write has returned behind the pipe
	result error          // what WriteTo ended with; io.EOF if all went well
}

var (
	_ io.WriterTo   = (*writerBody)(nil)
	_ io.ReadCloser = (*writerBody)(nil)
)

func (b *writerBody) Read(p []byte) (int, error) {
	pipe, err := b.start()
	if err != nil {
		return 0, err
	}
	return pipe.Read(p)
}

// start starts write behind a pipe, unless it runs or ran already.
func (b *writerBody) start() (*io.PipeReader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, io.ErrClosedPipe
	case b.pipe != nil:
		return b.pipe, nil
	case b.result != nil:
		return nil, b.result
	case b.began:
		return nil, errors.New("content: Read during WriteTo")
	}
	b.began = true
	r, w := io.Pipe()
	b.pipe, b.done = r, make(chan struct{})
	go func() {
		defer close(b.done)
		// Runs after runtime.Goexit too, which leaves err as it is here.
		err := errors.New("content: the writer function ended its goroutine")
		defer func() { w.CloseWithError(err) }()
		err = b.run(fullWrites{w})
	}()
	return r, nil
}

// fullWrites leaves out writes of nothing, which a pipe would pass on as reads of
// nothing.
type fullWrites struct{ *io.PipeWriter }

func (w fullWrites) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return w.PipeWriter.Write(p)
}

func (b *writerBody) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	if b.closed || b.began {
		pipe, result := b.pipe, b.result
		b.mu.Unlock()
		switch {
		case pipe != nil:
			return io.Copy(w, pipe)
		case result == io.EOF:
			return 0, nil
		case result != nil:
			return 0, result
		}
		return 0, io.ErrClosedPipe
	}
	b.began = true
	b.mu.Unlock()

	cw := &countingWriter{w: w}
	err := b.run(cw)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.result = err; err == nil {
		b.result = io.EOF
	}
	return cw.n, err
}

// run calls write and turns a panic into an error. io.EOF, which the engine would
// take for the end of the body, becomes another one.
func (b *writerBody) run(w io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("content: the writer function panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if err = b.write(b.ctx, w); err == io.EOF {
		err = fmt.Errorf("content: the writer function returned io.EOF: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// Close stops write and, if it runs behind the pipe, waits for its return.
func (b *writerBody) Close() error {
	b.cancel()
	b.mu.Lock()
	b.closed = true
	pipe, done := b.pipe, b.done
	b.mu.Unlock()
	if pipe != nil {
		pipe.Close()
		<-done
	}
	return nil
}

// countingWriter counts what goes through it and hands large copies on to w.
type countingWriter struct {
	w io.Writer
	n int64
	// wrote is called after each write with the sum so far; may be nil.
	wrote func(n int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.add(int64(n))
	return n, err
}

func (c *countingWriter) WriteString(s string) (int, error) {
	n, err := io.WriteString(c.w, s)
	c.add(int64(n))
	return n, err
}

// copyChunk is how much of a ReadFrom may pass before it is counted.
const copyChunk = 1 << 20

// ReadFrom copies in chunks, each by w's own ReadFrom if it has one, so that
// sendfile stays possible and progress is still seen.
func (c *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	var sum int64
	for {
		n, err := io.Copy(c.w, &io.LimitedReader{R: r, N: copyChunk})
		sum += n
		if n > 0 {
			c.add(n)
		}
		if err != nil || n < copyChunk {
			return sum, err
		}
	}
}

func (c *countingWriter) add(n int64) {
	c.n += n
	if c.wrote != nil {
		c.wrote(c.n)
	}
}
