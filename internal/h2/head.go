package h2

import (
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/header"
)

// Head is a field section of a response.
type Head struct {
	// Status is 0 for a trailer section.
	Status int
	Header header.Header
	// Length is the value of Content-Length; -1 = there is none.
	Length int64
}

// decoder reads field blocks. It belongs to the connection's reader.
//
// A block is decoded to its end even if it is not wanted, or malformed: the
// table of the connection must follow the peer's.
type decoder struct {
	hpack              *hpack.Decoder
	maxBytes, maxCount int

	// Of the block that is being read:
	head    Head
	fields  []header.Field
	size    int
	regular bool   // a field that is no pseudo field has come
	fault   string // what is wrong first
	section string
	usual   int // how many fields the last response had
}

func newDecoder(c *Config) *decoder {
	d := &decoder{maxBytes: c.MaxHeaderBytes, maxCount: c.MaxHeaderFields}
	d.hpack = hpack.NewDecoder(c.HeaderTable, d.emit)
	d.hpack.SetMaxStringLength(c.MaxHeaderBytes)
	return d
}

// decode reads a complete block. A *Error of the connection means that the
// table is lost; one of the stream that the block is malformed, or too large.
func (d *decoder) decode(id uint32, block []byte) (Head, error) {
	d.head = Head{Length: -1}
	d.fields = make([]header.Field, 0, d.usual+2)
	d.size, d.regular, d.fault, d.section = 0, false, "", ""
	d.hpack.SetEmitEnabled(true)
	_, err := d.hpack.Write(block)
	if err == nil {
		err = d.hpack.Close()
	}
	if err == hpack.ErrStringLength {
		return Head{}, connError(CodeEnhanceYourCalm, "RFC 9113 §10.5.1", "a field larger than MaxHeaderBytes, %d", d.maxBytes)
	}
	if err != nil {
		return Head{}, connError(CodeCompression, "RFC 9113 §4.3", "field block: %v", err)
	}
	if d.fault != "" {
		return Head{}, streamError(id, CodeProtocol, d.section, "%s", d.fault)
	}
	d.usual = min(len(d.fields), 64)
	d.head.Header = header.Of(d.fields)
	return d.head, nil
}

func (d *decoder) emit(f hpack.HeaderField) {
	d.size += len(f.Name) + len(f.Value) + fieldOverhead
	switch {
	case d.size > d.maxBytes:
		d.blame("a field section larger than MaxHeaderBytes, "+strconv.Itoa(d.maxBytes), "RFC 9113 §10.5.1")
	case len(d.fields) >= d.maxCount:
		d.blame("a field section of more fields than MaxHeaderFields, "+strconv.Itoa(d.maxCount), "RFC 9113 §10.5.1")
	case f.IsPseudo():
		d.pseudo(f)
		return
	default:
		d.regular = true
		d.field(f)
	}
}

// blame keeps the first fault; what follows is decoded and thrown away.
func (d *decoder) blame(fault, section string) {
	if d.fault == "" {
		d.fault, d.section = fault, section
	}
	d.hpack.SetEmitEnabled(false)
}

func (d *decoder) pseudo(f hpack.HeaderField) {
	switch {
	case f.Name != ":status":
		d.blame("pseudo field "+clip(f.Name)+" in a response", "RFC 9113 §8.3")
	case d.regular:
		d.blame(":status after other fields", "RFC 9113 §8.3")
	case d.head.Status != 0:
		d.blame("a second :status", "RFC 9113 §8.3.2")
	case !validStatus(f.Value):
		d.blame(":status "+clip(f.Value), "RFC 9113 §8.3.2")
	default:
		d.head.Status = int(f.Value[0]-'0')*100 + int(f.Value[1]-'0')*10 + int(f.Value[2]-'0')
	}
}

func validStatus(s string) bool {
	return len(s) == 3 && '1' <= s[0] && s[0] <= '9' && '0' <= s[1] && s[1] <= '9' && '0' <= s[2] && s[2] <= '9'
}

func (d *decoder) field(f hpack.HeaderField) {
	if fault := faultOf(f); fault != "" {
		d.blame(fault, "RFC 9113 §8.2.1")
		return
	}
	switch len(f.Name) {
	case len("te"):
		if f.Name == "te" && f.Value != "trailers" {
			d.blame("field \"te\" with "+clip(f.Value), "RFC 9113 §8.2.2")
			return
		}
	case len("content-length"):
		if f.Name == "content-length" && !d.length(f.Value) {
			return
		}
	case len("upgrade"), len("connection"), len("proxy-connection"), len("transfer-encoding"):
		if ofConnection(f.Name) {
			d.blame("field "+clip(f.Name)+", which belongs to a connection of HTTP/1.1", "RFC 9113 §8.2.2")
			return
		}
	}
	d.fields = append(d.fields, header.Field{Name: f.Name, Value: f.Value})
}

// length takes notice of Content-Length; a list of equal values is one value
// (RFC 9110 §8.6), as are equal fields.
func (d *decoder) length(value string) bool {
	h := header.Of([]header.Field{{Name: "Content-Length", Value: value}})
	n, ok, err := header.ContentLength(h)
	if err != nil || !ok || d.head.Length >= 0 && d.head.Length != n {
		d.blame("Content-Length "+clip(value), "RFC 9113 §8.1.1")
		return false
	}
	d.head.Length = n
	return true
}

// faultOf says what is wrong with a field, "" if nothing is (RFC 9113 §8.2.1).
func faultOf(f hpack.HeaderField) string {
	for i := 0; i < len(f.Name); i++ {
		if c := f.Name[i]; !header.IsTokenChar(c) || 'A' <= c && c <= 'Z' {
			return "field name " + clip(f.Name)
		}
	}
	if f.Name == "" {
		return "a field without a name"
	}
	if !header.ValidValue(f.Value) {
		return "field " + clip(f.Name) + " with value " + clip(f.Value)
	}
	return ""
}

// clip quotes s, cut short.
func clip(s string) string {
	if len(s) > 60 {
		return strconv.Quote(s[:60]) + "…"
	}
	return strconv.Quote(s)
}
