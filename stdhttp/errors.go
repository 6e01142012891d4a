package stdhttp

import (
	"errors"
	"io"
	"strconv"

	"github.com/godwit-go/godwit"
)

// explain makes of the client's error what http.Transport returns for its like.
func (x *exchange) explain(err error) error {
	if ended := x.ended(); ended != nil {
		return ended
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &closedError{failure{err}}
	}
	return &failure{err}
}

// explainBody does so for an error of a body.
func (x *exchange) explainBody(err error) error {
	if ended := x.ended(); ended != nil {
		return ended
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return &failure{err}
}

// failure is a net.Error. Its text leaves out method and URL, which http.Client
// puts before it.
type failure struct{ err error }

func (f *failure) Error() string {
	e, ok := errors.AsType[*godwit.Error](f.err)
	if !ok {
		return f.err.Error()
	}
	s := "godwit: "
	if e.Attempt > 1 {
		s += "attempt " + strconv.Itoa(e.Attempt) + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the client's error.
func (f *failure) Unwrap() error { return f.err }

// Timeout reports whether a limit of time was reached.
func (f *failure) Timeout() bool {
	t, ok := f.err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary reports whether the cause says so; it is part of net.Error.
func (f *failure) Temporary() bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](f.err)
	return ok && t.Temporary()
}

// closedError tells that the server closed the connection instead of answering.
// net/http says so by io.EOF if no byte of an answer had come.
type closedError struct{ failure }

// Is reports whether target is io.EOF.
func (*closedError) Is(target error) bool { return target == io.EOF }
