package resources_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/resources"
)

// Users is /users, User one of them.
type Users struct {
	resources.Path `path:"/users"`
	Sort           string `form:"sort,omitempty"`
}

type User struct {
	resources.Path `path:"/{id}"`
	Users
	ID     int
	Fields []string `form:"field"`
}

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
			return mock.OK(r.Method + " " + r.URL.String()), nil
		})}}),
		godwit.BaseURL("https://api.example.org"),
	)
	defer c.Close()
	text, err := resources.Get[string](context.Background(), c, User{ID: 7, Fields: []string{"name", "mail"}})
	fmt.Println(text, err)
	// Output: GET https://api.example.org/users/7?field=name&field=mail <nil>
}

func ExampleHref() {
	href, err := resources.Href(Users{Sort: "name"})
	fmt.Println(href, err)
	// Output: /users?sort=name <nil>
}
