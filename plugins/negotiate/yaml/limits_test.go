package yaml_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/negotiate/yaml"
)

// bomb is a document whose aliases grow tenfold with each level.
func bomb(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 x\n")
	for i := range levels {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

// keys repeats a line n times, with a number in it.
func keys(n int, line string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line, i)
	}
	return b.String()
}

// TestGrowth: twice the document takes twice the memory that the library copies
// with, not four times; errors are as short as what they tell.
func TestGrowth(t *testing.T) {
	cost := func(data string) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var v any
		err := yaml.Codec{}.Unmarshal([]byte(data), &v)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%.40q: an error of %d bytes", data, len(err.Error()))
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	const n = 128 << 10
	for name, make := range map[string]func(n int) string{
		"one mapping":       func(n int) string { return keys(4*n/9, "k%05d: 1\n") },
		"mappings":          func(n int) string { return keys(n/40_000, "m%d:\n"+keys(4000, "  k%d: 1\n")) },
		"keys without":      func(n int) string { return keys(4*n/7, "k%05d:\n") },
		"one key":           func(n int) string { return strings.Repeat("a: 1\n", n/5) },
		"one key, brackets": func(n int) string { return "{" + strings.Repeat("a: b,", n/5) + "}" },
		"keys, brackets":    func(n int) string { return "{" + keys(n/9, "k%05d: b,") + "}" },
		"names":             func(n int) string { return "{" + keys(n/7, "k%05d,") + "}" },
		"list":              func(n int) string { return "[" + strings.Repeat("a,", n/8) + "]" },
		"list, wrong":       func(n int) string { return "[" + strings.Repeat("a,", n/8) + "x: y: z]" },
		"entries":           func(n int) string { return strings.Repeat("- a: 1\n", n/7) },
		"empty entries":     func(n int) string { return strings.Repeat("-\n", n/8) },
		"empty lines":       func(n int) string { return "a: |\n x" + strings.Repeat("\n", n) },
		"empty lines, wide": func(n int) string { return "a: |\n x" + strings.Repeat("\n \r", n/3) },
		"paths":             func(n int) string { return strings.Repeat("k", n) + ":\n" + strings.Repeat("- a\n", n/4) },
	} {
		once, twice := cost(make(n)), cost(make(2*n))
		if twice > 3*once+8<<20 {
			t.Errorf("%s: %.1f MiB, for twice as much %.1f MiB", name, once/(1<<20), twice/(1<<20))
		}
	}
}

