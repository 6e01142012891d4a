package tour

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/sse"
)

var eventsCode = []string{
	`for ev, err := range sse.EventsOf[Leg](ctx, c, "/flight", sse.LastEventID("1")) {`,
}

// Leg is one part of a long flight, as the server's events tell it.
type Leg struct {
	To string `json:"to"`
	Km int    `json:"km"`
}

// legs are all of them. The server ends the connection after each.
var legs = []Leg{{"Yellow Sea", 10_300}, {"Alaska", 6_500}, {"New Zealand", 11_700}}

// events listens to a stream from its second event on. Each time that the server
// ends the connection it is made again, from the last event on, until the server
// says that there are no more.
func events(ctx context.Context, c *godwit.Client) (string, error) {
	var got []Leg
	var told strings.Builder
	for ev, err := range sse.EventsOf[Leg](ctx, c, "/flight", sse.LastEventID("1")) {
		if err != nil {
			return "", err
		}
		got = append(got, ev.Value)
		fmt.Fprintf(&told, "event %s: %+v\n", ev.LastEventID, ev.Value)
	}
	if want := legs[1:]; fmt.Sprint(got) != fmt.Sprint(want) {
		return "", differs("the legs", got, want)
	}
	return told.String() + "then the server said that this was all", nil
}
