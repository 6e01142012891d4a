package resources_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/resources"
)

type Articles struct {
	resources.Path `path:"/articles"`
	Sort           string   `form:"sort,omitempty"`
	Tags           []string `form:"tag"`
}

type Article struct {
	resources.Path `path:"/{id}"`
	Articles
	ID   int
	Full *bool `form:"full"`
}

type Comment struct {
	resources.Path `path:"comments/{id?}"`
	*Article
	ID   string
	Note string `form:"-"`
}

type Files struct {
	resources.Path `path:"/files/{bucket}/{path...}"`
	Bucket         string
	Path_          string `path:"path"`
}

type Segments struct {
	resources.Path `path:"/{rest...}"`
	Rest           []string
}

type Export struct {
	resources.Path `path:"/export/{year}-{month}.{format}"`
	Year           int
	Month          time.Month `path:"month"`
	Format         string
	Since          time.Time `form:"since,omitempty"`
}

type Relative struct {
	resources.Path `path:"{name}"`
	Name           string
}

type Language struct {
	resources.Path `path:"/{lang?}/docs/"`
	Lang           string
}

type Page struct {
	resources.Path `path:"/{name}"`
	Language
	Name string
}

type Maybe struct {
	resources.Path `path:"/{lang?}/x/{rest...}"`
	Lang           *string
	Rest           *string
}

type Paging struct {
	Page, Size int `form:",omitempty"`
}

type Search struct {
	resources.Path `path:"/search"`
	Paging
	Q string `form:"q"`
}

type Root struct {
	resources.Path `path:"/"`
}

type Under struct {
	resources.Path `path:"/x/"`
	Root
}

type Pathless struct {
	resources.Path `path:""`
	Articles
	Page int `form:"page"`
}

type stamp struct{ n int }

func (s *stamp) MarshalText() ([]byte, error) {
	if s.n < 0 {
		return nil, errors.New("negative stamp")
	}
	return fmt.Appendf(nil, "s%d", s.n), nil
}

type Stamped struct {
	resources.Path `path:"/{stamp}"`
	Stamp          stamp
	More           []stamp `form:"more"`
}

func TestHref(t *testing.T) {
	yes, empty, de := true, "", "de"
	for name, row := range map[string]struct {
		resource any
		want     string
		template string
	}{
		"plain":              {Articles{}, "/articles", "/articles"},
		"pointer":            {&Articles{Sort: "new"}, "/articles?sort=new", "/articles"},
		"query":              {Articles{Sort: "a b&c", Tags: []string{"x", "y"}}, "/articles?sort=a+b%26c&tag=x&tag=y", "/articles"},
		"parent":             {Article{ID: 7}, "/articles/7", "/articles/{id}"},
		"parent's query":     {Article{ID: 7, Full: &yes, Articles: Articles{Sort: "new"}}, "/articles/7?sort=new&full=true", "/articles/{id}"},
		"grandparent":        {Comment{Article: &Article{ID: 7}, ID: "a/b", Note: "x"}, "/articles/7/comments/a%2Fb", "/articles/{id}/comments/{id?}"},
		"optional left out":  {Comment{Article: &Article{ID: 7}}, "/articles/7/comments", "/articles/{id}/comments/{id?}"},
		"tail":               {Files{Bucket: "b", Path_: "a/b c/d"}, "/files/b/a/b%20c/d", "/files/{bucket}/{path...}"},
		"tail with slash":    {Files{Bucket: "b", Path_: "a/"}, "/files/b/a/", "/files/{bucket}/{path...}"},
		"tail left out":      {Files{Bucket: "b"}, "/files/b", "/files/{bucket}/{path...}"},
		"tail of segments":   {Segments{Rest: []string{"a/b", "c"}}, "/a%2Fb/c", "/{rest...}"},
		"nothing but tail":   {Segments{}, "/", "/{rest...}"},
		"parts of segments":  {Export{Year: 2026, Month: 3, Format: "c,s?v"}, "/export/2026-3.c%2Cs%3Fv", "/export/{year}-{month}.{format}"},
		"time":               {Export{Year: 1, Month: 1, Format: "x", Since: time.Unix(0, 0).UTC()}, "/export/1-1.x?since=1970-01-01T00%3A00%3A00Z", "/export/{year}-{month}.{format}"},
		"relative":           {Relative{Name: "x"}, "x", "{name}"},
		"no scheme":          {Relative{Name: "http://x"}, "http%3A%2F%2Fx", "{name}"},
		"optional in front":  {Language{}, "/docs/", "/{lang?}/docs/"},
		"nil pointers":       {Maybe{}, "/x", "/{lang?}/x/{rest...}"},
		"pointers to empty":  {Maybe{Lang: &empty, Rest: &empty}, "/x", "/{lang?}/x/{rest...}"},
		"pointers to text":   {Maybe{Lang: &de, Rest: &de}, "/de/x/de", "/{lang?}/x/{rest...}"},
		"trailing slash":     {Page{Language: Language{Lang: "de"}, Name: "x"}, "/de/docs/x", "/{lang?}/docs/{name}"},
		"shared fields":      {Search{Q: "é", Paging: Paging{Size: 5}}, "/search?Size=5&q=%C3%A9", "/search"},
		"root":               {Root{}, "/", "/"},
		"under the root":     {Under{}, "/x/", "/x/"},
		"no path of its own": {Pathless{Page: 2}, "/articles?page=2", "/articles"},
		"text marshaler":     {Stamped{Stamp: stamp{1}, More: []stamp{{2}, {3}}}, "/s1?more=s2&more=s3", "/{stamp}"},
		"braces in values":   {Relative{Name: "{id}"}, "%7Bid%7D", "{name}"},
		"dots in a name":     {Relative{Name: "..."}, "...", "{name}"},
	} {
		got, err := resources.Href(row.resource)
		if err != nil || got != row.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, row.want)
		}
		if got, err := resources.TemplateOf(row.resource); err != nil || got != row.template {
			t.Errorf("%s: template %q, %v, want %q", name, got, err, row.template)
		}
	}
}

