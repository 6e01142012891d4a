package negotiate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/plugins/negotiate"
)

type user struct {
	Name string `json:"name" xml:"name" form:"name" csv:"name"`
	Age  int    `json:"age,omitempty" xml:"age,omitempty" form:"age,omitempty" csv:"age"`
}

func TestJSONRead(t *testing.T) {
	for name, row := range map[string]struct {
		codec negotiate.JSON
		data  string
		want  any // *user, or the text of an error
	}{
		"standard":                {negotiate.JSON{}, `{"name":"a","name":"b","x":1}`, &user{Name: "b"}},
		"standard, comment":       {negotiate.JSON{}, `{"name":"a"} // c`, "invalid character '/'"},
		"strict":                  {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"a","age":2}`, &user{"a", 2}},
		"strict, twice":           {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"a","name":"b"}`, `member "name" is there twice`},
		"strict, twice inside":    {negotiate.JSON{Mode: negotiate.Strict, Unknown: negotiate.IgnoreUnknown}, `{"name":"a","x":[{"y":1,"y":{}}]}`, `member "y" is there twice`},
		"strict, same in two":     {negotiate.JSON{Mode: negotiate.Strict, Unknown: negotiate.IgnoreUnknown}, `{"name":"a","x":[{"y":"y"},{"y":1,"name":{"name":2}}]}`, &user{Name: "a"}},
		"strict, unknown":         {negotiate.JSON{Mode: negotiate.Strict}, `{"x":1}`, `unknown field "x"`},
		"strict, UTF-8":           {negotiate.JSON{Mode: negotiate.Strict}, "{\"name\":\"\xff\"}", "UTF-8"},
		"strict, more":            {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"a"} {}`, "more data"},
		"strict, cut":             {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"a"`, "unexpected EOF"},
		"strict, case":            {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"a","NAME":"b"}`, `members "name" and "NAME" are both the field "name"`},
		"strict, case alone":      {negotiate.JSON{Mode: negotiate.Strict}, `{"NAME":"b"}`, &user{Name: "b"}},
		"strict, surrogate":       {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"\ud800"}`, `\ud800: half of a surrogate pair`},
		"strict, two high":        {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"\ud83d\ud83d\ude00"}`, `\ud83d: half`},
		"strict, low alone":       {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"x\uDE00"}`, `\ude00: half`},
		"strict, cut escape":      {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"\ud83d\u00`, `\ud83d: half`},
		"strict, in a name":       {negotiate.JSON{Mode: negotiate.Strict, Unknown: negotiate.IgnoreUnknown}, `{"\udc00":1}`, "half"},
		"strict, pair":            {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"\ud83d\ude00\ud83d\ude00\\ud800\u00e9"}`, &user{Name: `😀😀\ud800é`}},
		"strict, noncharacter":    {negotiate.JSON{Mode: negotiate.Strict}, `{"name":"\uffff"}`, "noncharacters"},
		"standard, surrogate":     {negotiate.JSON{}, `{"name":"\ud800"}`, &user{Name: "\uFFFD"}},
		"refuse unknown":          {negotiate.JSON{Unknown: negotiate.RefuseUnknown}, `{"name":"a","name":"b","x":1}`, `unknown field "x"`},
		"refuse, more":            {negotiate.JSON{Unknown: negotiate.RefuseUnknown}, `{"name":"a"}]`, "more data"},
		"lenient":                 {negotiate.JSON{Mode: negotiate.Lenient}, "// c\n{\"name\": \"a // /* , ]\" /* , */ , /* x */ \"age\": 2 , // d\n}", &user{"a // /* , ]", 2}},
		"lenient, escapes":        {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"\"//\\",}`, &user{Name: `"//\`}},
		"lenient, two commas":     {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"a",,}`, "invalid character ','"},
		"lenient, only a comma":   {negotiate.JSON{Mode: negotiate.Lenient}, `{,}`, "invalid character ','"},
		"lenient, comma inside":   {negotiate.JSON{Mode: negotiate.Lenient}, `{"x":[,]}`, "invalid character ','"},
		"lenient, comma first":    {negotiate.JSON{Mode: negotiate.Lenient}, `{"x":[ /* c */ , 1]}`, "invalid character ','"},
		"lenient, after a colon":  {negotiate.JSON{Mode: negotiate.Lenient}, `{"x":,}`, "invalid character ','"},
		"lenient, after values":   {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"a","x":[[1,],{"y":true,},[],"s",],}`, &user{Name: "a"}},
		"lenient, comma alone":    {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"a"},`, "invalid character ','"},
		"lenient, open comment":   {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"a"} /* x`, "invalid character '/'"},
		"lenient, open string":    {negotiate.JSON{Mode: negotiate.Lenient}, `{"name":"a\`, "in string escape"},
		"lenient, refuse unknown": {negotiate.JSON{Mode: negotiate.Lenient, Unknown: negotiate.RefuseUnknown}, `{"x":1,}`, `unknown field "x"`},
		"size":                    {negotiate.JSON{MaxBytes: 5}, `{"name":"a"}`, "the codec's limit is 5"},
		"size, just":              {negotiate.JSON{MaxBytes: 12}, `{"name":"a"}`, &user{Name: "a"}},
		"depth":                   {negotiate.JSON{MaxDepth: 2}, `{"x":[[1]]}`, "nested more than 2 deep"},
		"depth, just":             {negotiate.JSON{MaxDepth: 2}, `{"name":"[[[","x":[1],"y":[2]}`, &user{Name: "[[["}},
	} {
		var got user
		err := row.codec.Unmarshal([]byte(row.data), &got)
		if text, fails := row.want.(string); fails {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %s", name, err, text)
			}
		} else if err != nil || got != *row.want.(*user) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	var v any
	if err := (negotiate.JSON{UseNumber: true}).Unmarshal([]byte(`9007199254740993`), &v); err != nil || v != json.Number("9007199254740993") {
		t.Errorf("%v, %v", v, err)
	}
	if err := (negotiate.JSON{UseNumber: true}).Unmarshal(nil, &v); err == nil {
		t.Error("nothing was a value")
	}
	err := negotiate.JSON{MaxBytes: 1}.Unmarshal([]byte("{}"), &v)
	if !errors.Is(err, godwit.ErrBodyTooLarge) {
		t.Errorf("%v", err)
	}
}

type (
	inner  struct{ Deep int }
	Shared struct {
		B int `json:"b"`
		Z []inner
	}
	itself struct{ X int }
	outer  struct {
		Shared
		*Extra
		A      int `json:"a"`
		BigA   int `json:"A"`
		Hidden int `json:"-"`
		Map    map[string]map[string]int
		Any    any
		Itself itself
		Ptr    **inner
	}
	Extra struct {
		C int
		*outer
	}
)

func (i *itself) UnmarshalJSON([]byte) error { return nil }

// TestJSONStrictFields: members that mean one field are refused, wherever the
// field is; others of like names are not.
func TestJSONStrictFields(t *testing.T) {
	for data, want := range map[string]string{
		`{"a":1,"A":2}`:                                       "",
		`{"b":1,"B":2}`:                                       `members "b" and "B" are both the field "b"`,
		`{"C":1,"c":2}`:                                       `members "C" and "c" are both the field "C"`,
		`{"Z":[{"Deep":1},{"deep":1}]}`:                       "",
		`{"z":[{"Deep":1},{"Deep":1,"deep":1}]}`:              `members "Deep" and "deep"`,
		`{"Ptr":{"Deep":1,"deep":1}}`:                         `members "Deep" and "deep"`,
		`{"Map":{"k":{"x":1,"X":2},"K":{}}}`:                  "",
		`{"Map":{"k":{"x":1,"x":2}}}`:                         `member "x" is there twice`,
		`{"Any":{"x":1,"X":2}}`:                               "",
		`{"Itself":{"x":1,"X":2}}`:                            "",
		`{"x":1,"X":2,"low":1,"Low":2,"hidden":1,"HIDDEN":2}`: "",
		`{"MAP":{},"Map":{}}`:                                 `members "MAP" and "Map" are both the field "Map"`,
	} {
		err := negotiate.JSON{Mode: negotiate.Strict, Unknown: negotiate.IgnoreUnknown}.Unmarshal([]byte(data), new(outer))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
	var list []map[string]inner
	if err := (negotiate.JSON{Mode: negotiate.Strict}).Unmarshal([]byte(`[{"k":{"Deep":1},"K":{"Deep":1,"DEEP":2}}]`), &list); err == nil {
		t.Error("a list of maps of structs: no error")
	}
}

func TestJSONWrite(t *testing.T) {
	for name, row := range map[string]struct {
		codec negotiate.JSON
		want  string
	}{
		"default":  {negotiate.JSON{}, `{"name":"\u003ca\u003e","age":1}`},
		"raw HTML": {negotiate.JSON{RawHTML: true}, `{"name":"<a>","age":1}`},
		"indent":   {negotiate.JSON{Indent: "  "}, "{\n  \"name\": \"\\u003ca\\u003e\",\n  \"age\": 1\n}"},
	} {
		got, err := row.codec.Marshal(user{"<a>", 1})
		if err != nil || string(got) != row.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := (negotiate.JSON{RawHTML: true}).Marshal(make(chan int)); err == nil {
		t.Error("a channel was JSON")
	}
}

func TestXML(t *testing.T) {
	type doc struct {
		XMLName struct{} `xml:"user"`
		user
	}
	for name, row := range map[string]struct {
		codec negotiate.XML
		data  string
		want  any
	}{
		"plain":            {negotiate.XML{}, `<user><name>a</name><x/></user>`, user{Name: "a"}},
		"latin 1":          {negotiate.XML{}, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><user><name>\xe9</name></user>", user{Name: "é"}},
		"unknown charset":  {negotiate.XML{}, `<?xml version="1.0" encoding="x-none"?><user/>`, `unknown charset "x-none"`},
		"comment after":    {negotiate.XML{}, "<user><name>a</name></user>\n<!-- c -->\n<?p i?>", user{Name: "a"}},
		"two roots":        {negotiate.XML{}, `<user/><user/>`, "more than one root"},
		"text after":       {negotiate.XML{}, `<user/>x`, "text after"},
		"nothing":          {negotiate.XML{}, ` `, "no XML element"},
		"cut":              {negotiate.XML{}, `<user><name>a`, "unexpected EOF"},
		"size":             {negotiate.XML{MaxBytes: 3}, `<user/>`, "limit is 3"},
		"strict entity":    {negotiate.XML{}, `<user><name>&eacute;</name></user>`, "invalid character entity"},
		"lenient entity":   {negotiate.XML{Lenient: true}, `<user a=b><name>&eacute;<br></name></user>`, user{Name: "é"}},
		"no external ones": {negotiate.XML{}, `<!DOCTYPE user [<!ENTITY x SYSTEM "file:///etc/passwd">]><user><name>&x;</name></user>`, "invalid character entity &x;"},
	} {
		var got doc
		err := row.codec.Unmarshal([]byte(row.data), &got)
		if text, fails := row.want.(string); fails {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %s", name, err, text)
			}
		} else if err != nil || got.user != row.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for want, codec := range map[string]negotiate.XML{
		`<user><name>a</name></user>`: {},
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<user>\n <name>a</name>\n</user>": {Declaration: true, Indent: " "},
	} {
		if got, err := codec.Marshal(user{Name: "a"}); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

type base struct {
	Kind string `form:"kind"`
}

type Outer struct {
	Deep int `form:"deep"`
}

type form struct {
	base
	*Outer
	Name    string    `form:"name"`
	Tags    []string  `form:"tag"`
	Numbers []int     `form:"n"`
	On      bool      `form:"on"`
	Ratio   float32   `form:"ratio"`
	Small   uint8     `form:"small"`
	When    time.Time `form:"when"`
	Opt     *int      `form:"opt"`
	Raw     []byte    `form:"raw"`
	Any     any       `form:"any"`
	Skip    string    `form:"-"`
	Plain   string
}

func TestForm(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seven := 7
	full := form{
		base: base{"k"}, Outer: &Outer{3}, Name: "a&b é", Tags: []string{"x", "y"}, Numbers: []int{1, 2}, On: true, Ratio: 1.5, Small: 255,
		When: when, Opt: &seven, Raw: []byte("raw"), Any: "any", Plain: "p",
	}
	data, err := negotiate.Form{}.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var back form
	if err := (negotiate.Form{}).Unmarshal(data, &back); err != nil || !cmp.Equal(back, full, cmp.AllowUnexported(form{})) {
		t.Errorf("%s: %v\n%s", data, err, cmp.Diff(full, back, cmp.AllowUnexported(form{})))
	}
	for name, row := range map[string]struct {
		codec negotiate.Form
		data  string
		into  any
		want  any
	}{
		"case":          {negotiate.Form{}, "PLAIN=x&Name=y", new(form), &form{Plain: "x", Name: "y"}},
		"any":           {negotiate.Form{}, "a=1&a=2", new(any), ptr[any](url.Values{"a": {"1", "2"}})},
		"values":        {negotiate.Form{}, "a=1&a=2", new(url.Values), &url.Values{"a": {"1", "2"}}},
		"map":           {negotiate.Form{}, "a=1&a=2&b=%20", new(map[string]string), &map[string]string{"a": "1", "b": " "}},
		"map of ints":   {negotiate.Form{}, "a=1", new(map[string]int), &map[string]int{"a": 1}},
		"pointer":       {negotiate.Form{}, "name=x", new(*user), ptr(&user{Name: "x"})},
		"unknown":       {negotiate.Form{}, "zzz=1&name=x", new(user), &user{Name: "x"}},
		"refused":       {negotiate.Form{Unknown: negotiate.RefuseUnknown}, "zzz=1&name=x", new(user), `unknown parameter "zzz"`},
		"bad number":    {negotiate.Form{}, "age=x", new(user), `parameter "age": strconv.ParseInt: parsing "x"`},
		"out of range":  {negotiate.Form{}, "small=256", new(form), `parameter "small"`},
		"bad bool":      {negotiate.Form{}, "on=maybe", new(form), `parameter "on"`},
		"bad time":      {negotiate.Form{}, "when=now", new(form), `parameter "when"`},
		"bad element":   {negotiate.Form{}, "n=1&n=x", new(form), `parameter "n"`},
		"bad in a map":  {negotiate.Form{}, "a=x", new(map[string]int), `parameter "a"`},
		"bad escape":    {negotiate.Form{}, "a=%zz", new(form), "%zz"},
		"no struct":     {negotiate.Form{}, "a=1", new([]string), "no struct"},
		"no pointer":    {negotiate.Form{}, "a=1", user{}, "a pointer is wanted"},
		"nil pointer":   {negotiate.Form{}, "a=1", (*user)(nil), "a pointer is wanted"},
		"size":          {negotiate.Form{MaxBytes: 2}, "a=1", new(user), "limit is 2"},
		"not into skip": {negotiate.Form{}, "Skip=1&-=2", new(form), &form{}},
	} {
		err := row.codec.Unmarshal([]byte(row.data), row.into)
		if text, fails := row.want.(string); fails {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %s", name, err, text)
			}
		} else if d := cmp.Diff(row.want, row.into, cmp.AllowUnexported(form{})); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	if _, err := (negotiate.Form{}).Marshal(7); err == nil {
		t.Error("a number was a form")
	}
}

func ptr[T any](v T) *T { return &v }

type color int

func (c color) String() string { return fmt.Sprint("color ", int(c)) }

func TestText(t *testing.T) {
	for want, v := range map[string]any{
		"x": ptr("x"), "7": 7, "true": true, "1.5": 1.5, "color 3": color(3), "2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		if got, err := (negotiate.Text{}).Marshal(v); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	for _, v := range []any{user{}, []int{1}, nil, (*string)(nil), map[string]int{}} {
		if got, err := (negotiate.Text{}).Marshal(v); err == nil {
			t.Errorf("%T was text: %q", v, got)
		}
	}
	type named string
	var (
		s   named
		n   *int16
		w   time.Time
		v   any
		buf []byte
	)
	for data, into := range map[string]any{"x": &s, " 7\n": &n, "2026-01-02T03:04:05Z": &w, "any": &v, "raw": &buf} {
		if err := (negotiate.Text{}).Unmarshal([]byte(data), into); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	}
	if s != "x" || n == nil || *n != 7 || w.Year() != 2026 || v != "any" || string(buf) != "raw" {
		t.Error(s, n, w, v, buf)
	}
	for data, into := range map[string]any{"x": new(int), "40000": new(int16), "y": new(user), "-1": new(uint), "z": new(float64), "w": new(bool), "v": user{}} {
		if err := (negotiate.Text{}).Unmarshal([]byte(data), into); err == nil {
			t.Errorf("%q was a %T", data, into)
		}
	}
}

func FuzzLenient(f *testing.F) {
	for _, s := range []string{`{"a":1,}`, `[1,/**/]`, `"\`, `//`, `/*`, `{"a":"//"}`, `[,]`} {
		f.Add(s)
	}
	// What is JSON is the same value in every mode, and nothing panics.
	f.Fuzz(func(t *testing.T, s string) {
		var plain, lenient any
		err := negotiate.JSON{}.Unmarshal([]byte(s), &plain)
		lenientErr := negotiate.JSON{Mode: negotiate.Lenient, MaxDepth: 1000}.Unmarshal([]byte(s), &lenient)
		if err == nil && (lenientErr != nil && !strings.Contains(lenientErr.Error(), "deep") || lenientErr == nil && !cmp.Equal(plain, lenient)) {
			t.Errorf("%q: %v, %v", s, lenient, lenientErr)
		}
		if strictErr := (negotiate.JSON{Mode: negotiate.Strict}).Unmarshal([]byte(s), new(any)); strictErr == nil && err != nil {
			t.Errorf("%q is strict JSON only", s)
		}
	})
}
