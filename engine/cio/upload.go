package cio

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/recovered"
)

// upload writes a request's body in a goroutine of its own, while the owner of
// the exchange waits for the response.
//
// The source is read by this goroutine only, and closed by it. When the exchange
// ends early the owner closes the connection, which ends a write, and if a read
// of the source does not end by itself, the source, which ends that of a pipe or
// a socket. If even that does not help, the owner goes on: a read that ignores
// Close cannot be stopped, but there is none after it.
type upload struct {
	x      *exchange
	source *source
	length int64 // or h1.Chunked

	last atomic.Bool   // the last bytes are being written
	sent atomic.Bool   // all of the body is written
	done chan struct{} // closed when the goroutine ends

	mu    sync.Mutex // guards what follows
	ended bool       // the owner needs no more of it
	err   error      // why the body could not be sent, though the connection could
}

// How long the owner waits for the goroutine.
const (
	patienceLast  = 50 * time.Millisecond  // for the end of the last write, if the answer is complete
	patienceRead  = 10 * time.Millisecond  // for a read of the source, before that is closed
	patienceClose = 100 * time.Millisecond // after it was closed
)

func (x *exchange) startUpload(s *source, length int64) {
	u := &upload{x: x, source: s, length: length, done: make(chan struct{})}
	u.last.Store(length == 0) // the head is all there is to send
	x.upload = u
	x.engine.start(u.run)
}

func (u *upload) run() {
	defer close(u.done)
	defer u.source.Close()
	err := error(&sourceError{recovered.ErrExited}) // if send does not return
	defer func() { u.end(err) }()
	err = u.send()
}

// send sends the body. A panic in the body's own code becomes an error: in this
// goroutine it would end the program.
func (u *upload) send() (err error) {
	returned := false
	defer func() {
		if !returned {
			err = &sourceError{recovered.Error("the request's body", recover())}
		}
	}()
	if u.length == h1.Chunked {
		err = u.chunks()
	} else {
		err = u.exactly()
	}
	returned = true
	return err
}

// end reports how the sending ended.
func (u *upload) end(err error) {
	u.trace(err)
	if err == nil {
		return
	}
	if _, ok := err.(*sourceError); ok {
		u.fail(err.(*sourceError).err)
	}
	// A failed write is not the end: the server may have answered before it
	// closed its side, and the owner reads that.
}

// sourceError is an error that is not the connection's.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// trace reports the end of the request.
func (u *upload) trace(err error) {
	t := u.x.req.Trace
	if t == nil || t.WroteRequest == nil {
		return
	}
	u.x.traceMu.Lock()
	defer u.x.traceMu.Unlock()
	if !u.over() {
		t.WroteRequest(err)
	}
}

// fail breaks the exchange: what was sent must not look like a whole request.
func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.err = wrap(engine.OpSend, err)
		u.x.conn.shut()
	}
}

// failure returns why the body could not be sent, nil if that was not the cause.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) over() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// complete tells that the last byte was written.
func (u *upload) complete() {
	u.sent.Store(true)
	u.x.clock.requestSent(u.x.conn)
}

// finish ends the upload and reports whether all was sent. After it the source
// is not read any more. With wait, an upload that is about to end is given the
// time for it; one that is not complete loses its connection.
func (u *upload) finish(wait bool) bool {
	if wait && u.last.Load() && !u.sent.Load() {
		u.within(patienceLast)
	}
	u.mu.Lock()
	u.ended = true
	failed := u.err != nil
	u.mu.Unlock()
	complete := u.sent.Load() && !failed
	if !complete {
		u.x.conn.shut()
	}
	if !u.within(patienceRead) {
		u.source.Close()
		u.within(patienceClose)
	}
	return complete
}

// within waits for the goroutine to end.
func (u *upload) within(d time.Duration) bool {
	select {
	case <-u.done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-u.done:
		return true
	case <-timer.C:
		return false
	}
}

