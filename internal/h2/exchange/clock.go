package exchange

import (
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/transfer"
)

// clock keeps the limits of one exchange. No deadline of the connection, which is
// not the exchange's alone, but timers end its waits.
type clock struct{ transfer.Clock }

func (k *clock) init(req *engine.Request, t engine.Timeouts) {
	k.Init(req, t)
	if k.Header > 0 || k.Idle > 0 {
		k.Begin = time.Now()
	}
}

// start returns the begin of a wait, for ReadDue; the time is not asked for
// where nothing depends on it.
func (k *clock) start() time.Time {
	if k.Idle > 0 {
		return time.Now()
	}
	return time.Time{}
}

var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// wait waits for ch until the time that limit names, which it asks for again
// when that is over.
func wait(ch <-chan struct{}, limit func(begin time.Time) transfer.Due, begin time.Time) error {
	d := limit(begin)
	if d.At.IsZero() {
		<-ch
		return nil
	}
	select {
	case <-ch:
		return nil
	default:
	}
	t := timers.Get().(*time.Timer)
	defer func() {
		t.Stop()
		timers.Put(t)
	}()
	for {
		t.Reset(time.Until(d.At))
		select {
		case <-ch:
			return nil
		case <-t.C:
		}
		if d = limit(begin); d.At.IsZero() {
			<-ch
			return nil
		}
		if d.Over(time.Now()) {
			return d.Err()
		}
	}
}
