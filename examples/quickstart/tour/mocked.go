package tour

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

var mockCode = []string{
	`eng := mock.New(mock.When(mock.Method("POST"), mock.Path("/users")).Reply(mock.Status(503), mock.JSON(201, ada)))`,
	`c := godwit.New(godwit.WithEngineInstance(eng), godwit.BaseURL("https://api.example.org"))`,
	`sent := eng.Requests()`,
}

// mocked answers from a script: first 503, then the user. What was sent is kept.
// In a test, mock.NewT also checks that all was used and closed.
func mocked(ctx context.Context, _ *godwit.Client) (string, error) {
	eng := mock.New(mock.When(mock.Method("POST"), mock.Path("/users")).Reply(mock.Status(503), mock.JSON(201, ada)))
	defer eng.Close()
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.BaseURL("https://api.example.org"))
	defer c.Close()

	status, err := godwit.Post[godwit.Status](ctx, c, "/users", User{Name: ada.Name})
	if err != nil {
		return "", err
	}
	if status != godwit.StatusServiceUnavailable {
		return "", differs("the first status", status, 503)
	}
	user, err := godwit.Post[User](ctx, c, "/users", User{Name: ada.Name})
	if err != nil {
		return "", err
	}
	if user != ada {
		return "", differs("the user", user, ada)
	}
	sent := eng.Requests()
	const want = `{"id":0,"name":"Ada Lovelace"}`
	if len(sent) != 2 || sent[0].Text() != want || sent[1].Text() != want {
		return "", differs("what was sent", sent, want)
	}
	return fmt.Sprintf("first %v, then %+v\nsent twice: %s %s %s", status, user, sent[1].Method, sent[1].URL, sent[1].Text()), nil
}
