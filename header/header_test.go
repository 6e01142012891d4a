package header_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/header"
)

func lines(s string) string {
	return strings.ReplaceAll(strings.TrimSuffix(s, "\r\n"), "\r\n", "|")
}

func TestHeaderRead(t *testing.T) {
	h := header.New("Accept", "a", "X-One", "", "accept", "b", "Set-Cookie", "c")
	if got := h.Get("ACCEPT"); got != "a" {
		t.Errorf("Get: %q", got)
	}
	if v, ok := h.Lookup("x-one"); v != "" || !ok || !h.Has("x-one") {
		t.Errorf("Lookup of an empty field: %q, %v", v, ok)
	}
	if v, ok := h.Lookup("nope"); v != "" || ok || h.Has("nope") || h.Get("nope") != "" || h.Values("nope") != nil || h.Joined("nope") != "" {
		t.Errorf("Lookup of no field: %q, %v", v, ok)
	}
	if got := h.Values("accept"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Values: %q", got)
	}
	if got := h.Joined("accept"); got != "a, b" {
		t.Errorf("Joined: %q", got)
	}
	if got := h.Joined("set-cookie"); got != "c" {
		t.Errorf("Joined of one: %q", got)
	}
	if got := h.Names(); !slices.Equal(got, []string{"Accept", "X-One", "Set-Cookie"}) {
		t.Errorf("Names: %q", got)
	}
	if h.Len() != 4 || h.At(2) != (header.Field{Name: "accept", Value: "b"}) {
		t.Errorf("Len %d, At(2) %v", h.Len(), h.At(2))
	}
	for name := range h.All() {
		if name != "Accept" {
			t.Errorf("All went on after break: %q", name)
		}
		break
	}
	if got, want := h.String(), "Accept: a\r\nX-One: \r\naccept: b\r\nSet-Cookie: c\r\n"; got != want {
		t.Errorf("String: %q", got)
	}
}

func TestHeaderChange(t *testing.T) {
	tests := []struct {
		name   string
		change func(*header.Header)
		want   string
	}{
		{"Add", func(h *header.Header) { h.Add("a", "4") }, "A: 1|B: 2|a: 3|a: 4"},
		{"AddAll", func(h *header.Header) { h.AddAll("C", "4", "5") }, "A: 1|B: 2|a: 3|C: 4|C: 5"},
		{"Set replaces in place", func(h *header.Header) { h.Set("a", "4") }, "a: 4|B: 2"},
		{"Set of a new one", func(h *header.Header) { h.Set("C", "4") }, "A: 1|B: 2|a: 3|C: 4"},
		{"SetIfAbsent, present", func(h *header.Header) { h.SetIfAbsent("b", "4") }, "A: 1|B: 2|a: 3"},
		{"SetIfAbsent, absent", func(h *header.Header) { h.SetIfAbsent("C", "4") }, "A: 1|B: 2|a: 3|C: 4"},
		{"Del", func(h *header.Header) { h.Del("a") }, "B: 2"},
		{"Del of none", func(h *header.Header) { h.Del("C") }, "A: 1|B: 2|a: 3"},
		{"Filter", func(h *header.Header) { h.Filter(func(f header.Field) bool { return f.Name == "A" }) }, "A: 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const before = "A: 1|B: 2|a: 3"
			base := header.New("A", "1", "B", "2", "a", "3").CopyTo(nil, 8) // room, so that a view could write into it
			own, view, clone := base.Clone(), base.View(), base.Clone()
			other := base.View()
			tt.change(&own)
			tt.change(&view)
			if got := lines(own.String()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := lines(view.String()); got != tt.want {
				t.Errorf("view: got %s, want %s", got, tt.want)
			}
			for name, h := range map[string]header.Header{"base": base, "clone": clone, "other view": other} {
				if got := lines(h.String()); got != before {
					t.Errorf("%s changed: %s", name, got)
				}
			}
		})
	}
}

func TestHeaderZeroAndEqual(t *testing.T) {
	var h header.Header
	h.Del("a")
	h.Filter(func(header.Field) bool { return true })
	if h.Len() != 0 || h.String() != "" || h.Names() != nil {
		t.Errorf("zero value: %q", h)
	}
	if !h.SetIfAbsent("A", "1") || h.SetIfAbsent("a", "2") {
		t.Error("SetIfAbsent on the zero value")
	}
	if !h.Equal(header.Of([]header.Field{{Name: "a", Value: "1"}})) || h.Equal(header.New("A", "2")) || h.Equal(header.Header{}) {
		t.Error("Equal")
	}
	if header.New("A", "1", "B", "2").Equal(header.New("B", "2", "A", "1")) {
		t.Error("Equal does not look at the order")
	}
	defer func() {
		if recover() == nil {
			t.Error("New took an odd number of strings")
		}
	}()
	odd := strings.Fields("a")
	header.New(odd...)
}

func TestEqualFold(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"aZ-9", "Az-9", true}, {"a", "ab", false}, {"k", "\u212a", false},
		{"@", "`", false}, {"[", "{", false}, {"\xc4", "\xe4", false},
	}
	for _, tt := range tests {
		if got := header.EqualFold(tt.a, tt.b); got != tt.want {
			t.Errorf("EqualFold(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

func TestValid(t *testing.T) {
	for c := range 256 {
		want := c > ' ' && c < 0x7f && !strings.ContainsRune("\"(),/:;<=>?@[\\]{}", rune(c))
		if got := header.IsTokenChar(byte(c)); got != want {
			t.Errorf("IsTokenChar(%#x) = %v", c, got)
		}
	}
	names := map[string]bool{"": false, "A-b": true, "a b": false, "a:": false, "a\r\n": false, "ä": false, "\x00": false}
	for s, want := range names {
		if header.ValidName(s) != want || header.IsToken(s) != want {
			t.Errorf("ValidName(%q) = %v", s, !want)
		}
	}
	values := map[string]bool{
		"": true, "a b\tc": true, "ä\x80\xff": true, " a": false, "a\t": false, "a\rb": false, "a\nb": false,
		"a\x00": false, "\x7f": false, " ": false, "\x1b": false,
	}
	for s, want := range values {
		if header.ValidValue(s) != want {
			t.Errorf("ValidValue(%q) = %v", s, !want)
		}
	}
}
