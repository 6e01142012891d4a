package eventstream_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"github.com/godwit-go/godwit/internal/eventstream"
)

// byTheBook parses a whole stream as the standard's text says, with no thought of
// speed.
func byTheBook(t *testing.T, input string) (events []event) {
	decoded, err := unicode.UTF8.NewDecoder().String(input)
	if err != nil {
		t.Fatal(err)
	}
	decoded = strings.TrimPrefix(decoded, "\uFEFF")
	decoded = strings.ReplaceAll(strings.ReplaceAll(decoded, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(decoded, "\n")
	var data, typ, id, lastID string
	for _, line := range lines[:len(lines)-1] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			lastID = id
			if data != "" {
				if typ == "" {
					typ = "message"
				}
				events = append(events, event{Type: typ, Data: strings.TrimSuffix(data, "\n"), LastEventID: lastID})
			}
			data, typ = "", ""
		case name == "event":
			typ = value
		case name == "data":
			data += value + "\n"
		case name == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return events
}

// FuzzParser: no input panics, the events are those of the standard, and the same
// however the input is split and whatever was parsed before.
func FuzzParser(f *testing.F) {
	f.Add("data: a\n\nid: 1\nevent: x\r\ndata\r\rretry: 5\r\n: c\n\n", uint16(3))
	f.Add("\uFEFFdata:  b\rdata: \xE2\x82\xFFc\n\r\n\n\rid:\x00\n\n", uint16(1))
	f.Add("id: 2\n\nevent\ndata: "+strings.Repeat("long ", 20)+"\ndata:\n\n", uint16(999))
	f.Fuzz(func(t *testing.T, input string, step uint16) {
		want := byTheBook(t, input)
		var p eventstream.Parser
		for _, by := range []int{max(1, int(step)), len(input) + 1, 1} {
			p.Reset("")
			events, _, err := parse(&p, input, by)
			if err != nil {
				t.Fatalf("by %d bytes: %v", by, err)
			}
			if !slices.Equal(events, want) {
				t.Fatalf("by %d bytes: %q, want %q", by, events, want)
			}
		}
	})
}
