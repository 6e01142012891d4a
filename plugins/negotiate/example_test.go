package negotiate_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/negotiate"
)

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Bytes(200, "application/atom+xml", []byte("<feed><title>News</title></feed>"))}}),
		godwit.Install(negotiate.New(negotiate.Config{})),
	)
	defer c.Close()
	type feed struct {
		Title string `xml:"title"`
	}
	f, err := godwit.Get[feed](context.Background(), c, "https://example.org/feed")
	fmt.Println(f.Title, err)
	// Output: News <nil>
}

func ExampleErrorAs() {
	c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.JSON(409, map[string]string{"code": "taken"})}}))
	defer c.Close()
	type Fault struct {
		Code string `json:"code"`
	}
	_, err := godwit.Post[godwit.None](context.Background(), c, "https://example.org/users", "Ada", negotiate.ErrorAs[Fault]())
	if fault, ok := negotiate.ErrorOf[Fault](err); ok {
		fmt.Println(fault.Code)
	}
	// Output: taken
}

func ExampleLines() {
	c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")}}))
	defer c.Close()
	type event struct {
		N int `json:"n"`
	}
	for e, err := range negotiate.Lines[event](context.Background(), c, godwit.NewRequest("GET", "https://example.org/events")) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.N)
		if e.N == 2 {
			break // the connection is released
		}
	}
	// Output:
	// 1
	// 2
}

func ExampleRows() {
	c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Bytes(200, "text/csv", []byte("city,people\nBonn,336465\nJena,110791\n"))}}))
	defer c.Close()
	type row struct {
		City   string `csv:"city"`
		People int    `csv:"people"`
	}
	for r, err := range negotiate.Rows[row](context.Background(), c, godwit.NewRequest("GET", "https://example.org/cities.csv")) {
		fmt.Println(r.City, r.People, err)
	}
	// Output:
	// Bonn 336465 <nil>
	// Jena 110791 <nil>
}
