package tour

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
)

// User is what the server's JSON is read into.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// ada is the user that the server always has.
var ada = User{ID: 7, Name: "Ada Lovelace"}

var typedGetCode = []string{
	`user, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", 7))`,
}

// typedGet reads JSON into a struct. Other types work as well: string, []byte,
// numbers, *godwit.Response, …
func typedGet(ctx context.Context, c *godwit.Client) (string, error) {
	user, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", 7))
	if err != nil {
		return "", err
	}
	if user != ada {
		return "", differs("the user", user, ada)
	}
	return fmt.Sprintf("%+v", user), nil
}

var jsonRoundTripCode = []string{
	`made, err := godwit.Post[User](ctx, c, "/users", User{Name: "Grace Hopper"})`,
	`back, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", made.ID))`,
}

// jsonRoundTrip sends a struct as JSON and reads it back.
func jsonRoundTrip(ctx context.Context, c *godwit.Client) (string, error) {
	made, err := godwit.Post[User](ctx, c, "/users", User{Name: "Grace Hopper"})
	if err != nil {
		return "", err
	}
	back, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", made.ID))
	if err != nil {
		return "", err
	}
	if want := (User{made.ID, "Grace Hopper"}); back != want || made != want {
		return "", differs("the user read back", back, want)
	}
	return fmt.Sprintf("made %+v, read back the same", made), nil
}
