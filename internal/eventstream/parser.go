// Package eventstream parses the format text/event-stream: bytes in, events out,
// no I/O.
//
// The rules are those of the WHATWG HTML Standard, §9.2.6, "Interpreting an event
// stream". In short:
//
//   - The stream is UTF-8; what is not valid becomes U+FFFD, and one byte order
//     mark at the very start is dropped.
//   - A line ends with CR LF, LF or CR. One without an end is no line yet: at the
//     end of the stream it is dropped, and with it the event that it belongs to.
//   - A line that begins with a colon is a comment. Else what is before the first
//     colon is a field's name, and what follows its value, less one space.
//   - data adds its value and a line feed to the event; event sets its type; id,
//     unless it has a NUL, sets the id, which stays for the events that follow;
//     retry, if it is all digits, sets the time to wait before reconnecting. Other
//     fields mean nothing.
//   - An empty line ends the event. One without data is none, but its id counts.
//
// # Theory of operation
//
// There is one buffer. The caller reads into [Parser.Space], says how much by
// [Parser.Advance], and takes events by [Parser.Next] until there are none:
//
//	0 … dataStart ── data ── dataEnd … next ── unparsed ── end ── space ── len
//
// The data of an event stays where it was read. Of a second data line only the
// value is moved, to the end of the first, over its own name; so the data is one
// piece when the event ends, and making it a string is the only copy. Line ends
// are looked for by one pass for LF and one for CR, each of which never looks at
// a byte twice, however the input is split and whichever of the two it uses.
package eventstream

import (
	"bytes"
	"fmt"
	"math/bits"
	"sync"
)

// Event is an event that is to be dispatched.
type Event struct {
	Type        string // "message" unless the stream says otherwise
	Data        string
	LastEventID string
}

// The limits of a zero Parser.
const (
	DefaultMaxLine  = 16 << 20
	DefaultMaxEvent = 32 << 20
)

// LimitError tells that a line or an event is longer than is allowed.
type LimitError struct {
	What  string // "line" or "event"
	Limit int
}

func (e *LimitError) Error() string {
	option := "sse.MaxLine"
	if e.What == "event" {
		option = "sse.MaxEvent"
	}
	return fmt.Sprintf("%s of more than %d bytes (raise the limit with %s)", e.What, e.Limit, option)
}

// Parser parses one stream; [Parser.Reset] makes it ready for the next. The zero
// value is ready. It is used by one goroutine at a time.
type Parser struct {
	// MaxLine and MaxEvent bound a line, and the data of an event, in bytes; 0 =
	// the defaults.
	MaxLine, MaxEvent int
	// OnComment is called with each comment, and OnRetry with each reconnection time
	// in milliseconds, as soon as its line has ended; nil = not.
	OnComment func(text string)
	OnRetry   func(ms uint64)

	whole     *[]byte // from newBuffer
	buf       []byte  // the same
	next, end int     // unparsed is buf[next:end]
	data      bool
	dataStart int // if data
	dataEnd   int
	lf, cr    finder
	begun     bool // past the byte order mark
	skipLF    bool // the last line ended with CR
	filled    bool // the last read took all the space
	spare     int  // reads in a row that did not need a buffer of this size

	typ, id  []byte
	idGiven  bool
	lastType string // as given last, to be used again
	lastID   string
}

// Reset makes p ready for the start of a stream, with the id of the last event
// of the one before.
func (p *Parser) Reset(lastEventID string) {
	p.next, p.end, p.data, p.begun, p.skipLF, p.filled, p.spare = 0, 0, false, false, false, false, 0
	p.lf, p.cr = finder{}, finder{}
	p.typ, p.idGiven, p.lastID = p.typ[:0], false, lastEventID
}

// LastEventID returns the id of the last event that has ended, dispatched or not.
func (p *Parser) LastEventID() string { return p.lastID }