// chunks sends the body in chunks: each Read of the source is one, framed where
// it stands and written at once.
func (u *upload) chunks() error {
	const tail = 2
	bulk := getBulk()
	defer putBulk(bulk)
	for {
		n, err := u.source.Read(bulk[h1.ChunkHeadSize : len(bulk)-tail-lastChunkRoom])
		if u.over() {
			return errBodyClosed
		}
		piece := bulk[h1.ChunkHeadSize:h1.ChunkHeadSize]
		if n > 0 {
			start := h1.PutChunkHead(bulk[:], n)
			piece = append(bulk[start:h1.ChunkHeadSize+n], "\r\n"...)
		}
		if err != nil && err != io.EOF {
			return &sourceError{err}
		}
		if err == io.EOF {
			if piece, err = h1.AppendLastChunk(piece, u.x.trailers()); err != nil {
				return &sourceError{err}
			}
			u.last.Store(true)
			if err := u.x.write(piece); err != nil {
				return err
			}
			u.complete()
			return nil
		}
		if len(piece) > 0 {
			if err := u.x.write(piece); err != nil {
				return err
			}
		}
	}
}

// lastChunkRoom leaves room for the last chunk without trailers.
const lastChunkRoom = len("0\r\n\r\n")

// exactly sends a body of known length.
func (u *upload) exactly() error {
	switch {
	case u.source.inMemory:
		if int64(len(u.source.data)) != u.length {
			return &sourceError{wrong(int64(len(u.source.data)) > u.length)}
		}
		for data := u.source.data; len(data) > 0; {
			piece := data[:min(len(data), maxPiece)]
			data = data[len(piece):]
			u.last.Store(len(data) == 0)
			if err := u.x.write(piece); err != nil {
				return err
			}
		}
		u.complete()
		return nil
	case u.canSendfile():
		if err := u.sendfile(); err != nil {
			return err
		}
	default:
		if err := u.copy(); err != nil {
			return err
		}
	}
	u.complete()
	return u.noMore()
}

// maxPiece bounds one write of a large body.
const maxPiece = 1 << 20

func wrong(longer bool) error {
	if longer {
		return errLongBody
	}
	return errShortBody
}

// copy sends the body through a buffer.
func (u *upload) copy() error {
	bulk := getBulk()
	defer putBulk(bulk)
	for left := u.length; left > 0; {
		n, err := u.source.Read(bulk[:])
		switch {
		case u.over():
			return errBodyClosed
		case int64(n) > left:
			return &sourceError{errLongBody}
		case err == io.EOF && int64(n) < left:
			return &sourceError{errShortBody}
		case err != nil && err != io.EOF:
			return &sourceError{err}
		}
		left -= int64(n)
		u.last.Store(left == 0)
		if err := u.x.write(bulk[:n]); err != nil {
			return err
		}
	}
	return nil
}

// noMore checks that the source ends where its length says. All is sent by now,
// so that a source which keeps quiet holds up nothing but this goroutine.
func (u *upload) noMore() error {
	var b [1]byte
	for {
		n, err := u.source.Read(b[:])
		switch {
		case n > 0:
			return &sourceError{errLongBody}
		case err == io.EOF || u.over():
			return nil
		case err != nil:
			return &sourceError{err}
		}
	}
}

// canSendfile reports whether the kernel can move the body from a file to the
// connection.
func (u *upload) canSendfile() bool {
	_, file := u.source.reader.(*os.File)
	_, tcp := u.x.conn.Conn.Conn.(*net.TCPConn)
	return file && tcp && u.length > 0
}

// sendfile sends the body from a file by the kernel, a piece at a time.
func (u *upload) sendfile() error {
	file := u.source.reader.(*os.File)
	for left := u.length; left > 0; {
		u.last.Store(left <= filePiece)
		n, err := u.x.readFrom(io.LimitedReader{R: file, N: min(left, filePiece)})
		left -= n
		if err != nil {
			return err
		}
		if n == 0 {
			return &sourceError{errShortBody}
		}
		if u.over() {
			return errBodyClosed
		}
	}
	return nil
}

// filePiece is how much of a file the kernel is asked to send at a time.
const filePiece = 4 << 20

// source is an opened body. Close may be called by two goroutines; it closes
// once.
type source struct {
	data     []byte
	inMemory bool
	reader   io.ReadCloser
	once     sync.Once
}

// Read reads from a body that is not in memory, or is to be framed by chunks.
func (s *source) Read(p []byte) (int, error) {
	if !s.inMemory {
		return s.reader.Read(p)
	}
	n := copy(p, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the body. Its error says nothing about the request.
func (s *source) Close() error {
	s.once.Do(func() {
		if s.reader != nil {
			s.reader.Close()
		}
	})
	return nil
}