// TestPanics: the library stumbles over tags that fit no target.
func TestPanics(t *testing.T) {
	for data, v := range map[string]any{"!a x": new([]string), "c: ! 1": new(struct{ C []string }), "c: !!binary aGk=": new(struct{ C []string })} {
		err := yaml.Codec{}.Unmarshal([]byte(data), v)
		if err == nil || !strings.Contains(err.Error(), "codec yaml.Codec for application/yaml") || !strings.Contains(err.Error(), fmt.Sprintf("decoding into %T, panicked", v)) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestRead(t *testing.T) {
	for name, row := range map[string]struct {
		codec yaml.Codec
		data  string
		want  string // "" = it is read
	}{
		"plain":            {yaml.Codec{}, "name: a\ntags: [x, y]\n", ""},
		"unknown":          {yaml.Codec{}, "x: a\n", ""},
		"unknown, strict":  {yaml.Codec{Strict: true}, "x: a\n", "unknown field"},
		"size":             {yaml.Codec{MaxBytes: 2}, "name: a", "the codec's limit is 2"},
		"size, by itself":  {yaml.Codec{}, "name: " + strings.Repeat("x", 1<<20), "the codec's limit is 1048576"},
		"size, lifted":     {yaml.Codec{MaxBytes: -1}, "name: " + strings.Repeat("x", 1<<20), ""},
		"quotes":           {yaml.Codec{}, strings.Repeat("\"", 500_000), "more than 1000 tokens in a row"},
		"colons":           {yaml.Codec{}, strings.Repeat("a: ", 100_000), "more than 1000 tokens in a row"},
		"brackets, row":    {yaml.Codec{}, strings.Repeat("[]", 100_000), "more than 1000 tokens in a row"},
		"inside":           {yaml.Codec{}, "[\n" + strings.Repeat("*a\n", 100_000), "more than 1000 tokens in a row"},
		"one long line":    {yaml.Codec{}, "tags: [" + strings.Repeat("'x', ", 5000) + "]", ""},
		"documents":        {yaml.Codec{}, strings.Repeat("--- a\n", 100_000), "more than 100 documents"},
		"two documents":    {yaml.Codec{}, "name: a\n---\nname: b\n", ""},
		"quoted keys":      {yaml.Codec{}, "\"name\": 'a'\n\"tags\": [\"x\", 'y', \"\"]\n'z': \"\"", ""},
		"anchors":          {yaml.Codec{}, strings.Repeat("&a ", 20_000), "more than 1000 tokens in a row"},
		"tags":             {yaml.Codec{}, strings.Repeat("!!str ", 20_000), "more than 1000 tokens in a row"},
		"anchor in anchor": {yaml.Codec{}, "x: &a\n  - &b 1\ny: &c !!str d\n", ""},
		"syntax":           {yaml.Codec{}, "name: [a", "sequence end token"},
		"nothing":          {yaml.Codec{}, "", "unexpected EOF"},
		"brackets":         {yaml.Codec{}, "name: \"" + strings.Repeat("[", 1000) + "\"", ""},
		"deep":             {yaml.Codec{}, "x: " + strings.Repeat("[", 10000), "nested more than 100 deep"},
		"deep entries":     {yaml.Codec{}, strings.Repeat("- ", 10000) + "x", "nested more than 100 deep"},
		"depth, just":      {yaml.Codec{MaxDepth: 2}, "x: [[1]]", ""},
		"depth":            {yaml.Codec{MaxDepth: 2}, "x: [[[1]]]", "nested more than 2 deep"},
		"many entries":     {yaml.Codec{MaxDepth: 2}, "tags:\n" + strings.Repeat("- x\n", 500), ""},
		"aliases":          {yaml.Codec{}, "x: &a [1]\ny: *a\n", ""},
		"bomb":             {yaml.Codec{}, bomb(9), "aliases make more than"},
		"entries":          {yaml.Codec{}, keys(5001, "k%d: 1\n"), "line 5001: a mapping of more than 5000 entries (see the codec's MaxEntries)"},
		"entries, just":    {yaml.Codec{}, keys(5000, "k%d: 1\n"), ""},
		"entries, own":     {yaml.Codec{MaxEntries: 3}, "a: 1\nb: 2\nc: 3\nd: 4\n", "more than 3 entries"},
		"entries, raised":  {yaml.Codec{MaxEntries: 1 << 20}, keys(6000, "k%d: 1\n"), ""},
		"entries, inside":  {yaml.Codec{MaxEntries: 3}, "x:\n- y:\n    a: 1\n    b: 2\n    # c\n    c: 3\n    d: 4\n", "line 7: a mapping of more than 3 entries"},
		"entries, literal": {yaml.Codec{MaxEntries: 3}, "x:\n  a: |\n    1\n    1\n  b: >\n    2\n    2\n  c: 3\n  d: 4\n", "more than 3 entries"},
		"entries, set":     {yaml.Codec{MaxEntries: 3}, "? a\n? b\n? c\n? d\n", "more than 3 entries"},
		"entries, dashes":  {yaml.Codec{MaxEntries: 3}, "- a: 1\n  b: 2\n  c: 3\n  d: 4\n", "more than 3 entries"},
		"entries, apart":   {yaml.Codec{MaxEntries: 3}, "a:\n  x: 1\n  y: 2\nb:\n  x: 1\n  y: 2\nc:\n- x: 1\n  y: 2\n- x: 1\n  y: 2\n", ""},
		"entries, flow":    {yaml.Codec{MaxEntries: 3}, "{a: 1, b: 2, c: 3, d: 4}", ""},
		"tokens":           {yaml.Codec{}, strings.Repeat("-\n", 100_001), "more than 100000 keys, values and marks (see the codec's MaxTokens)"},
		"tokens, own":      {yaml.Codec{MaxTokens: 3}, "tags: [a]", "more than 3 keys, values and marks"},
		"tokens, raised":   {yaml.Codec{MaxTokens: 1 << 20}, "tags: [" + strings.Repeat("a, ", 60_000) + "a]", ""},
		"twice":            {yaml.Codec{}, "{" + strings.Repeat("a: b,", 10_000) + "}", `mapping key "a" already defined at [1:2]`},
		"long keys":        {yaml.Codec{}, strings.Repeat("k", 128<<10) + ":\n" + strings.Repeat("- a\n", 10_000), "the paths of all nodes take more than 128 MiB"},
		"long keys, flow":  {yaml.Codec{}, "{" + strings.Repeat("k", 128<<10) + ": [" + strings.Repeat("a,", 10_000) + "]}", "the paths of all nodes take more than 128 MiB"},
		"a long key":       {yaml.Codec{}, strings.Repeat("k", 128<<10) + ": 1\nname: a\n", ""},
		"empty lines":      {yaml.Codec{}, "a: |\n x\n" + strings.Repeat(" \r\n", 52) + "b: 1\n", "line 53: more than 50 empty lines in a row"},
		"empty lines, CR":  {yaml.Codec{}, "a: |\n x\n" + strings.Repeat("\r", 52), "more than 50 empty lines in a row"},
		"fewer":            {yaml.Codec{}, strings.Repeat("# c\r\n"+strings.Repeat("\r\n", 50), 50) + "name: a\n", ""},
		"tabs":             {yaml.Codec{}, "name: \"" + strings.Repeat("\tx", 20_000) + "\"", "line 1: long lines with many tabs"},
		"tabs, short":      {yaml.Codec{}, "name: \"" + strings.Repeat("\tx\n ", 20_000) + "\"", ""},
		"angles":           {yaml.Codec{}, "name: " + strings.Repeat("<", 1001), "more than 1000 times < in a row"},
		"small bomb":       {yaml.Codec{MaxNodes: 50}, bomb(2), "aliases make more than 50 nodes"},
		"no bomb":          {yaml.Codec{}, bomb(2), ""},
	} {
		err := row.codec.Unmarshal([]byte(row.data), new(user))
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
	if err := (yaml.Codec{MaxBytes: 1}).Unmarshal([]byte("a: b"), new(user)); !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Error(err)
	}
	var v map[string]any
	if err := (yaml.Codec{}).Unmarshal([]byte("a: &x {b: 1}\nc: *x\n"), &v); err != nil || fmt.Sprint(v) != "map[a:map[b:1] c:map[b:1]]" {
		t.Errorf("%v, %v", v, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{"a: 1", "- - x", "&a [*a]", "? x\n: y", "a: |\n b", "<<: *x", bomb(2)} {
		f.Add(s)
	}
	// Nothing from outside panics or runs away.
	f.Fuzz(func(t *testing.T, data string) {
		var v any
		_ = yaml.Codec{}.Unmarshal([]byte(data), &v)
	})
}
