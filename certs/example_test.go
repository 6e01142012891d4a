package certs_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/engine"
)

func Example() {
	config, err := certs.Config(nil,
		certs.MoreRootFiles("company-ca.pem"),
		certs.ClientFiles("client.pem", "client-key.pem"),
		certs.MinVersion(tls.VersionTLS13))
	if err != nil {
		fmt.Println("no file of that name here")
		return
	}
	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) { e.TLS = config }))
	defer c.Close()
	// Output: no file of that name here
}

func ExamplePin() {
	config, err := certs.Config(nil,
		certs.Pin("api.example.org", "sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg="), // and one in reserve
		certs.Pin("*.example.org", "sha256/Vjs8r4z+80wjNcr1YKepWQboSIRi63WsWXhIMN+eWys="))
	fmt.Println(config.VerifyConnection != nil, err)

	_, err = certs.Config(nil, certs.Pin("example.org", "sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk="))
	fmt.Println(err)
	// Output:
	// true <nil>
	// certs: pin for host "example.org": "sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk=" does not start with "sha256/"
}

func ExampleReload() {
	reload := certs.Reload{Every: time.Minute, OnError: func(err error) { log.Print(err) }}
	_, err := certs.Config(nil,
		reload.Client("/run/secrets/client.pem", "/run/secrets/client.key"),
		reload.Roots("/run/secrets/ca.pem"))
	fmt.Println("no such files:", err != nil)
	// Output: no such files: true
}

func ExampleReason() {
	fetch := func(ctx context.Context, c *godwit.Client, url string) {
		_, err := godwit.Get[string](ctx, c, url)
		switch certs.Reason(err) {
		case certs.None: // it worked, or failed otherwise
		case certs.Expired, certs.NotYetValid:
			fmt.Println("look at the clock, then at the server's administrator:", err)
		case certs.ClientCertificateRequired, certs.ClientCertificateRefused:
			fmt.Println("who are we?", err)
		default:
			fmt.Println("not to be trusted:", err)
		}
	}
	_ = fetch
	fmt.Println(certs.Reason(&certs.PinError{Host: "example.org"}))
	// Output: no pinned key
}

func ExampleRequireStaple() {
	config, err := certs.Config(nil, certs.RequireStaple())
	fmt.Println(config.VerifyConnection != nil, err)
	// Output: true <nil>
}
