package tour

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-go/godwit"
)

var failureCode = []string{
	`_, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", 404))`,
	`failed, ok := errors.AsType[*godwit.StatusError](err)`,
}

// failure asks for a user that is not there. The error holds the whole response,
// and the problem details (RFC 9457) if there are some.
func failure(ctx context.Context, c *godwit.Client) (string, error) {
	_, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", 404))
	failed, ok := errors.AsType[*godwit.StatusError](err)
	if !ok || failed.Response.Status != godwit.StatusNotFound {
		return "", differs("the error", err, "a *godwit.StatusError of status 404")
	}
	if body := string(failed.Response.Bytes()); body != noSuchUser {
		return "", differs("the body", body, noSuchUser)
	}
	problem := failed.Problem
	if problem == nil || problem.Title != "No such user" || string(problem.Extensions["id"]) != "404" {
		return "", differs("the problem", problem, noSuchUser)
	}
	return fmt.Sprintf("%v\n(status %d, problem %q, %s)", err, failed.Response.Status, problem.Title, problem.Detail), nil
}