// Next parses on to the next event and reports whether there is one. Without one
// more bytes are needed.
func (p *Parser) Next(ev *Event) (bool, error) {
	if !p.begun && !p.begin() {
		return false, nil
	}
	maxLine := orDefault(p.MaxLine, DefaultMaxLine)
	for {
		if p.skipLF && p.next < p.end {
			if p.buf[p.next] == '\n' {
				p.next++
			}
			p.skipLF = false
		}
		start := p.next
		unparsed := p.buf[:p.end]
		at := min(p.lf.find(unparsed, '\n', start), p.cr.find(unparsed, '\r', start))
		if at-start > maxLine {
			return false, &LimitError{"line", maxLine}
		}
		if at == p.end {
			return false, nil
		}
		p.next, p.skipLF = at+1, p.buf[at] == '\r'
		if at == start {
			if p.dispatch(ev) {
				return true, nil
			}
			continue
		}
		if err := p.line(start, at); err != nil {
			return false, err
		}
	}
}

// begin drops a byte order mark, once it is clear whether there is one.
func (p *Parser) begin() bool {
	const bom = "\uFEFF"
	start := p.buf[p.next:p.end]
	if len(start) < len(bom) && bytes.HasPrefix([]byte(bom), start) {
		return false
	}
	if bytes.HasPrefix(start, []byte(bom)) {
		p.next += len(bom)
	}
	p.begun = true
	return true
}

// line takes in one line that is not empty.
func (p *Parser) line(start, end int) error {
	line := p.buf[start:end]
	colon := bytes.IndexByte(line[:min(len(line), len("event:"))], ':')
	name, value := line, end
	switch {
	case colon >= 0:
		name, value = line[:colon], start+colon+1
		if value < end && p.buf[value] == ' ' {
			value++
		}
	case len(line) > len("event"):
		return nil // the name is longer than those that mean something
	}
	switch string(name) {
	case "data":
		return p.addData(value, end)
	case "event":
		p.typ = append(p.typ[:0], p.buf[value:end]...)
	case "id":
		if bytes.IndexByte(p.buf[value:end], 0) < 0 {
			p.id, p.idGiven = append(p.id[:0], p.buf[value:end]...), true
		}
	case "retry":
		if ms, ok := number(p.buf[value:end]); ok && p.OnRetry != nil {
			p.OnRetry(ms)
		}
	case "":
		if p.OnComment != nil {
			p.OnComment(text(p.buf[value:end]))
		}
	}
	return nil
}

// addData appends a line to the data, in place.
func (p *Parser) addData(start, end int) error {
	if !p.data {
		p.data, p.dataStart, p.dataEnd = true, start, end
	} else {
		p.buf[p.dataEnd] = '\n' // of the line before there is at least its end
		p.dataEnd += 1 + copy(p.buf[p.dataEnd+1:], p.buf[start:end])
	}
	if limit := orDefault(p.MaxEvent, DefaultMaxEvent); p.dataEnd-p.dataStart > limit {
		return &LimitError{"event", limit}
	}
	return nil
}

// number reads digits; what is too large counts as 2⁵³.
func number(digits []byte) (n uint64, ok bool) {
	const most = 1 << 53
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+uint64(c-'0'), most)
	}
	return n, len(digits) > 0
}

// dispatch ends the event and reports whether it is one.
func (p *Parser) dispatch(ev *Event) bool {
	newType := p.data && len(p.typ) > 0 && string(p.typ) != p.lastType
	newID := p.idGiven && string(p.id) != p.lastID
	switch {
	case newType && newID && valid(p.typ) && valid(p.id):
		n := len(p.typ)
		both := string(append(p.typ, p.id...)) // one allocation
		p.lastType, p.lastID = both[:n], both[n:]
	default:
		if newType {
			p.lastType = text(p.typ)
		}
		if newID {
			p.lastID = text(p.id)
		}
	}
	if p.data {
		*ev = Event{"message", text(p.buf[p.dataStart:p.dataEnd]), p.lastID}
		if len(p.typ) > 0 {
			ev.Type = p.lastType
		}
	}
	was := p.data
	p.data, p.typ, p.idGiven = false, p.typ[:0], false
	return was
}

