package header_test

import (
	"testing"

	"github.com/godwit-go/godwit/header"
)

func mediaType(t *testing.T, s string) header.MediaType {
	t.Helper()
	m, ok := header.ParseMediaType(s)
	if !ok {
		t.Fatalf("ParseMediaType(%q) failed", s)
	}
	return m
}

func TestParseMediaType(t *testing.T) {
	tests := []struct {
		name, in, want string // want "" = failure
	}{
		{"plain", "text/html", "text/html"},
		{"lower case", "Text/HTML; Charset=UTF-8", "text/html;charset=UTF-8"},
		{"quoted", `multipart/form-data; boundary="a b"`, `multipart/form-data;boundary="a b"`},
		{"quotes not needed", `text/a; x="y"`, "text/a;x=y"},
		{"escapes", `text/a; x="\"\\"`, `text/a;x="\"\\"`},
		{"first of two", "text/a;x=1;x=2", "text/a;x=1"},
		{"empty parameter", "text/a;x=;y=1", "text/a;y=1"},
		{"empty quoted parameter", `text/a;x=""`, `text/a;x=""`},
		{"quote not closed", `text/a;x="y;z=1`, `text/a;x="y;z=1"`},
		{"semicolon in quotes", `text/a;x="y;z";q=1`, `text/a;x="y;z";q=1`},
		{"control in value", "text/a;x=\x00;y=1", "text/a;y=1"},
		{"empty", "", ""},
		{"no slash", "text", ""},
		{"no subtype", "text/", ""},
		{"two slashes", "a/b/c", ""},
		{"space inside", "text /html", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := header.ParseMediaType(tt.in)
			if ok != (tt.want != "") || m.String() != tt.want {
				t.Errorf("%q: got %q, %v, want %q", tt.in, m, ok, tt.want)
			}
		})
	}
}

func TestMediaTypeMatches(t *testing.T) {
	tests := []struct {
		m, pattern string
		want       bool
	}{
		{"text/html", "text/html", true},
		{"text/html;charset=utf-8", "TEXT/html", true},
		{"text/html", "text/*", true},
		{"text/html", "*/*", true},
		{"text/html", "*", true},
		{"text/html", "text/plain", false},
		{"text/html", "image/*", false},
		{"text/html", "", false},
		{"text/html", "text", false},
		{"application/problem+json", "application/*+json", true},
		{"application/problem+json", "application/json", false},
		{"application/json", "application/*+json", false},
		{"text/html;charset=utf-8", "text/*; charset=UTF-8", true},
		{"text/html", "text/*;charset=utf-8", false},
		{"text/html;charset=gbk", "text/*;charset=utf-8", false},
	}
	for _, tt := range tests {
		t.Run(tt.m+" against "+tt.pattern, func(t *testing.T) {
			if got := mediaType(t, tt.m).Matches(tt.pattern); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if (header.MediaType{}).Matches("*/*") {
		t.Error("the zero value matches */*")
	}
}

func TestMediaTypeKinds(t *testing.T) {
	tests := []struct {
		in                string
		suffix            string
		json, xml, isText bool
	}{
		{"application/json", "", true, false, true},
		{"application/problem+json;charset=utf-8", "json", true, false, true},
		{"text/json", "", true, false, true},
		{"image/svg+xml", "xml", false, true, true},
		{"text/xml", "", false, true, true},
		{"text/plain", "", false, false, true},
		{"application/x-www-form-urlencoded", "", false, false, true},
		{"application/octet-stream", "", false, false, false},
		{"image/json", "", false, false, false},
		{"application/jsonp", "", false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			m := mediaType(t, tt.in)
			if m.Suffix() != tt.suffix || m.IsJSON() != tt.json || m.IsXML() != tt.xml || m.IsText() != tt.isText {
				t.Errorf("suffix %q, JSON %v, XML %v, text %v", m.Suffix(), m.IsJSON(), m.IsXML(), m.IsText())
			}
		})
	}
}

func TestMediaTypeParams(t *testing.T) {
	m := mediaType(t, `text/html; charset=" UTF-8"; x=1`)
	if got := m.Charset(); got != "utf-8" {
		t.Errorf("Charset() = %q", got)
	}
	if got := m.Param("X"); got != "1" {
		t.Errorf("Param(X) = %q", got)
	}
	if got := m.Essence(); got != "text/html" {
		t.Errorf("Essence() = %q", got)
	}
	changed := m.WithParam("Charset", "gbk").WithParam("Y", "a b")
	if got, want := changed.String(), `text/html;charset=gbk;x=1;y="a b"`; got != want {
		t.Errorf("WithParam: %q, want %q", got, want)
	}
	if got, want := m.String(), `text/html;charset=" UTF-8";x=1`; got != want {
		t.Errorf("WithParam changed its receiver: %q", got)
	}
	if s := (header.MediaType{}).String(); s != "" {
		t.Errorf("zero value: %q", s)
	}
	if _, ok := header.ContentType(header.New("Accept", "text/html")); ok {
		t.Error("a Content-Type out of nothing")
	}
}
