// Package recovered makes errors of panics: in the caller's own code, where an
// engine runs that in a goroutine of its own, so that the panic would end the
// program and nobody could recover it; and in codecs, whose panics may come of
// what a server sent.
package recovered

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Error returns the error for v, which recover returned in a deferred function;
// who names the code that panicked. The text holds v and the stack. If v is an
// error, it is the error's cause.
func Error(who string, v any) error {
	e := &panicked{text: fmt.Sprintf("%s panicked: %v\n%s", who, v, debug.Stack())}
	e.cause, _ = v.(error)
	return e
}

// Codec is to be deferred where a codec is called: a panic becomes *err. doing and
// the type of v say what it was at, such as "decoding into" and *T.
func Codec(err *error, codec interface{ MediaTypes() []string }, doing string, v any) {
	if p := recover(); p != nil {
		*err = Brief(fmt.Sprintf("codec %T for %s, %s %T,", codec, strings.Join(codec.MediaTypes(), ", "), doing, v), p)
	}
}

// Brief does as Error, with the place of the panic in the stack's stead: for
// panics that a server can cause as often as it likes.
func Brief(who string, v any) error {
	e := &panicked{text: fmt.Sprintf("%s panicked: %v (%s)", who, v, place())}
	e.cause, _ = v.(error)
	return e
}

// place returns the function that panicked, with its file and line.
func place() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for panicking := false; ; {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inRuntime || !more {
			return fmt.Sprintf("%s, %s:%d", f.Function, filepath.Base(f.File), f.Line)
		}
		panicking = panicking || inRuntime
	}
}

type panicked struct {
	text  string
	cause error
}

func (e *panicked) Error() string { return e.text }

// Unwrap returns the panic's value if it is an error, else nil.
func (e *panicked) Unwrap() error { return e.cause }

// ErrExited is the error for code that called runtime.Goexit, as
// testing.T.FailNow does.
var ErrExited = errors.New("the request's body ended the goroutine that reads it (runtime.Goexit)")
