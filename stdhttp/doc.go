// Package stdhttp joins godwit and net/http: [Transport] and [Client] let code
// that wants an http.RoundTripper or an *http.Client, which is most SDKs, run on
// a godwit client, with its engine, plugins, limits and traces; [Handler] is an
// engine that calls an http.Handler in process, without a socket.
//
//	c := godwit.New(godwit.Install(retry.New(retry.Config{})))
//	defer c.Close()
//	gh := github.NewClient(stdhttp.Client(c))
//
// The transport keeps the contract of http.RoundTripper. Where that says
// nothing, it does what net/http's own Transport does: its User-Agent, its
// Accept-Encoding and decoding, its framing of bodies, its errors. So of the
// client's behaviour only what surrounds one exchange applies: the phases Retry,
// Auth, Cache, Attempt, Monitoring and Receive. Redirects, cookies, default
// fields, base URLs, limits of a body's size and checks of the status do not:
// http.Client and the SDK on top have their own.
package stdhttp
