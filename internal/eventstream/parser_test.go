package eventstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/internal/eventstream"
)

type event = eventstream.Event

// parse gives the input in pieces of step bytes and returns the events, and what
// else the parser told, in order.
func parse(p *eventstream.Parser, input string, step int) (events []event, notes []string, err error) {
	p.OnComment = func(s string) { notes = append(notes, "comment "+s) }
	p.OnRetry = func(ms uint64) { notes = append(notes, fmt.Sprint("retry ", ms)) }
	defer p.Release()
	r := iotest.DataErrReader(strings.NewReader(input))
	for {
		space := p.Space()
		n, readErr := r.Read(space[:min(step, len(space))])
		p.Advance(n)
		for {
			var ev event
			ok, err := p.Next(&ev)
			if err != nil {
				return events, notes, err
			}
			if !ok {
				break
			}
			events = append(events, ev)
		}
		if readErr != nil {
			return events, notes, nil
		}
	}
}

func message(data string) event { return event{"message", data, ""} }

func TestParse(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5_000)
	for _, tt := range []struct {
		name, in string
		want     []event
		notes    []string
	}{
		{"nothing", "", nil, nil},
		{"one event", "data: a\n\n", []event{message("a")}, nil},
		{"CR", "data: a\r\rdata: b\r\r", []event{message("a"), message("b")}, nil},
		{"CR LF", "data: a\r\n\r\ndata: b\r\n\r\n", []event{message("a"), message("b")}, nil},
		{"line ends mixed", "data: a\r\ndata: b\ndata: c\r\rdata: d\n\r\n", []event{message("a\nb\nc"), message("d")}, nil},
		{"CR after LF ends a line too", "data: a\n\rdata: b\n\n", []event{message("a"), message("b")}, nil},
		{"several lines", "data: YHOO\ndata: +2\ndata: 10\n\n", []event{message("YHOO\n+2\n10")}, nil},
		{"the standard's example of ids", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
			[]event{{"message", "first event", "1"}, {"message", "second event", ""}, {"message", " third event", ""}}, []string{"comment test stream"}},
		{"the standard's example of empty data", "data\n\ndata\ndata\n\ndata:", []event{message(""), message("\n")}, nil},
		{"the standard's example of spaces", "data:test\n\ndata: test\n\n", []event{message("test"), message("test")}, nil},
		{"only one space goes, and no tab", "data:  a\n\ndata:\tb\n\ndata:c \n\n", []event{message(" a"), message("\tb"), message("c ")}, nil},
		{"colons in values", "data:a:b\ndata:: c\n\n", []event{message("a:b\n: c")}, nil},
		{"types", "event: add\ndata: 1\n\ndata: 2\n\nevent: add\ndata: 3\n\nevent: del\ndata: 4\n\n",
			[]event{{"add", "1", ""}, message("2"), {"add", "3", ""}, {"del", "4", ""}}, nil},
		{"an empty type is none", "event:\ndata: 1\n\nevent\ndata: 2\n\nevent: \ndata: 3\n\n", []event{message("1"), message("2"), message("3")}, nil},
		{"the last type counts", "event: a\nevent: b\ndata: 1\n\n", []event{{"b", "1", ""}}, nil},
		{"a type without data is forgotten", "event: a\n\ndata: 1\n\n", []event{message("1")}, nil},
		{"an id without data stays", "id: 7\n\ndata: 1\n\n", []event{{"message", "1", "7"}}, nil},
		{"ids stay, change, reset", "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\nid:\ndata: d\n\ndata: e\n\n",
			[]event{{"message", "a", "1"}, {"message", "b", "1"}, {"message", "c", "2"}, {"message", "d", ""}, {"message", "e", ""}}, nil},
		{"an id with NUL is ignored", "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n", []event{{"message", "a", "1"}, {"message", "b", "1"}}, nil},
		{"NUL elsewhere is data", "data: a\x00b\nda\x00ta: c\nevent: x\x00\n\n", []event{{"x\x00", "a\x00b", ""}}, nil},
		{"an id of an unfinished event does not count", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []event{{"message", "a", "1"}}, nil},
		{"id and type together", "id: 9\nevent: add\ndata: a\n\n", []event{{"add", "a", "9"}}, nil},
		{"names are exact", "Data: a\n data: b\ndata : c\ndatas: d\ndat: e\nevents: f\nidx: 3\ndata: g\n\n", []event{message("g")}, nil},
		{"other fields", "foo: a\nwithout colon\nx\n\ndata: b\n\n", []event{message("b")}, nil},
		{"an unfinished event is dropped", "data: a\n\ndata: b\n", []event{message("a")}, nil},
		{"an unfinished line is dropped", "data: a\n\ndata: b\n\ndata: c", []event{message("a"), message("b")}, nil},
		{"CR alone finishes", "data: a\n\r", []event{message("a")}, nil},
		{"comments", ":\n: one\n:two\n:  three: four\ndata: a\n:in the middle\ndata: b\n\n", []event{message("a\nb")},
			[]string{"comment ", "comment one", "comment two", "comment  three: four", "comment in the middle"}},
		{"retry", "data: a\n\nretry: 0\ndata: b\n\nretry:007\n\n", []event{message("a"), message("b")}, []string{"retry 0", "retry 7"}},
		{"retry of anything else", "retry: 1x\nretry: -1\nretry: +1\nretry: 1.5\nretry:  1\nretry: 1 \nretry:\nretry\nretry: ١\ndata: a\n\n", []event{message("a")}, nil},
		{"retry beyond measure", "retry: 99999999999999999999999999999\n\n", nil, []string{"retry 9007199254740992"}},
		{"byte order mark", "\uFEFFdata: a\n\n", []event{message("a")}, nil},
		{"a second byte order mark", "\uFEFF\uFEFFdata: a\n\ndata: b\n\n", []event{message("b")}, nil},
		{"a byte order mark later on", "data: a\n\n\uFEFFdata: b\n\ndata: \uFEFFc\n\n", []event{message("a"), message("\uFEFFc")}, nil},
		{"half a byte order mark", "\xEF\xBBdata: a\n\ndata: b\n\n", []event{message("b")}, nil},
		{"UTF-8", "data: grüße …😀\n\n", []event{message("grüße …😀")}, nil},
		{"not UTF-8", "event: \xFF\nid: \xC0\x80\ndata: a\xE2\x82b\xF0\x9F\x98c\xED\xA0\x80d\xF5\n\n",
			[]event{{"\uFFFD", "a\uFFFDb\uFFFDc\uFFFD\uFFFD\uFFFDd\uFFFD", "\uFFFD\uFFFD"}}, nil},
		{"characters cut between fields", "event: a\xF0\x9F\nid: \x98\x80\ndata: \xE2\ndata: \x82\xAC\n\n",
			[]event{{"a\uFFFD", "\uFFFD\n\uFFFD\uFFFD", "\uFFFD\uFFFD"}}, nil},
		{"a long line", "data: " + long + "\n\ndata: b\n\n", []event{message(long), message("b")}, nil},
		{"long lines", "data: " + long + "\r\nid: 1\r\ndata:" + long + "\r\n\r\n", []event{{"message", long + "\n" + long, "1"}}, nil},
		{"many lines", strings.Repeat("data: x\r", 5_000) + "\r", []event{message(strings.Repeat("x\n", 4_999) + "x")}, nil},
		{"blank lines", strings.Repeat("\n\r\r\n", 10_000) + "data: a\n\n", []event{message("a")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 7, 1000, 1 << 20} {
				var p eventstream.Parser
				events, notes, err := parse(&p, tt.in, step)
				if err != nil {
					t.Fatalf("by %d bytes: %v", step, err)
				}
				if diff := cmp.Diff(tt.want, events); diff != "" {
					t.Fatalf("by %d bytes (-want +got):\n%.2000s", step, diff)
				}
				if diff := cmp.Diff(tt.notes, notes); diff != "" {
					t.Fatalf("by %d bytes (-want +got):\n%s", step, diff)
				}
			}
		})
	}
}

