package content_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
)

func TestForm(t *testing.T) {
	tests := []struct {
		name string
		c    content.Content
		want string
	}{
		{"sorted", content.Form(url.Values{"b": {"2", "1"}, "a": {""}, "c": nil}), "a=&b=2&b=1"},
		{"empty", content.Form(nil), ""},
		{"in order", content.FormPairs("b", "1", "a", "2", "b", "3"), "b=1&a=2&b=3"},
		{"no pairs", content.FormPairs(), ""},
		{"escapes", content.FormPairs("a b&", "~*-._=+%/ü\r\n\x00"), "a+b%26=%7E*-._%3D%2B%25%2F%C3%BC%0D%0A%00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := twoWays(t, tt.c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.c.ContentType() != "application/x-www-form-urlencoded" {
				t.Errorf("type %q", tt.c.ContentType())
			}
			if b, ok := content.BytesOf(tt.c); !ok || string(b) != tt.want {
				t.Errorf("BytesOf: %q, %v", b, ok)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("FormPairs took an odd number of strings")
		}
	}()
	odd := strings.Fields("a")
	content.FormPairs(odd...)
}

// What a form encodes, url.ParseQuery decodes to the same.
func FuzzForm(f *testing.F) {
	f.Add("a b", "~*&=%ü")
	f.Fuzz(func(t *testing.T, name, value string) {
		b, _ := content.BytesOf(content.FormPairs(name, value))
		got, err := url.ParseQuery(string(b))
		if err != nil || len(got) != 1 || len(got[name]) != 1 || got.Get(name) != value {
			t.Errorf("%q=%q: %q parses to %q, %v", name, value, b, got, err)
		}
	})
}

// upper marshals itself by a method of its pointer.
type upper struct{ s string }

func (u *upper) MarshalText() ([]byte, error) {
	if u.s == "bad" {
		return nil, errBroken
	}
	return []byte(strings.ToUpper(u.s)), nil
}

type level int8

type Base struct {
	ID   int    `form:"id"`
	Name string `form:"name"`
}

type hidden struct {
	Page int `form:"page"`
	note string
}

type everything struct {
	hidden
	*Base
	Plain    string
	Name     string    `form:"name"`
	Flag     bool      `form:"flag"`
	Small    level     `form:"small"`
	Big      uint64    `form:"big"`
	Float    float64   `form:"float"`
	Single   float32   `form:"single"`
	Raw      []byte    `form:"raw"`
	Tags     []string  `form:"tag"`
	Pair     [2]int    `form:"pair"`
	Ptr      *int      `form:"ptr"`
	Nil      *string   `form:"nil"`
	Any      any       `form:"any"`
	When     time.Time `form:"when"`
	Text     upper     `form:"text"`
	Texts    []*upper  `form:"texts"`
	Skipped  string    `form:"-"`
	Dash     string    `form:"-,"`
	Zero     int       `form:"zero,omitempty"`
	None     []int     `form:"none,omitempty"`
	Never    time.Time `form:",omitempty"`
	Given    string    `form:"given,omitempty"`
	internal string    `form:"internal"`
}

