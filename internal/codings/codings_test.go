package codings_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/codings"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

var errTooLarge = errors.New("too large")

func limits(ratio, max int64) codings.Limits {
	return codings.Limits{Ratio: ratio, From: 1000, Max: max, Err: errTooLarge, RatioOption: "the ratio", MaxOption: "the size"}
}

// pack applies a coding: gzip, zlib, or flate for raw deflate.
func pack(coding string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "flate":
		w, _ = flate.NewWriter(&b, 6)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error { s.closed++; return nil }

func decode(data []byte, l codings.Limits, list ...codings.Coding) ([]byte, error) {
	b := codings.NewBody(&source{Reader: bytes.NewReader(data)}, list, l)
	defer b.Close()
	return io.ReadAll(b)
}

var text = []byte(strings.Repeat("godwits fly far. ", 1000))

func TestDecode(t *testing.T) {
	gz, df := codings.Gzip(), codings.Deflate()
	for name, row := range map[string]struct {
		data []byte
		list []codings.Coding
		want []byte
	}{
		"gzip":           {pack("gzip", text), []codings.Coding{gz}, text},
		"gzip, members":  {append(pack("gzip", text[:9]), pack("gzip", text[9:])...), []codings.Coding{gz}, text},
		"zlib":           {pack("zlib", text), []codings.Coding{df}, text},
		"raw deflate":    {pack("flate", text), []codings.Coding{df}, text},
		"two":            {pack("gzip", pack("zlib", text)), []codings.Coding{df, gz}, text},
		"empty":          {nil, []codings.Coding{gz}, nil},
		"empty, two":     {nil, []codings.Coding{df, gz}, nil},
		"of nothing":     {pack("gzip", nil), []codings.Coding{gz}, nil},
		"no coding":      {text, nil, text},
		"nothing in two": {pack("gzip", nil), []codings.Coding{df, gz}, nil},
	} {
		for range 2 { // the second time with decoders used before
			got, err := decode(row.data, limits(0, 0), row.list...)
			if err != nil || !bytes.Equal(got, row.want) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	gz, df := codings.Gzip(), codings.Deflate()
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	for name, row := range map[string]struct {
		data []byte
		list []codings.Coding
		is   error
	}{
		"gzip cut":        {cut(pack("gzip", text), 20), []codings.Coding{gz}, io.ErrUnexpectedEOF},
		"checksum cut":    {cut(pack("gzip", text), 1), []codings.Coding{gz}, io.ErrUnexpectedEOF},
		"head cut":        {pack("gzip", text)[:1], []codings.Coding{gz}, io.ErrUnexpectedEOF},
		"zlib cut":        {cut(pack("zlib", text), 1), []codings.Coding{df}, io.ErrUnexpectedEOF},
		"raw cut":         {cut(pack("flate", text), 1), []codings.Coding{df}, io.ErrUnexpectedEOF},
		"outer cut":       {cut(pack("gzip", pack("zlib", text)), 9), []codings.Coding{df, gz}, io.ErrUnexpectedEOF},
		"inner cut":       {pack("gzip", cut(pack("zlib", text), 3)), []codings.Coding{df, gz}, io.ErrUnexpectedEOF},
		"no gzip":         {text, []codings.Coding{gz}, gzip.ErrHeader},
		"garbage behind":  {append(pack("zlib", text), 'x'), []codings.Coding{df}, nil},
		"garbage between": {pack("gzip", append(pack("zlib", text), 'x')), []codings.Coding{df, gz}, nil},
	} {
		_, err := decode(row.data, limits(0, 0), row.list...)
		oe, ok := errors.AsType[*engine.OpError](err)
		if !ok || oe.Op != engine.OpDecode || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lost := &engine.OpError{Op: engine.OpReceive, Err: io.ErrUnexpectedEOF}
	b := codings.NewBody(&source{Reader: io.MultiReader(bytes.NewReader(pack("gzip", text)[:30]), failing{lost})}, []codings.Coding{gz}, limits(0, 0))
	defer b.Close()
	if _, err := io.ReadAll(b); err != lost {
		t.Errorf("lost connection: %v", err)
	}
	if _, err := b.Read(make([]byte, 1)); err != lost {
		t.Errorf("read again: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestGuard(t *testing.T) {
	gz := codings.Gzip()
	zeros := make([]byte, 1<<20)
	// Members of nothing: they decode to nothing, but the layer that holds them
	// is large.
	nothing := bytes.Repeat(pack("gzip", nil), 50_000)
	for name, row := range map[string]struct {
		data   []byte
		list   []codings.Coding
		limits codings.Limits
		fails  string
	}{
		"ratio":              {pack("gzip", zeros), []codings.Coding{gz}, limits(100, 0), "the ratio"},
		"ratio, all right":   {pack("gzip", zeros), []codings.Coding{gz}, limits(2000, 0), ""},
		"below From":         {pack("gzip", zeros[:999]), []codings.Coding{gz}, limits(1, 0), ""},
		"size":               {pack("gzip", zeros), []codings.Coding{gz}, limits(0, 1<<20-1), "the size"},
		"size, all right":    {pack("gzip", zeros), []codings.Coding{gz}, limits(0, 1<<20), ""},
		"nested":             {pack("gzip", pack("gzip", zeros)), []codings.Coding{gz, gz}, limits(1100, 0), "the ratio"},
		"intermediate ratio": {pack("gzip", nothing), []codings.Coding{gz, gz}, limits(100, 0), "the ratio"},
		"intermediate size":  {pack("gzip", nothing), []codings.Coding{gz, gz}, limits(0, 1<<20), "the size"},
	} {
		got, err := decode(row.data, row.limits, row.list...)
		if row.fails == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), row.fails) {
			t.Errorf("%s: %v", name, err)
		}
		if bound := row.limits.Max + row.limits.Ratio*int64(len(row.data)) + 64<<10; int64(len(got)) > bound {
			t.Errorf("%s: %d bytes came out", name, len(got))
		}
	}
}

// TestClose: Close reaches a read that waits, and closes the decoder after it.
func TestClose(t *testing.T) {
	pr, pw := io.Pipe()
	var mu sync.Mutex
	reading, closedWhileReading, closed := false, false, 0
	b := codings.NewBody(pr, []codings.Coding{{Name: "x", Open: func(r io.Reader) (io.Reader, error) {
		return &watched{
			read: func(p []byte) (int, error) {
				mu.Lock()
				reading = true
				mu.Unlock()
				n, err := r.Read(p)
				mu.Lock()
				reading = false
				mu.Unlock()
				return n, err
			},
			close: func() {
				mu.Lock()
				closedWhileReading = reading
				closed++
				mu.Unlock()
			},
		}, nil
	}}}, limits(0, 0))
	pw2 := make(chan struct{})
	go func() { pw.Write([]byte("a")); close(pw2) }()
	if n, err := b.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	<-pw2
	done := make(chan error)
	go func() {
		_, err := b.Read(make([]byte, 10))
		done <- err
	}()
	b.Close()
	b.Close()
	if err := <-done; err == nil || err == io.EOF {
		t.Errorf("read ended with %v", err)
	}
	if closed != 1 || closedWhileReading {
		t.Errorf("closed %d times, while reading: %v", closed, closedWhileReading)
	}
}

type watched struct {
	read  func([]byte) (int, error)
	close func()
}

func (w *watched) Read(p []byte) (int, error) { return w.read(p) }
func (w *watched) Close() error               { w.close(); return nil }

func TestParallel(t *testing.T) {
	data := pack("gzip", pack("zlib", text))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range 20 {
				b := codings.NewBody(&source{Reader: bytes.NewReader(data)}, []codings.Coding{codings.Deflate(), codings.Gzip()}, limits(0, 0))
				if i%3 == 0 {
					io.CopyN(io.Discard, b, 10)
				} else if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				b.Close()
			}
		})
	}
	wg.Wait()
}

// FuzzBody: whatever comes over the wire, decoding ends without a panic, yields
// no more than the guard allows, and fails only with an error that names its
// phase.
func FuzzBody(f *testing.F) {
	for _, c := range []string{"gzip", "zlib", "flate"} {
		f.Add(pack(c, text), uint8(3))
		f.Add(pack("gzip", pack(c, text)), uint8(0))
	}
	f.Add(pack("gzip", make([]byte, 1<<20)), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		all := []codings.Coding{codings.Gzip(), codings.Deflate()}
		list := []codings.Coding{all[which&1]}
		if which&2 == 0 {
			list = append(list, all[which>>2&1])
		}
		got, err := decode(data, limits(50, 100_000), list...)
		if len(got) > 100_000+64<<10 {
			t.Errorf("%d bytes came out of %d", len(got), len(data))
		}
		if err != nil {
			if _, ok := errors.AsType[*engine.OpError](err); !ok {
				t.Errorf("error without a phase: %v", err)
			}
		}
	})
}

type panicking struct {
	io.Reader
	t *testing.T
}

func (p *panicking) Read([]byte) (int, error) { panic(errTooLarge) }
func (p *panicking) Close() error             { p.t.Error("closed after a panic"); return nil }

// TestPanics: a decoder that stumbles is an error of the body, and is not used
// again.
func TestPanics(t *testing.T) {
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"open": func(io.Reader) (io.Reader, error) { panic(errTooLarge) },
		"read": func(r io.Reader) (io.Reader, error) { return &panicking{r, t}, nil },
	} {
		src := &source{Reader: bytes.NewReader(text)}
		b := codings.NewBody(src, []codings.Coding{{Name: "x", Open: open}}, limits(0, 0))
		_, err := io.ReadAll(b)
		_, again := b.Read(make([]byte, 1))
		if e, ok := errors.AsType[*engine.OpError](err); !ok || e.Op != engine.OpDecode || !errors.Is(err, errTooLarge) ||
			!strings.Contains(err.Error(), "content coding x: the decoder panicked") || again != err {
			t.Errorf("%s: %v, then %v", name, err, again)
		}
		if err := b.Close(); err != nil || src.closed != 1 {
			t.Errorf("%s: closed %d times, %v", name, src.closed, err)
		}
	}
}