// TestPrompt: an event is there with the last byte of its empty line, CR too.
func TestPrompt(t *testing.T) {
	for _, in := range []string{"data: a\n\n", "data: a\r\r", "data: a\r\n\r", "\r", "\uFEFFdata: a\r\r"} {
		var p eventstream.Parser
		for i := range len(in) {
			copy(p.Space(), in[i:i+1])
			p.Advance(1)
			var ev event
			ok, err := p.Next(&ev)
			if last := i == len(in)-1; err != nil || ok != (last && in != "\r") {
				t.Errorf("%q after %d bytes: %v, %v", in, i+1, ok, err)
			}
		}
		p.Release()
	}
}

// TestReset: the id outlives the stream, and nothing else does.
func TestReset(t *testing.T) {
	var p eventstream.Parser
	if _, _, err := parse(&p, "\uFEFFid: 5\nevent: x\ndata: a\n\nid: 6\nevent: y\ndata: b\r", 100); err != nil {
		t.Fatal(err)
	}
	if id := p.LastEventID(); id != "5" {
		t.Errorf("last id %q", id)
	}
	p.Reset(p.LastEventID())
	events, _, err := parse(&p, "\ndata: c\n\n", 100)
	if diff := cmp.Diff([]event{{"message", "c", "5"}}, events); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	p.Reset("9")
	if events, _, _ = parse(&p, "\uFEFFdata: d\n\n", 100); len(events) != 1 || events[0] != (event{"message", "d", "9"}) {
		t.Errorf("after Reset: %v", events)
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name, in    string
		line, event int
		what        string
	}{
		{"line at the limit", "data: 90\n\n", 8, 0, ""},
		{"line over it", "data: 901\n\n", 8, 0, "line"},
		{"comment over it", ":12345678\n", 8, 0, "line"},
		{"line without an end", "unknown: 1", 8, 0, "line"},
		{"event at the limit", "data: 12\ndata: 45\n\n", 0, 5, ""},
		{"event over it", "data: 12\ndata: 456\n\n", 0, 5, "event"},
		{"the limit is for one event", "data: 12345\n\ndata: 12345\n\n", 11, 5, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1, 5, 1000} {
				p := eventstream.Parser{MaxLine: tt.line, MaxEvent: tt.event}
				_, _, err := parse(&p, tt.in, step)
				le, ok := errors.AsType[*eventstream.LimitError](err)
				if ok != (tt.what != "") || ok && (le.What != tt.what || !strings.Contains(err.Error(), "sse.Max")) {
					t.Errorf("by %d bytes: %v, want %q", step, err, tt.what)
				}
			}
		})
	}
}

