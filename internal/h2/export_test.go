package h2

// Kept returns how many bytes the connection keeps at the moment: frames that wait
// to be written, and what came of bodies and interim responses and was not taken.
func (c *Conn) Kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.out.b)
	for _, s := range c.streams {
		n += s.recv.size + s.interimSize
	}
	return n
}

// Starving returns how many streams wait for the connection's window, or for room
// to be written.
func (c *Conn) Starving() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.starving)
}
