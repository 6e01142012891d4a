package tour

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-go/godwit"
)

var redirectCode = []string{
	`resp, err := godwit.Get[*godwit.Response](ctx, c, "/moved")`,
	`for _, hop := range resp.Call().History() { … }`,
}

// redirect is sent from /moved over /moved/again to the user; the call remembers
// the way.
func redirect(ctx context.Context, c *godwit.Client) (string, error) {
	resp, err := godwit.Get[*godwit.Response](ctx, c, "/moved")
	if err != nil {
		return "", err
	}
	var way strings.Builder
	var statuses []godwit.Status
	for _, hop := range resp.Call().History() {
		fmt.Fprintf(&way, "%s %s: %v\n", hop.Method, hop.URL, hop.Status)
		statuses = append(statuses, hop.Status)
	}
	fmt.Fprintf(&way, "%s %s: %v", resp.Request().Method, resp.Request().URL, resp.Status)
	if len(statuses) != 2 || statuses[0] != godwit.StatusMovedPermanently || statuses[1] != godwit.StatusTemporaryRedirect {
		return "", differs("the history", statuses, "301 and 307")
	}
	user, err := godwit.As[User](ctx, resp)
	if err != nil {
		return "", err
	}
	if user != ada {
		return "", differs("the user at the end", user, ada)
	}
	return way.String(), nil
}