// TestMemory: a stream without an end of line does not fill the memory, and the
// buffer of a long event does not stay for ever.
func TestMemory(t *testing.T) {
	p := eventstream.Parser{MaxLine: 1 << 20, MaxEvent: 1 << 20}
	defer p.Release()
	feed := func(s string) (largest int, err error) {
		for len(s) > 0 && err == nil {
			space := p.Space()
			largest = max(largest, len(space))
			n := copy(space, s)
			p.Advance(n)
			s = s[n:]
			for ok := true; ok && err == nil; {
				ok, err = p.Next(new(event))
			}
		}
		return largest, err
	}
	if _, err := feed("data: " + strings.Repeat("x", 1<<19) + "\n\n"); err != nil {
		t.Fatal(err)
	}
	if grown, err := feed("data: a\n\n"); err != nil || grown <= 64<<10 {
		t.Fatalf("the buffer did not grow: %d, %v", grown, err)
	}
	for range 100 {
		if _, err := feed("data: a\n\n"); err != nil {
			t.Fatal(err)
		}
	}
	if largest, err := feed("data: a\n\n"); err != nil || largest > 64<<10 {
		t.Errorf("space of %d bytes after many small events, %v", largest, err)
	}
	largest, err := feed(strings.Repeat("x", 4<<20))
	if _, ok := errors.AsType[*eventstream.LimitError](err); !ok || largest > 4<<20 {
		t.Errorf("space of %d bytes, %v", largest, err)
	}
}

func TestAllocations(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		most     float64
	}{
		{"data", "data: some text\n\n", 1},
		{"lines", "data: some text\ndata: more\n\n", 1},
		{"same type and id", "event: add\nid: 1\ndata: some text\n\n", 1},
		{"other type and id each time", "event: add\nid: 1\ndata: some text\n\nevent: del\nid: 2\ndata: some text\n\n", 4},
		{"comments", ": nothing\n\n: more\n\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p eventstream.Parser
			defer p.Release()
			one := func() {
				p.Advance(copy(p.Space(), tt.in))
				for ok := true; ok; {
					ok, _ = p.Next(new(event))
				}
			}
			one()
			if n := testing.AllocsPerRun(200, one); n > tt.most {
				t.Errorf("%v allocations, want %v", n, tt.most)
			}
		})
	}
}
