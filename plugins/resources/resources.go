// Package resources makes requests of Go structs: the type holds the URL's
// template, its fields are what is filled in.
//
//	type Articles struct {
//		resources.Path `path:"/articles"`
//		Sort           string `form:"sort,omitempty"`
//	}
//
//	type Article struct {
//		resources.Path `path:"/{id}"`
//		Articles       // the parent: /articles/{id}
//		ID             int
//	}
//
//	article, err := resources.Get[Text](ctx, c, Article{ID: 7})        // GET /articles/7
//	list, err := resources.Get[[]Text](ctx, c, Articles{Sort: "new"})   // GET /articles?sort=new
//
// The template stands in the tag of the embedded marker [Path], as XMLName does
// in encoding/xml: it belongs to the type, is read once, and adds no method to
// it. (A method Path would be inherited from an embedded parent by a type that
// forgot its own.)
//
// In a template {name} is one segment or a part of one, which must not be empty;
// {name?} is a whole segment that is left out, with its slash, if the field is
// zero or points to an empty text; {name...} is the rest of the path, a string
// whose slashes stay or a slice with a segment an element, and may be empty. The
// field of a parameter has its name, without regard to case, or the tag
// `path:"name"`. Values are escaped, so that they never change the shape of the
// URL.
//
// An embedded struct that has a Path of its own is the parent: its path comes
// first, its query fields count. All fields that are no parameter make the query,
// with names and omitempty by `form` tags as content.EncodeValues reads them.
//
// There is nothing to install. A template is relative to the client's BaseURL,
// whose path a leading slash replaces.
package resources

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
)

// Path marks a struct as a resource; the tag `path:"/articles/{id}"` of the
// embedded field is its template.
type Path struct{}

// Template is the attribute that keeps the template of a request made here, for
// metrics and logs: "/articles/{id}".
var Template = attr.NewKey[string]("resources.Template")

// invalid carries an error into a request, whose calls return it.
var invalid = godwit.NewSetting[error]("resources", nil).Check(func(err error) error { return err })

// Request returns a request for a resource: a struct or a pointer to one. It
// never fails: an error in the resource is that of every call with the request.
func Request(method string, resource any, opts ...godwit.Option) *godwit.Request {
	href, template, err := expand(resource)
	if err != nil {
		return godwit.NewRequest(method, "", invalid.Set(err))
	}
	all := make([]godwit.Option, 0, len(opts)+1)
	all = append(all, godwit.Attribute(Template, template))
	return godwit.NewRequest(method, href, append(all, opts...)...)
}

// Href returns the URL of a resource, relative to what it is served under:
// "/articles/7?sort=new".
func Href(resource any) (string, error) {
	href, _, err := expand(resource)
	return href, err
}

// TemplateOf returns the whole template of a resource, parents included.
func TemplateOf(resource any) (string, error) {
	v, err := structOf(resource)
	if err != nil {
		return "", err
	}
	p := planOf(v.Type())
	return p.template, p.err
}

// Get sends a GET request to a resource and returns the body as a T: see
// [godwit.Get].
func Get[T any](ctx context.Context, c *godwit.Client, resource any, opts ...godwit.Option) (T, error) {
	return godwit.Send[T](ctx, c, Request("GET", resource, opts...))
}

// Head sends a HEAD request: see [godwit.Head].
func Head[T any](ctx context.Context, c *godwit.Client, resource any, opts ...godwit.Option) (T, error) {
	return godwit.Send[T](ctx, c, Request("HEAD", resource, opts...))
}

// Options sends an OPTIONS request: see [godwit.Options].
func Options[T any](ctx context.Context, c *godwit.Client, resource any, opts ...godwit.Option) (T, error) {
	return godwit.Send[T](ctx, c, Request("OPTIONS", resource, opts...))
}

// Delete sends a DELETE request: see [godwit.Delete].
func Delete[T any](ctx context.Context, c *godwit.Client, resource any, opts ...godwit.Option) (T, error) {
	return godwit.Send[T](ctx, c, Request("DELETE", resource, opts...))
}

// Post sends a POST request with a body to a resource: see [godwit.Post].
func Post[T any](ctx context.Context, c *godwit.Client, resource, body any, opts ...godwit.Option) (T, error) {
	return sendBody[T](ctx, c, Request("POST", resource, opts...), body)
}

// Put sends a PUT request: see [godwit.Put].
func Put[T any](ctx context.Context, c *godwit.Client, resource, body any, opts ...godwit.Option) (T, error) {
	return sendBody[T](ctx, c, Request("PUT", resource, opts...), body)
}

// Patch sends a PATCH request: see [godwit.Patch].
func Patch[T any](ctx context.Context, c *godwit.Client, resource, body any, opts ...godwit.Option) (T, error) {
	return sendBody[T](ctx, c, Request("PATCH", resource, opts...), body)
}

// Query sends a QUERY request: see [godwit.Query].
func Query[T any](ctx context.Context, c *godwit.Client, resource, body any, opts ...godwit.Option) (T, error) {
	return sendBody[T](ctx, c, Request("QUERY", resource, opts...), body)
}

func sendBody[T any](ctx context.Context, c *godwit.Client, req *godwit.Request, body any) (T, error) {
	if body != nil {
		req.Body = body
	}
	return godwit.Send[T](ctx, c, req)
}

func errorf(format string, args ...any) error { return fmt.Errorf("resources: "+format, args...) }
