package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Token is a bearer token.
type Token struct {
	// Access is what is sent; "" = no token.
	Access string
	// Refresh is for the Refresh function; the plugin does not send it.
	Refresh string
	// Type is the scheme it is sent with; "" = "Bearer".
	Type string
	// Expiry is when it ends; zero = unknown. A token within five seconds of its
	// end is refreshed before it is sent.
	Expiry time.Time
}

// early is how long before its end a token counts as expired.
const early = 5 * time.Second

func (t Token) usable() bool {
	return t.Access != "" && (t.Expiry.IsZero() || time.Until(t.Expiry) > early)
}

// Tokens holds the token of a [Bearer]. Make one to look at the token or to
// change it from outside; its zero value is empty and ready to use. It is safe
// for concurrent use.
//
// Each change gives the token a new version. A refusal leads to a refresh only
// if the refused request was sent with the present version, and all that wait
// share the one that runs. It runs in a goroutine of its own: whoever gives up
// waiting does not end it for the others.
type Tokens struct {
	mu      sync.Mutex // guards what follows; never held while foreign code runs
	token   Token
	version uint64
	flight  *flight // the load or refresh that runs, or nil
}

// Get returns the token as it is; the zero Token if there is none.
func (t *Tokens) Get() Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// Set replaces the token; what a refresh that is running brings is not stored.
func (t *Tokens) Set(token Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.flight = token, nil
	t.version++
}

// Clear removes the token, so that the next request loads one.
func (t *Tokens) Clear() { t.Set(Token{}) }

// tokenFunc loads or refreshes.
type tokenFunc func(ctx context.Context, old Token) (Token, error)

// flight is a load or refresh under way.
type flight struct {
	refresh bool
	version uint64        // of the token that it replaces
	done    chan struct{} // closed when err is there
	err     error
}

// held is a token and its version.
type held struct {
	Token
	version uint64
	fresh   bool // it was refreshed for the one who asks
}

func (t *Tokens) current() held {
	t.mu.Lock()
	defer t.mu.Unlock()
	return held{Token: t.token, version: t.version}
}

// obtain returns the token to send, and loads or refreshes it if need be.
func (t *Tokens) obtain(ctx context.Context, b *bearer) (held, error) {
	for waited := false; ; waited = true {
		t.mu.Lock()
		now := held{Token: t.token, version: t.version}
		f := t.flight
		if now.usable() || waited && f == nil {
			t.mu.Unlock()
			return now, nil
		}
		if f == nil {
			switch {
			case now.Access != "" && b.refresh != nil:
				f = t.start(ctx, b, true, now.Token)
			case b.load != nil:
				f = t.start(ctx, b, false, now.Token)
			default:
				t.mu.Unlock()
				return now, nil
			}
		}
		t.mu.Unlock()
		if err := f.wait(ctx); err != nil {
			if ctx.Err() == nil && now.Access != "" && time.Now().Before(now.Expiry) {
				return now, nil // it is good for a few seconds yet
			}
			return held{}, err
		}
	}
}

// renew returns a token to take the place of the one refused: the present one if
// that is another, else what a refresh brings; none if there is nothing new.
func (t *Tokens) renew(ctx context.Context, b *bearer, refused held) (held, error) {
	for used, renewed := refused.version, false; ; {
		t.mu.Lock()
		now := held{Token: t.token, version: t.version, fresh: renewed}
		moved := now.version != used
		if moved && (now.Access == "" || now.Access != refused.Access) {
			t.mu.Unlock()
			return now, nil // new, or cleared: then there is none
		}
		f := t.flight
		if renewed && f == nil || f == nil && b.refresh == nil {
			t.mu.Unlock()
			return held{}, nil // the same once more
		}
		if f == nil {
			old := now.Token
			if b.NoCache {
				old = refused.Token
			}
			f = t.start(ctx, b, true, old)
		}
		t.mu.Unlock()
		if err := f.wait(ctx); err != nil {
			return held{}, err
		}
		used, renewed = f.version, f.refresh
	}
}

// start begins a flight; t.mu is held.
func (t *Tokens) start(ctx context.Context, b *bearer, refresh bool, old Token) *flight {
	f := &flight{refresh: refresh, version: t.version, done: make(chan struct{})}
	t.flight = f
	do := b.load
	if refresh {
		do = b.refresh
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timeout)
	// A function that does not heed its context must not stop everybody.
	stop := context.AfterFunc(ctx, func() {
		t.finish(f, Token{}, fmt.Errorf("auth: %s took longer than %v: %w", f, b.Timeout, context.DeadlineExceeded))
	})
	go func() {
		defer cancel()
		defer stop()
		token, err := Token{}, errors.New("the function ended its goroutine")
		defer func() { // even then
			if err != nil {
				err = fmt.Errorf("auth: %s: %w", f, err)
			}
			t.finish(f, token, err)
		}()
		token, err = safely(ctx, do, old)
	}()
	return f
}

func (f *flight) String() string {
	if f.refresh {
		return "refresh of the token"
	}
	return "loading the token"
}

// finish ends a flight, once. What it brought is stored unless the token was set
// or cleared meanwhile.
func (t *Tokens) finish(f *flight, token Token, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-f.done:
		return
	default:
	}
	if t.flight == f {
		t.flight = nil
		if err == nil {
			t.token = token
			t.version++
		}
	}
	f.err = err
	close(f.done)
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// safely makes errors of panics.
func safely(ctx context.Context, do tokenFunc, old Token) (token Token, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return do(ctx, old)
}
