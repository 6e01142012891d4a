package cio

import "io"

// UsedAgain reports whether the exchange behind a body has gone to others.
func UsedAgain(body io.Closer) bool { return body.(*answer).x == nil }

// BeginClose does the first half of a Close, and returns the other.
func BeginClose(body io.Closer) (end func()) {
	a := body.(*answer)
	_, read, done := a.use.Close()
	return func() {
		if read && !done {
			a.x.breakOff()
		}
	}
}
