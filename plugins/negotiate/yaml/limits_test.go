package yaml_test

import (
	"errors"
	"fmt"
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