type (
	noPath  struct{ ID int }
	unknown struct {
		resources.Path `path:"/{id}"`
	}
	doubled struct {
		resources.Path `path:"/{id}"`
		ID             int
		Other          int `path:"id"`
	}
	repeated struct {
		resources.Path `path:"/{id}/{id}"`
		ID             int
	}
	unused struct {
		resources.Path `path:"/x"`
		ID             int `path:"id"`
	}
	unclosed struct {
		resources.Path `path:"/{id"`
		ID             int
	}
	unopened struct {
		resources.Path `path:"/id}"`
	}
	queried struct {
		resources.Path `path:"/x?y=1"`
	}
	partialTail struct {
		resources.Path `path:"/x{rest...}"`
		Rest           string
	}
	partialOptional struct {
		resources.Path `path:"/{a?}.html"`
		A              string
	}
	innerTail struct {
		resources.Path `path:"/{rest...}/x"`
		Rest           string
	}
	afterTail struct {
		resources.Path `path:"/x"`
		Segments
	}
	emptySegment struct {
		resources.Path `path:"/a//b"`
	}
	badEscape struct {
		resources.Path `path:"/a%zz"`
	}
	twoParents struct {
		resources.Path `path:"/x"`
		Articles
		Search
	}
	namedParent struct {
		resources.Path `path:"/x"`
		Parent         Articles
	}
	twice struct {
		resources.Path `path:"/x"`
		A              string `form:"a"`
		B              string `form:"a"`
	}
	badKind struct {
		resources.Path `path:"/x"`
		F              chan int
	}
	nameless struct {
		resources.Path `path:"/{}"`
	}
	loop struct {
		resources.Path `path:"/x"`
		*loop2
	}
	loop2 struct {
		resources.Path `path:"/y"`
		*loop
	}
	Loop struct {
		resources.Path `path:"/x"`
		*Loop2
	}
	Loop2 struct {
		resources.Path `path:"/y"`
		*Loop
	}
)

