package godwit

import (
	"fmt"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// NoTimeout in place of a timeout means: none.
const NoTimeout = engine.NoTimeout

func timeoutSetting(name string) *Setting[time.Duration] {
	return NewSetting[time.Duration](name, 0).Check(func(d time.Duration) error {
		if d <= 0 {
			return fmt.Errorf("%s(%v): a timeout is more than zero; NoTimeout means none", name, d)
		}
		return nil
	})
}

var (
	requestTimeout = timeoutSetting("Timeout")
	attemptTimeout = timeoutSetting("AttemptTimeout")
	poolTimeout    = timeoutSetting("PoolTimeout")
	connectTimeout = timeoutSetting("ConnectTimeout")
	headerTimeout  = timeoutSetting("HeaderTimeout")
	idleTimeout    = timeoutSetting("IdleTimeout")
	timeoutToHead  = NewSetting("TimeoutToHead", false)
)

// Timeout limits a whole call, from the start to the end of the body, over all
// redirects and attempts; for Stream and Open until the body is closed. The
// default is none. It must be more than zero; [NoTimeout] lifts a client's.
func Timeout(d time.Duration) Option { return requestTimeout.Set(d) }

// AttemptTimeout limits each single send, to the end of its body.
func AttemptTimeout(d time.Duration) Option { return attemptTimeout.Set(d) }

// PoolTimeout limits the wait for a connection when the engine's limits are
// reached; the default is the engine's.
func PoolTimeout(d time.Duration) Option { return poolTimeout.Set(d) }

// ConnectTimeout limits the making of a connection: name lookup, TCP, proxy,
// TLS; the default is the engine's.
func ConnectTimeout(d time.Duration) Option { return connectTimeout.Set(d) }

// HeaderTimeout limits the time from the end of the request to the head of the
// response; the default is the engine's.
func HeaderTimeout(d time.Duration) Option { return headerTimeout.Set(d) }

// IdleTimeout limits the pause between two bytes, in both directions; the
// default is the engine's.
func IdleTimeout(d time.Duration) Option { return idleTimeout.Set(d) }

// TimeoutToHead makes Timeout and AttemptTimeout end when the head of the
// response is there, for Timeout that of the one which the caller gets, after all
// redirects and attempts: for streams that live long.
func TimeoutToHead(on ...bool) Option { return timeoutToHead.Set(switchedOn(on)) }
