package h2

import (
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

// RequestHead is what the field section of a request is made of.
type RequestHead struct {
	Method string
	// Scheme and Path are left out of CONNECT without Protocol.
	Scheme, Authority, Path string
	// Protocol makes an extended CONNECT of the request (RFC 8441 §4): Method is
	// then CONNECT. "" = none.
	Protocol string
	// Header holds the fields in order. Those that belong to a connection are not
	// sent (RFC 9113 §8.2.2), nor is Host, whose place Authority takes.
	Header header.Header
	// Length is the value of Content-Length; negative = the field is left out.
	Length int64
	// TrailerNames are announced in Trailer.
	TrailerNames []string
	// Priority is the value of Priority (RFC 9218 §5), unless Header has it; "" =
	// none.
	Priority string

	atMost int      // the size of the field section is no more (RFC 9113 §6.5.2)
	named  []string // fields that Connection names: they are not sent
	te     bool     // TE: trailers
}

// fieldOverhead is what each field adds to the size of a field section.
const fieldOverhead = 32

// Check validates the head; it must come before the head is sent. The error is
// an *[h1.InputError].
func (r *RequestHead) Check() error {
	if !header.IsToken(r.Method) {
		return &h1.InputError{What: "method", Input: r.Method}
	}
	for _, part := range []struct{ what, text string }{{"request target", r.Path}, {"host", r.Authority}, {"protocol", r.Protocol}} {
		for i := 0; i < len(part.text); i++ {
			if c := part.text[i]; c <= ' ' || c == 0x7f {
				return &h1.InputError{What: part.what, Input: part.text}
			}
		}
	}
	if r.Authority == "" {
		return &h1.InputError{What: "URL without a host", Input: r.Path}
	}
	// The pseudo fields, TE, Content-Length, Trailer and Priority, generously.
	r.atMost = 400 + len(r.Method) + len(r.Scheme) + len(r.Authority) + len(r.Path) + len(r.Protocol) + len(r.Priority)
	for i := range r.Header.Len() {
		if err := r.checkField(r.Header.At(i)); err != nil {
			return err
		}
	}
	for _, name := range r.TrailerNames {
		if !header.ValidName(name) || h1.ForbiddenTrailer(name) {
			return &h1.InputError{What: "trailer field", Input: name}
		}
		r.atMost += len(name) + len(", ")
	}
	return nil
}

// size returns the size of the field section (RFC 9113 §6.5.2): what
// encoder.head makes of r. r was checked.
func (r *RequestHead) size() int {
	total := 0
	add := func(name string, value int) { total += len(name) + value + fieldOverhead }
	add(":method", len(r.Method))
	add(":authority", len(r.Authority))
	if r.Method != "CONNECT" || r.Protocol != "" {
		add(":scheme", len(r.Scheme))
		add(":path", len(r.Path))
	}
	if r.Protocol != "" {
		add(":protocol", len(r.Protocol))
	}
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		switch {
		case !r.sends(f.Name), header.EqualFold(f.Name, "Host"), header.EqualFold(f.Name, "TE"):
		case header.EqualFold(f.Name, "Cookie"):
			crumbs := strings.Count(f.Value, crumbEnd)
			total += crumbs * (len("cookie") + fieldOverhead - len(crumbEnd))
			add(f.Name, len(f.Value))
		default:
			add(f.Name, len(f.Value))
		}
	}
	if r.te {
		add("te", len("trailers"))
	}
	if r.Length >= 0 {
		add("content-length", len(strconv.FormatInt(r.Length, 10)))
	}
	if len(r.TrailerNames) > 0 {
		add("trailer", len(strings.Join(r.TrailerNames, ", ")))
	}
	if r.Priority != "" && !r.Header.Has("Priority") {
		add("priority", len(r.Priority))
	}
	return total
}

// sectionSize returns the size of a field section of these fields.
func sectionSize(h header.Header) int {
	total := 0
	for i := range h.Len() {
		f := h.At(i)
		total += len(f.Name) + len(f.Value) + fieldOverhead
	}
	return total
}

// crumbEnd ends a cookie where another follows.
const crumbEnd = "; "