func orDefault(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}

// finder finds a byte in the unparsed part and remembers how far it has looked.
type finder struct {
	at  int
	hit bool // buf[at] is it; else there is none before at
}

// find returns the index of the first c in buf from an index on, or len(buf).
func (f *finder) find(buf []byte, c byte, from int) int {
	if f.at < from {
		f.at, f.hit = from, false
	}
	if !f.hit {
		if i := bytes.IndexByte(buf[f.at:], c); i >= 0 {
			f.at, f.hit = f.at+i, true
		} else {
			f.at = len(buf)
		}
	}
	return f.at
}

// moved tells that the unparsed part was moved from one index to another.
func (f *finder) moved(from, to int) {
	if f.at < from {
		f.at, f.hit = from, false
	}
	f.at += to - from
}

// The buffers: a stream that is mostly silent has a small one, a stream that
// fills it gets a large one, and only a long event gets more.
const (
	smallBuffer  = 4 << 10
	largeBuffer  = 64 << 10
	pooledBuffer = 4 << 20 // larger ones are not kept
	// window is how much is read at once: what still is in the processor's cache
	// when line ends are looked for.
	window = 128 << 10
	// patience is how many reads a buffer of more than largeBuffer is kept for
	// that did not need it.
	patience = 64
)

// buffers are those that are not in use, by the logarithm of their size.
var buffers [bits.UintSize]sync.Pool

// newBuffer returns a buffer of at least that size.
func newBuffer(size int) *[]byte {
	class := bits.Len(uint(size - 1))
	if b, ok := buffers[class].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 1<<class)
	return &b
}

func freeBuffer(b *[]byte) {
	if b != nil && len(*b) <= pooledBuffer {
		buffers[bits.Len(uint(len(*b)-1))].Put(b)
	}
}

// Space returns where to read the next bytes into; it is not empty.
func (p *Parser) Space() []byte {
	size, empty := len(p.buf), p.next == p.end && !p.data
	switch {
	case p.buf == nil:
		p.resize(smallBuffer)
	case empty && p.filled && size < largeBuffer, empty && size > largeBuffer && p.spare > patience:
		p.resize(largeBuffer)
	case empty:
		p.move(p.buf)
	case size-p.end >= size/4:
	case p.live() > size/2:
		p.resize(max(2*size, largeBuffer))
	default:
		p.move(p.buf)
	}
	return p.buf[p.end:min(len(p.buf), p.end+window)]
}

// Advance says that n bytes were read into the space.
func (p *Parser) Advance(n int) {
	p.end += n
	p.filled = p.end == len(p.buf)
	if p.end > largeBuffer/2 {
		p.spare = 0
	} else {
		p.spare++
	}
}

// live returns how much of the buffer is still needed, and the place of the line
// feed that a further data line adds.
func (p *Parser) live() int {
	n := p.end - p.next
	if p.data {
		n += p.dataEnd - p.dataStart + 1
	}
	return n
}

func (p *Parser) resize(size int) {
	old := p.whole
	p.whole = newBuffer(size)
	p.move(*p.whole)
	freeBuffer(old)
}

// move moves what is live to the start of a buffer, which may be the same one.
func (p *Parser) move(to []byte) {
	at := 0
	if p.data {
		n := copy(to, p.buf[p.dataStart:p.dataEnd])
		p.dataStart, p.dataEnd, at = 0, n, n+1
	}
	n := copy(to[at:], p.buf[p.next:p.end])
	p.lf.moved(p.next, at)
	p.cr.moved(p.next, at)
	p.buf, p.next, p.end = to, at, at+n
}

// Release gives the buffer back; what was not parsed is lost.
func (p *Parser) Release() {
	freeBuffer(p.whole)
	p.whole, p.buf = nil, nil
	p.Reset(p.lastID)
}