func TestErrors(t *testing.T) {
	for name, row := range map[string]struct {
		resource any
		want     string
	}{
		"nil":                 {nil, "not <nil>"},
		"nil pointer":         {(*Article)(nil), "not *resources_test.Article that is nil"},
		"no struct":           {7, "not int"},
		"no path":             {noPath{}, "resources_test.noPath has no path: embed resources.Path"},
		"unknown parameter":   {unknown{}, "no field for {id}: name one so, or tag it `path:\"id\"`"},
		"two fields":          {doubled{}, "both ID and Other are {id}"},
		"there twice":         {repeated{}, "{id} is there twice"},
		"unused tag":          {unused{}, "field ID is tagged `path:\"id\"`, but the template \"/x\" has no {id}"},
		"no brace closed":     {unclosed{}, "no } after {"},
		"no brace opened":     {unopened{}, "} without {"},
		"query":               {queried{}, "the query is made of fields"},
		"part of a tail":      {partialTail{}, "{rest...} must be a whole segment"},
		"part of an optional": {partialOptional{}, "must be a whole segment"},
		"tail inside":         {innerTail{}, "must be the last"},
		"after a tail":        {afterTail{}, "nothing can follow {rest...}"},
		"empty segment":       {emptySegment{}, "has an empty segment"},
		"bad escape":          {badEscape{}, `"%zz"`},
		"two parents":         {twoParents{}, "has two parents, resources_test.Articles and resources_test.Search"},
		"named parent":        {namedParent{}, "field Parent of resources_test.namedParent is a resource: embed it"},
		"query name twice":    {twice{}, `two query fields called "a"`},
		"one empty element":   {Segments{Rest: []string{""}}, "empty segment"},
		"kind":                {badKind{}, `"F"`},
		"no name":             {nameless{}, "no field for {}"},
		"its own parent":      {Loop{}, "is its own parent"},
		"empty value":         {Files{}, "{bucket} of resources_test.Files is empty"},
		"climbing":            {Relative{Name: ".."}, `segment ".." of resources_test.Relative would climb`},
		"climbing tail":       {Files{Bucket: "b", Path_: "a/../../c"}, `segment ".." would climb`},
		"climbing element":    {Segments{Rest: []string{"."}}, `segment "." would climb`},
		"another host":        {Segments{Rest: []string{"", "evil.example"}}, "empty segment"},
		"slashes":             {Files{Bucket: "b", Path_: "a//b"}, "empty segment"},
		"nil parent":          {Comment{ID: "x"}, "{id} of resources_test.Comment"},
		"marshaler":           {Stamped{Stamp: stamp{-1}}, "negative stamp"},
		"marshaler in query":  {Stamped{More: []stamp{{-1}}}, "negative stamp"},
	} {
		_, err := resources.Href(row.resource)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
			continue
		}
		// The request carries the error to whoever sends it.
		_, err = godwit.Send[string](t.Context(), nil, resources.Request("GET", row.resource))
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := resources.Href(loop{}); err != nil { // unexported pointers can't be read, and are no parents
		t.Error(err)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Method", r.Method)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
}

func TestVerbs(t *testing.T) {
	everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
		c = c.With(godwit.BaseURL(base + "/api/"))
		defer c.Close()
		ctx, article := t.Context(), Article{ID: 7}
		for want, send := range map[string]func() (string, error){
			"GET /articles/7 ":     func() (string, error) { return resources.Get[string](ctx, c, article) },
			"DELETE /articles/7 ":  func() (string, error) { return resources.Delete[string](ctx, c, article) },
			"OPTIONS /articles/7 ": func() (string, error) { return resources.Options[string](ctx, c, article) },
			"POST /articles/7 b":   func() (string, error) { return resources.Post[string](ctx, c, article, "b") },
			"PUT /articles/7 b":    func() (string, error) { return resources.Put[string](ctx, c, article, "b") },
			"PATCH /articles/7 b":  func() (string, error) { return resources.Patch[string](ctx, c, article, "b") },
			"QUERY /articles/7 b":  func() (string, error) { return resources.Query[string](ctx, c, article, "b") },
			"GET /articles/7?x=1 ": func() (string, error) { return resources.Get[string](ctx, c, article, godwit.Param("x", 1)) },
			"POST /articles/7 opt": func() (string, error) {
				return resources.Post[string](ctx, c, article, nil, godwit.Body("opt"))
			},
			`POST /articles/7 {"a":1}`: func() (string, error) {
				return resources.Post[string](ctx, c, article, map[string]int{"a": 1})
			},
			"GET /api/x ": func() (string, error) { return resources.Get[string](ctx, c, Relative{Name: "x"}) },
		} {
			if got, err := send(); err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		resp, err := resources.Head[*godwit.Response](ctx, c, article)
		if err != nil || resp.Header.Get("X-Method") != "HEAD" {
			t.Errorf("%v, %v", resp, err)
		}
		if got := resources.Template.Or(resp.Call().Attributes(), ""); got != "/articles/{id}" {
			t.Errorf("template %q", got)
		}
	})
}

func TestConcurrent(t *testing.T) {
	everyengine.Run(t, echo, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				got, err := resources.Get[string](t.Context(), c, Comment{Article: &Article{ID: i}, ID: "x"}, godwit.BaseURL(base))
				if want := fmt.Sprintf("GET /articles/%d/comments/x ", i); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wg.Wait()
	})
}
