package negotiate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/godwit-go/godwit"
)

// Mode says how JSON is read.
type Mode int8

const (
	// Standard reads what encoding/json reads: RFC 8259, members of one name
	// twice among it, of which the last counts.
	Standard Mode = iota
	// Strict reads I-JSON (RFC 7493): it refuses members of one name twice, text
	// that is not valid UTF-8, and strings with surrogates or noncharacters. It
	// refuses as well members that mean one field, as {"a":1,"A":2} do where the
	// Go type has no field for each, and unknown members.
	Strict
	// Lenient allows comments, // to the end of the line and /* */, and a comma
	// after the last element, as configuration files have them.
	Lenient
)

// Unknown says what becomes of members, elements and parameters that the Go type
// has no field for.
type Unknown int8

const (
	// UnknownByMode ignores them, but in mode Strict refuses them.
	UnknownByMode Unknown = iota
	// IgnoreUnknown ignores them.
	IgnoreUnknown
	// RefuseUnknown fails.
	RefuseUnknown
)

// JSON is the codec for JSON by encoding/json; its zero value does as
// godwit.JSON does. For another JSON package see [Func].
type JSON struct {
	// Mode says how strictly it reads.
	Mode Mode
	// Unknown says what becomes of unknown members.
	Unknown Unknown
	// UseNumber decodes numbers into an any as json.Number, not as float64.
	UseNumber bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
	// MaxDepth limits the nesting of arrays and objects; 0 = encoding/json's own,
	// 10,000.
	MaxDepth int
	// RawHTML leaves <, > and & in strings as they are; by default they are
	// escaped.
	RawHTML bool
	// Indent is what each level is indented by; "" writes all on one line.
	Indent string
}

var _ godwit.Codec = JSON{}

// MediaTypes implements [godwit.Codec].
func (JSON) MediaTypes() []string { return []string{"application/json"} }

// Marshal implements [godwit.Codec].
func (j JSON) Marshal(v any) ([]byte, error) {
	if !j.RawHTML && j.Indent == "" {
		return json.Marshal(v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(!j.RawHTML)
	e.SetIndent("", j.Indent)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Unmarshal implements [godwit.Codec].
func (j JSON) Unmarshal(data []byte, v any) error {
	if err := checkSize(data, j.MaxBytes); err != nil {
		return err
	}
	if j.Mode == Lenient {
		data = plainJSON(data)
	}
	if j.MaxDepth > 0 && depthOf(data) > j.MaxDepth {
		return fmt.Errorf("nested more than %d deep", j.MaxDepth)
	}
	if j.Mode == Strict {
		if err := checkStrict(data, reflect.TypeOf(v)); err != nil {
			return err
		}
	}
	refuse := j.Unknown == RefuseUnknown || j.Unknown == UnknownByMode && j.Mode == Strict
	if !refuse && !j.UseNumber {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if refuse {
		d.DisallowUnknownFields()
	}
	if j.UseNumber {
		d.UseNumber()
	}
	if err := d.Decode(v); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more data after the JSON value")
	}
	return nil
}

func checkSize(data []byte, limit int64) error {
	if limit > 0 && int64(len(data)) > limit {
		return fmt.Errorf("%w: %d bytes to decode, the codec's limit is %d", godwit.ErrBodyTooLarge, len(data), limit)
	}
	return nil
}

// plainJSON returns data with comments and commas before a closing bracket
// overwritten by spaces, so that offsets stay what they were.
func plainJSON(data []byte) []byte {
	out := bytes.Clone(data)
	value := false // a value came last
	comma := -1    // the one that came last, after a value
	for i := 0; i < len(out); {
		switch c := out[i]; {
		case c == '"':
			i = afterString(out, i)
			value, comma = true, -1
			continue
		case c == '/' && i+1 < len(out) && (out[i+1] == '/' || out[i+1] == '*'):
			i = blankComment(out, i)
			continue
		case c == ',':
			comma = -1
			if value {
				comma = i
			}
			value = false
		case c == ']', c == '}':
			if comma >= 0 {
				out[comma] = ' '
			}
			value, comma = true, -1
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			value, comma = strings.IndexByte("[{:", c) < 0, -1
		}
		i++
	}
	return out
}

// afterString returns the index after the string that begins at i.
func afterString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// blankComment overwrites the comment at i and returns the index after it. One
// that is not closed is left, for the parser to complain of.
func blankComment(data []byte, i int) int {
	end := len(data)
	if data[i+1] == '/' {
		if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
			end = i + n
		}
	} else if n := bytes.Index(data[i+2:], []byte("*/")); n >= 0 {
		end = i + 2 + n + 2
	} else {
		return end
	}
	for ; i < end; i++ {
		if data[i] != '\n' {
			data[i] = ' '
		}
	}
	return end
}

// depthOf returns how deep brackets are nested.
func depthOf(data []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(data); {
		switch data[i] {
		case '"':
			i = afterString(data, i)
			continue
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
		i++
	}
	return deepest
}
