package main

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/godwit-go/godwit/sse"
)

// sseParsers read a stream to its end and return the number of events and the
// bytes of their data. r3labs only cuts the stream into events here: what makes
// fields of them is not exported, so that it does less than the others.
var sseParsers = []struct {
	name string
	read func(io.Reader) (events, size int, err error)
}{
	{"godwit", func(r io.Reader) (events, size int, err error) {
		for ev, err := range sse.Read(r) {
			if err != nil {
				return events, size, err
			}
			events++
			size += len(ev.Data)
		}
		return events, size, nil
	}},
	{"tmaxmax", func(r io.Reader) (events, size int, err error) {
		for ev, err := range tmaxmax.Read(r, &tmaxmax.ReadConfig{MaxEventSize: 32 << 20}) {
			if err != nil {
				return events, size, err
			}
			events++
			size += len(ev.Data)
		}
		return events, size, nil
	}},
	{"r3labs-cut-only", func(r io.Reader) (events, size int, err error) {
		reader := r3labs.NewEventStreamReader(r, 32<<20)
		for {
			ev, err := reader.ReadEvent()
			if err == io.EOF {
				return events, size, nil
			}
			if err != nil {
				return events, size, err
			}
			events++
			size += len(ev)
		}
	}},
}

// BenchmarkSSEParse is the parsers beside one another: streams of some 64 MiB
// from memory, by events of one kind.
//
//	cd bench && go test -run '^$' -bench SSEParse
func BenchmarkSSEParse(b *testing.B) {
	const total = 64 << 20 // so that growing the buffer once is no matter
	ascii := strings.Repeat("The longest flight without rest. ", 1<<15)
	utf8 := strings.Repeat("Der längste Flug – ohne Pause … 鷸 ", 1<<15)
	for _, kind := range []struct{ name, data string }{
		{"line=1MiB", ascii[:1<<20]},
		{"line=64KiB", ascii[:64<<10]},
		{"line=4KiB", ascii[:4<<10]},
		{"line=64KiB,utf8", strings.ToValidUTF8(utf8[:64<<10], "")},
		{"line=64B", ascii[:64]},
		{"lines=16x64B", strings.Join(strings.SplitAfterN(ascii[:16*33], ". ", 16), "\n")},
	} {
		var stream bytes.Buffer
		events := 0
		for ; stream.Len() < total; events++ {
			fmt.Fprintf(&stream, "id: %d\nevent: leg\n", events)
			for line := range strings.SplitSeq(kind.data, "\n") {
				fmt.Fprintf(&stream, "data: %s\n", line)
			}
			stream.WriteByte('\n')
		}
		for _, p := range sseParsers {
			b.Run(kind.name+"/"+p.name, func(b *testing.B) {
				b.SetBytes(int64(stream.Len()))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for b.Loop() {
					n, size, err := p.read(bytes.NewReader(stream.Bytes()))
					if err != nil || n != events || size < events*len(kind.data) {
						b.Fatalf("%d events of %d bytes, %v; want %d of %d", n, size, err, events, events*len(kind.data))
					}
				}
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N*events), "allocs/event")
			})
		}
	}
}
