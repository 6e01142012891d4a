package negotiate

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

// Items sends req and iterates over the elements of the JSON array that the
// response is, each as it comes; null is an array without any. An element that is
// no T comes as an error with its number, after which the loop may go on. The
// rest is as with [Lines].
func Items[T any](ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		s, err := open[T](ctx, c, req, "application/json, */*;q=0.1")
		if err != nil {
			s.fail(err, yield)
			return
		}
		defer s.resp.Close()
		limited := &limitReader{r: s.body, limit: s.limit}
		d := json.NewDecoder(limited)
		if more, err := begin(d); err != nil || !more {
			if err != nil {
				s.fail(err, yield)
			}
			return
		}
		for n := 1; ; n++ {
			limited.reset("element", n)
			if !d.More() {
				break
			}
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				s.fail(unexpected(err), yield)
				return
			}
			if len(raw) > s.limit {
				s.fail(tooLong("element", n, s.limit), yield)
				return
			}
			v, err := s.value(raw)
			if err != nil {
				err = s.wrap(raw, fmt.Errorf("element %d: %w", n, err))
			}
			if !yield(v, err) {
				return
			}
		}
		if err := end(d); err != nil {
			s.fail(err, yield)
		}
	}
}

// begin reads the opening bracket; more is false for null.
func begin(d *json.Decoder) (more bool, err error) {
	token, err := d.Token()
	switch {
	case err != nil:
		return false, unexpected(err)
	case token == nil:
		if _, err := d.Token(); err != io.EOF {
			return false, errors.Join(errors.New("data after null"), err)
		}
		return false, nil
	case token != json.Delim('['):
		return false, fmt.Errorf("the body begins with %v, where a JSON array is wanted", token)
	}
	return true, nil
}

// end reads the closing bracket and the rest of the body, so that the connection
// can be used again.
func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return unexpected(err)
	}
	token, err := d.Token()
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%v after the end of the array", token)
}

// unexpected makes an end within the array an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// limitReader lets about limit bytes through between resets: what its reader has
// read ahead, and white space, is not counted exactly.
type limitReader struct {
	r     io.Reader
	limit int
	used  int
	what  string
	n     int
	err   error // of r; it stays
}

const slack = 8 << 10

func (l *limitReader) reset(what string, n int) { l.used, l.what, l.n = 0, what, n }

func (l *limitReader) Read(p []byte) (int, error) {
	switch left := l.limit + slack - l.used; {
	case l.err != nil:
		return 0, l.err
	case left <= 0:
		l.err = tooLong(l.what, l.n, l.limit)
		return 0, l.err
	default:
		n, err := l.r.Read(p[:min(len(p), left)])
		l.used, l.err = l.used+n, err
		return n, err
	}
}

const csvTag = "csv"

var comma = attr.NewKey[rune]("negotiate.Comma")

// Comma sets what separates the fields that [Rows] reads, for a client or one
// request. By default it is a tab for text/tab-separated-values, else a comma.
func Comma(separator rune) godwit.Option { return godwit.Attribute(comma, separator) }

// Rows sends req and iterates over the records of a CSV response (RFC 4180). As a
// []string each record is given, the first too. For any other T, a struct or a
// map with string keys, the first record holds the names: of fields, by the tag
// `csv:"name"` or their own name without regard to case, or of keys. Names
// without a field are ignored; an empty field of a record is nil for a pointer.
//
// A record that is no T, or has another number of fields than the first, comes as
// an error with its number, after which the loop may go on. The rest is as with
// [Lines].
func Rows[T any](ctx context.Context, c *godwit.Client, req *godwit.Request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		s, err := open[T](ctx, c, req, "text/csv, */*;q=0.1")
		if err != nil {
			s.fail(err, yield)
			return
		}
		defer s.resp.Close()
		limited := &limitReader{r: s.body, limit: s.limit}
		rows := csv.NewReader(limited)
		rows.Comma = separator(s.resp)
		rows.ReuseRecord = true
		_, plain := any(*new(T)).([]string)
		if plain {
			rows.FieldsPerRecord = -1
		}
		var names []string
		for n := 1; ; n++ {
			limited.reset("record", n)
			from := rows.InputOffset()
			record, err := rows.Read()
			if err == io.EOF {
				return
			}
			if rows.InputOffset()-from > int64(s.limit) {
				err = tooLong("record", n, s.limit)
			}
			if err != nil && !errors.Is(err, csv.ErrFieldCount) {
				s.fail(err, yield)
				return
			}
			if !plain && n == 1 {
				names = slices.Clone(record)
				continue
			}
			var v T
			if err == nil {
				err = setRecord(&v, names, record)
			}
			if err != nil {
				v, err = *new(T), s.wrap([]byte(strings.Join(record, ",")), fmt.Errorf("record %d: %w", n, err))
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func separator(resp *godwit.Response) rune {
	if r := comma.Or(resp.Call().Attributes(), 0); r != 0 {
		return r
	}
	if mt, _ := header.ParseMediaType(resp.Header.Get("Content-Type")); mt.Essence() == "text/tab-separated-values" {
		return '\t'
	}
	return ','
}

// setRecord fills what v points to.
func setRecord(v any, names, record []string) error {
	if p, ok := v.(*[]string); ok {
		*p = slices.Clone(record)
		return nil
	}
	values := make(url.Values, len(names))
	for i, name := range names {
		values.Add(name, record[i])
	}
	return setValues(reflect.ValueOf(v).Elem(), values, csvTag, false)
}
