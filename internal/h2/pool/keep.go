package pool

import (
	"slices"
	"time"
)

// arm sets the timer that closes idle connections. mu is held.
func (p *Pool) arm() {
	if p.armed || p.config.KeepAlive <= 0 {
		return
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.pause(), p.expire)
	} else {
		p.timer.Reset(p.pause())
	}
}

// pause is how often to look for connections that are too old.
func (p *Pool) pause() time.Duration {
	if p.config.MaxAge > 0 {
		return min(p.config.KeepAlive, p.config.MaxAge)
	}
	return p.config.KeepAlive
}

// expire closes connections that were idle for too long and retires those that
// are too old.
func (p *Pool) expire() {
	var old []*Conn
	defer func() {
		for _, c := range old {
			c.Retire() // calls changed, which takes mu
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if p.closed {
		return
	}
	next := p.pause()
	left := false
	for _, r := range p.routes {
		for _, c := range slices.Clone(r.conns) {
			s := c.State()
			switch age := time.Since(c.made); {
			case p.config.MaxAge > 0 && age >= p.config.MaxAge && s.Usable:
				old = append(old, c)
			case s.Idle.IsZero():
			case time.Since(s.Idle) >= p.config.KeepAlive:
				if c.Drop() {
					p.forget(c)
					continue
				}
			default:
				next = min(next, p.config.KeepAlive-time.Since(s.Idle))
			}
			left = true
		}
	}
	if left {
		p.armed = true
		p.timer.Reset(max(next, time.Millisecond))
	}
	p.serve()
}

// CloseIdle closes the idle connections. With closing the pool gives out no more
// places, and closes the others when their last stream ends.
func (p *Pool) CloseIdle(closing bool) {
	p.mu.Lock()
	var all []*Conn
	for _, r := range p.routes {
		all = append(all, r.conns...)
		if closing {
			for len(r.waiters) > 0 {
				r.pop(p).grant <- grant{err: closedError()}
			}
		}
	}
	if closing {
		p.closed = true
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	p.mu.Unlock()
	for _, c := range all {
		if closing {
			c.Retire()
		} else {
			c.RetireIdle()
		}
	}
}
