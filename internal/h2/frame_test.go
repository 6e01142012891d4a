package h2_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// vectors is where the frame cases of http2jp/http2-frame-test-case are.
const vectors = "../../../shared/testdata/http2-frames"

type vector struct {
	Error []h2.ErrCode
	Wire  string
	Frame *struct {
		Length   uint32
		Type     h2.FrameType
		Flags    h2.Flags
		StreamID uint32 `json:"stream_identifier"`
		Payload  struct {
			Data, Padding *string
			Fragment      *string `json:"header_block_fragment"`
			Debug         *string `json:"additional_debug_data"`
			Opaque        *string `json:"opaque_data"`
			Dependency    *uint32 `json:"stream_dependency"`
			Weight        *int
			Exclusive     *bool
			Code          *h2.ErrCode `json:"error_code"`
			Last          *uint32     `json:"last_stream_id"`
			Promised      *uint32     `json:"promised_stream_id"`
			Increment     *uint32     `json:"window_size_increment"`
			Settings      [][2]uint32
		} `json:"frame_payload"`
	}
}

func TestVectors(t *testing.T) {
	if _, err := os.Stat(vectors); err != nil {
		t.Skipf("the public frame cases are not here: %v", err)
	}
	n := 0
	err := filepath.WalkDir(vectors, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		n++
		name, _ := filepath.Rel(vectors, path)
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			v.check(t)
		})
		return nil
	})
	if err != nil || n < 30 {
		t.Errorf("%d cases, %v", n, err)
	}
}

func (v *vector) check(t *testing.T) {
	wire, err := hex.DecodeString(v.Wire)
	if err != nil {
		t.Fatal(err)
	}
	h := h2.ParseFrameHeader(wire)
	if again := h2.AppendFrameHeader(nil, h); string(again) != string(wire[:h2.FrameHeaderLen]) {
		t.Errorf("the header %x is written as %x", wire[:h2.FrameHeaderLen], again)
	}
	f, err := h2.ParseFrame(h, wire[h2.FrameHeaderLen:])
	if v.Frame == nil {
		e, ok := errors.AsType[*h2.Error](err)
		if !ok || !slices.Contains(v.Error, e.Code) {
			t.Errorf("error %v, want one of %v", err, v.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := h2.FrameHeader{Length: v.Frame.Length, Type: v.Frame.Type, Flags: v.Frame.Flags, StreamID: v.Frame.StreamID}
	if f.FrameHeader != want {
		t.Errorf("header %+v, want %+v", f.FrameHeader, want)
	}
	p := &v.Frame.Payload
	for what, s := range map[string]*string{"data": p.Data, "fragment": p.Fragment, "debug data": p.Debug, "opaque data": p.Opaque} {
		if s != nil && *s != string(f.Data) {
			t.Errorf("%s %q, want %q", what, f.Data, *s)
		}
	}
	if p.Padding != nil && *p.Padding != string(f.Padding) {
		t.Errorf("padding %q, want %q", f.Padding, *p.Padding)
	}
	equal(t, "dependency", f.Dependency, p.Dependency)
	equal(t, "exclusive", f.Exclusive, p.Exclusive)
	equal(t, "weight", int(f.Weight)+1, p.Weight)
	equal(t, "code", f.Code, p.Code)
	equal(t, "last stream", f.Last, p.Last)
	equal(t, "promised stream", f.Last, p.Promised)
	equal(t, "increment", f.Increment, p.Increment)
	if p.Settings != nil {
		var got [][2]uint32
		for id, value := range f.Settings() {
			got = append(got, [2]uint32{uint32(id), value})
		}
		if !slices.Equal(got, p.Settings) {
			t.Errorf("settings %v, want %v", got, p.Settings)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got T, want *T) {
	t.Helper()
	if want != nil && got != *want {
		t.Errorf("%s %v, want %v", what, got, *want)
	}
}

// FuzzFrame: no payload makes the parser panic, and what it hands out lies
// within the payload.
func FuzzFrame(f *testing.F) {
	f.Add(uint8(0), uint8(8), uint32(1), []byte("\x05abcdefgh"))
	f.Add(uint8(1), uint8(0x2c), uint32(1), []byte("\x01\x80\x00\x00\x01\x10\x88\x00"))
	f.Add(uint8(4), uint8(0), uint32(0), []byte("\x00\x04\x00\x00\x00\x01"))
	f.Add(uint8(5), uint8(0), uint32(1), []byte("\x00\x00\x00\x02\x88"))
	f.Add(uint8(7), uint8(0), uint32(0), []byte("\x00\x00\x00\x02\x00\x00\x00\x00bye"))
	f.Fuzz(func(t *testing.T, kind, flags uint8, id uint32, payload []byte) {
		h := h2.FrameHeader{Length: uint32(len(payload)), Type: h2.FrameType(kind), Flags: h2.Flags(flags), StreamID: id & (1<<31 - 1)}
		got, err := h2.ParseFrame(h, payload)
		if err != nil {
			if _, ok := errors.AsType[*h2.Error](err); !ok {
				t.Errorf("error of type %T", err)
			}
			return
		}
		if len(got.Data)+len(got.Padding) > len(payload) {
			t.Errorf("%d bytes of data and %d of padding in %d", len(got.Data), len(got.Padding), len(payload))
		}
		for range got.Settings() {
		}
	})
}
