package cbor_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	fx "github.com/fxamacker/cbor/v2"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/negotiate/cbor"
)

func TestRead(t *testing.T) {
	for name, row := range map[string]struct {
		codec cbor.Codec
		data  string
		want  string // "" = it is read
	}{
		"plain":              {cbor.Codec{}, "\xa1\x64name\x61a", ""},
		"unknown":            {cbor.Codec{}, "\xa1\x61x\x61a", ""},
		"unknown, strict":    {cbor.Codec{Strict: true}, "\xa1\x61x\x61a", "unknown field"},
		"twice":              {cbor.Codec{}, "\xa2\x64name\x61a\x64name\x61b", ""},
		"twice, strict":      {cbor.Codec{Strict: true}, "\xa2\x64name\x61a\x64name\x61b", "duplicate map key"},
		"indefinite":         {cbor.Codec{}, "\xbf\x64name\x61a\xff", ""},
		"indefinite, strict": {cbor.Codec{Strict: true}, "\xbf\x64name\x61a\xff", "indefinite-length"},
		"size":               {cbor.Codec{MaxBytes: 2}, "\xa1\x64name\x61a", "the codec's limit is 2"},
		"cut":                {cbor.Codec{}, "\xa1\x64na", "unexpected EOF"},
		"more":               {cbor.Codec{}, "\xa0\xa0", "extraneous data"},
		"deep":               {cbor.Codec{}, strings.Repeat("\x81", 100) + "\x01", "exceeded max nested level"},
		"huge":               {cbor.Codec{}, "\xbb\x7f\xff\xff\xff\xff\xff\xff\xff", "exceeded max"},
	} {
		err := row.codec.Unmarshal([]byte(row.data), new(user))
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
	if err := (cbor.Codec{MaxBytes: 1}).Unmarshal([]byte("\xa0\xa0"), new(user)); !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Error(err)
	}
	var v any
	if err := (cbor.Codec{}).Unmarshal([]byte("\xa1\x61a\x01"), &v); err != nil || !reflect.DeepEqual(v, map[string]any{"a": uint64(1)}) {
		t.Errorf("%#v, %v", v, err)
	}
}

func TestWrite(t *testing.T) {
	one, err := cbor.Codec{}.Marshal(map[string]int{"b": 1, "a": 2})
	if err != nil || string(one) != "\xa2\x61a\x02\x61b\x01" {
		t.Errorf("%x, %v", one, err)
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	data, err := cbor.Codec{}.Marshal(when)
	var back time.Time
	if err != nil || data[0] != 0xc0 || (cbor.Codec{}).Unmarshal(data, &back) != nil || !back.Equal(when) {
		t.Errorf("%x, %v, %v", data, err, back)
	}
}

func TestOwnModes(t *testing.T) {
	enc, err := fx.EncOptions{Sort: fx.SortNone, Time: fx.TimeUnix}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := fx.DecOptions{MaxNestedLevels: 4}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	c := cbor.Codec{Enc: enc, Dec: dec}
	if data, err := c.Marshal(time.Unix(5, 0)); err != nil || !bytes.Equal(data, []byte{5}) {
		t.Errorf("%x, %v", data, err)
	}
	if err := c.Unmarshal([]byte("\x81\x81\x81\x81\x81\x81\x01"), new(any)); err == nil {
		t.Error("the mode's limit did not count")
	}
}