func TestFormOf(t *testing.T) {
	seven := 7
	v := everything{
		hidden: hidden{Page: 2, note: "x"}, Base: &Base{ID: 1, Name: "inner"}, Plain: "p", Name: "outer", Flag: true, Small: -3,
		Big: math.MaxUint64, Float: 1e21, Single: 0.1, Raw: []byte("r w"), Tags: []string{"a", "b"}, Pair: [2]int{4, 5}, Ptr: &seven,
		Any: json.Number("1.5"), When: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Text: upper{"abc"},
		Texts: []*upper{{"d"}, nil, {"e"}}, Skipped: "s", Dash: "d", Given: "g", internal: "i",
	}
	const want = "page=2&id=1&Plain=p&name=outer&flag=true&small=-3&big=18446744073709551615&float=1000000000000000000000" +
		"&single=0.1&raw=r+w&tag=a&tag=b&pair=4&pair=5&ptr=7&any=1.5&when=2030-01-02T03%3A04%3A05Z&text=ABC&texts=D&texts=E&-=d&given=g"
	for name, v := range map[string]any{"value": v, "pointer": &v} {
		c, err := content.FormOf(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := readAll(t, c); got != want {
			t.Errorf("%s: got\n%s, want\n%s", name, got, want)
		}
	}
	values, err := content.EncodeValues(&v)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.ParseQuery(want)
	if err != nil || values.Encode() != parsed.Encode() {
		t.Errorf("EncodeValues: %v, want %v", values, parsed)
	}
	v.Base = nil
	if values, err := content.EncodeValues(v); err != nil || values.Has("id") || values.Get("name") != "outer" {
		t.Errorf("with a nil embedded pointer: %v, %v", values, err)
	}
}

type inside struct{ ID int }

// TestEncodeValuesHidden: the fields of an embedded struct are sent though its own
// name is not exported, through a pointer too.
func TestEncodeValuesHidden(t *testing.T) {
	type deep struct{ *inside }
	for name, row := range map[string]struct {
		v    any
		want string
	}{
		"value":          {struct{ inside }{inside{7}}, "ID=7"},
		"pointer":        {struct{ *inside }{&inside{7}}, "ID=7"},
		"pointer, twice": {struct{ *deep }{&deep{&inside{7}}}, "ID=7"},
		"nil":            {struct{ *inside }{}, ""},
	} {
		if values, err := content.EncodeValues(row.v); err != nil || values.Encode() != row.want {
			t.Errorf("%s: %v, %v", name, values, err)
		}
	}
}

func TestEncodeValuesKinds(t *testing.T) {
	type loop struct {
		*Base
		Name string `form:"title"`
	}
	tests := []struct {
		name string
		v    any
		want string // encoded
		err  string // part of it
	}{
		{"url.Values", url.Values{"a": {"1", "2"}}, "a=1&a=2", ""},
		{"map", map[string]int{"b": 2, "a": 1}, "a=1&b=2", ""},
		{"map of any", map[string]any{"a": nil, "b": true, "c": []any{1, "x"}}, "b=true&c=1&c=x", ""},
		{"nil map", map[string]string(nil), "", ""},
		{"empty struct", struct{}{}, "", ""},
		{"promoted under another name", loop{Base: &Base{1, "n"}, Name: "t"}, "id=1&name=n&title=t", ""},
		{"embedded with a name", struct {
			time.Time
			Base `form:"base"`
		}{}, "", `"base"`},
		{"nil", nil, "", "<nil>"},
		{"nil pointer", (*Base)(nil), "", "*content_test.Base"},
		{"number", 1, "", "int"},
		{"slice", []string{"a"}, "", "[]string"},
		{"map with int keys", map[int]string{}, "", "map[int]string"},
		{"struct in a field", struct{ A struct{ B int } }{}, "", `"A"`},
		{"map in a field", struct{ A map[string]int }{A: map[string]int{}}, "", `"A"`},
		{"channel in a field", struct {
			A chan int `form:"a"`
		}{}, "", `"a"`},
		{"marshal error", struct{ A upper }{upper{"bad"}}, "", "broken"},
		{"map of what has no text", map[string]any{"k": []any{func() {}}}, "", `"k"`},
		{"two of one name", struct {
			A int `form:"x"`
			B int `form:"x"`
		}{}, "", `two form fields called "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := content.EncodeValues(tt.v)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if err == nil && got.Encode() != tt.want {
				t.Errorf("got %q, want %q", got.Encode(), tt.want)
			}
			if _, formErr := content.FormOf(tt.v); (formErr != nil) != (err != nil) {
				t.Errorf("FormOf: %v", formErr)
			}
		})
	}
	if _, err := content.EncodeValues(struct{ A upper }{upper{"bad"}}); !errors.Is(err, errBroken) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestEncodeValuesConcurrently(t *testing.T) {
	type fresh struct {
		A int `form:"a"`
		Base
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if v, err := content.EncodeValues(fresh{A: 1}); err != nil || v.Encode() != "a=1&id=0&name=" {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	wg.Wait()
}