func (r *RequestHead) checkField(f header.Field) error {
	if !header.ValidName(f.Name) {
		return &h1.InputError{What: "field name", Input: f.Name}
	}
	if !header.ValidValue(f.Value) {
		return &h1.InputError{What: "value of field", Input: f.Name}
	}
	r.atMost += len(f.Name) + len(f.Value) + fieldOverhead
	switch len(f.Name) {
	case len("Cookie"):
		if header.EqualFold(f.Name, "Cookie") {
			r.atMost += strings.Count(f.Value, crumbEnd) * (len("cookie") + fieldOverhead)
		}
	case len("TE"):
		if header.EqualFold(f.Name, "TE") {
			for one := range strings.SplitSeq(f.Value, ",") {
				r.te = r.te || header.EqualFold(strings.TrimSpace(one), "trailers")
			}
		}
	case len("Trailer"), len("Content-Length"), len("Transfer-Encoding"):
		for _, own := range [...]string{"Trailer", "Content-Length", "Transfer-Encoding"} {
			if header.EqualFold(f.Name, own) {
				return &h1.InputError{What: "a field that the engine sets from the body itself:", Input: f.Name}
			}
		}
	case len("Connection"):
		if header.EqualFold(f.Name, "Connection") {
			for one := range strings.SplitSeq(f.Value, ",") {
				r.named = append(r.named, strings.TrimSpace(one))
			}
		}
	}
	return nil
}

// ofConnection reports whether a field belongs to a connection of HTTP/1.1 and
// must not be sent (RFC 9113 §8.2.2). Content-Length and TE are not among them.
func ofConnection(name string) bool {
	switch len(name) {
	case len("Upgrade"):
		return header.EqualFold(name, "Upgrade")
	case len("Connection"):
		return header.EqualFold(name, "Connection") || header.EqualFold(name, "Keep-Alive")
	case len("Proxy-Connection"):
		return header.EqualFold(name, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return header.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// encoder makes field blocks. The connection's mutex guards it: the order of
// blocks on the wire is that in which they are made.
type encoder struct {
	hpack *hpack.Encoder
	lower map[string]string // names that had upper-case letters
}

// maxLower bounds encoder.lower; names beyond it are made lower case each time.
const maxLower = 256

// head appends the fields of r by the encoder. r was checked.
func (e *encoder) head(r *RequestHead) {
	e.put(":method", r.Method)
	e.put(":authority", r.Authority)
	if r.Method != "CONNECT" || r.Protocol != "" {
		e.put(":scheme", r.Scheme)
		e.put(":path", r.Path)
	}
	if r.Protocol != "" {
		e.put(":protocol", r.Protocol)
	}
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		if r.sends(f.Name) {
			e.field(f)
		}
	}
	if r.te {
		e.put("te", "trailers")
	}
	if r.Length >= 0 {
		e.put("content-length", strconv.FormatInt(r.Length, 10))
	}
	if len(r.TrailerNames) > 0 {
		e.put("trailer", strings.ToLower(strings.Join(r.TrailerNames, ", ")))
	}
	if r.Priority != "" && !r.Header.Has("Priority") {
		e.put("priority", r.Priority)
	}
}

// sends reports whether a field does not belong to a connection of HTTP/1.1.
func (r *RequestHead) sends(name string) bool {
	if ofConnection(name) {
		return false
	}
	for _, n := range r.named {
		if header.EqualFold(n, name) {
			return false
		}
	}
	return true
}

// shortCookie is the length below which a cookie could be guessed from the size
// of compressed requests (RFC 7541 §7.1.3).
const shortCookie = 20

// field appends one field of the caller.
func (e *encoder) field(f header.Field) {
	name := e.lowered(f.Name)
	switch name {
	case "host", "te":
	case "authorization", "proxy-authorization":
		e.hpack.WriteField(hpack.HeaderField{Name: name, Value: f.Value, Sensitive: true})
	case "cookie":
		// One field a cookie: those that stay the same are sent as an index
		// (RFC 9113 §8.2.3).
		for rest, more := f.Value, true; more; {
			var one string
			one, rest, more = strings.Cut(rest, crumbEnd)
			e.hpack.WriteField(hpack.HeaderField{Name: name, Value: one, Sensitive: len(one) < shortCookie})
		}
	default:
		e.put(name, f.Value)
	}
}

// put appends a field by the encoder, which cannot fail: it writes to memory.
func (e *encoder) put(name, value string) {
	e.hpack.WriteField(hpack.HeaderField{Name: name, Value: value})
}

func (e *encoder) lowered(name string) string {
	upper := false
	for i := 0; i < len(name) && !upper; i++ {
		upper = 'A' <= name[i] && name[i] <= 'Z'
	}
	if !upper {
		return name
	}
	if lower, ok := e.lower[name]; ok {
		return lower
	}
	lower := strings.ToLower(name)
	if len(e.lower) < maxLower {
		if e.lower == nil {
			e.lower = make(map[string]string)
		}
		e.lower[name] = lower
	}
	return lower
}

// CheckTrailer validates the trailer fields of a request. The error is an
// *[h1.InputError].
func CheckTrailer(h header.Header) error {
	for i := range h.Len() {
		f := h.At(i)
		if !header.ValidName(f.Name) || h1.ForbiddenTrailer(f.Name) {
			return &h1.InputError{What: "trailer field", Input: f.Name}
		}
		if !header.ValidValue(f.Value) {
			return &h1.InputError{What: "value of field", Input: f.Name}
		}
	}
	return nil
}
