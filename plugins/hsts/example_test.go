package hsts_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/hsts"
)

func Example() {
	preload := map[string]bool{"example.org": true}
	c := godwit.New(
		godwit.WithEngineInstance(mock.Serve(mock.OK("hello"))),
		godwit.Install(hsts.New(hsts.Config{
			Store:   new(hsts.Memory), // or &hsts.File{Path: …}
			Preload: func(host string) (includeSubDomains, ok bool) { return true, preload[host] },
		})),
	)
	defer c.Close()
	for _, u := range []string{"http://www.example.org/", "http://example.com/"} {
		resp, err := c.Do(context.Background(), godwit.NewRequest("GET", u))
		fmt.Println(resp.Request().URL, err)
	}
	// Output:
	// https://www.example.org/ <nil>
	// http://example.com/ <nil>
}
