package transfer

import (
	"errors"
	"sync/atomic"
)

// Why a body cannot be read.
var (
	ErrClosed = errors.New("read from a closed response body")
	ErrInUse  = errors.New("response body is read by two goroutines at once")
)

// Use is who uses a response's body: one goroutine reads, any may close. Whoever
// comes first, the Read or the Close that it gets in its way, decides who cleans
// up: Close itself, or that Read when it returns. The zero value is a body that
// nobody reads.
type Use struct{ bits atomic.Uint32 }

const (
	busy     = 1 << iota // a Read or WriteTo is running
	closed               // Close was called
	released             // the exchange has no more to do with its connection
)

// Enter begins a Read or WriteTo; if it succeeds [Use.Leave] must follow.
func (u *Use) Enter() error {
	old := u.bits.Or(busy)
	switch {
	case old&busy != 0:
		return ErrInUse
	case old&closed != 0:
		u.bits.And(^uint32(busy))
		return ErrClosed
	}
	return nil
}

// Leave ends it. If there was a Close meanwhile it is for the caller to clean up.
func (u *Use) Leave() (closedMeanwhile bool) { return u.bits.And(^uint32(busy))&closed != 0 }

// Close notes that the body is closed. first tells that it was not before, and
// read that a goroutine reads: if none does, it is for the first Close to clean up.
// done is what Released reports at this moment.
func (u *Use) Close() (first, read, done bool) {
	old := u.bits.Or(closed)
	return old&closed == 0, old&busy != 0, old&released != 0
}

// Closed reports whether the body was closed.
func (u *Use) Closed() bool { return u.bits.Load()&closed != 0 }

// Release notes that the exchange is done with its connection, and reports whether
// the body was closed before.
func (u *Use) Release() (wasClosed bool) { return u.bits.Or(released)&closed != 0 }

// Released reports whether Release was called.
func (u *Use) Released() bool { return u.bits.Load()&released != 0 }

// Reset makes it a zero value again.
func (u *Use) Reset() { u.bits.Store(0) }
