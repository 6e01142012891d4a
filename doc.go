// Package godwit is an HTTP client: typed calls over interchangeable engines, a
// pipeline of named phases, and plugins.
//
//	c := godwit.New()
//	defer c.Close()
//
//	user, err := godwit.Get[User](ctx, c, "https://api.example.org/users/{id}", godwit.PathParam("id", 7))
//	made, err := godwit.Post[User](ctx, c, "https://api.example.org/users", User{Name: "Ada"})
//
// The typed calls ([Get], [Post], …, [Send]) return the body as a value and fail
// on a status outside 2xx. [Client.Do] returns the whole response in memory,
// whatever its status. [Client.Stream] and [Client.Open] stream the body. Only
// what Open returns is to be closed.
//
// Everything is configured by options. An [Option] is valid for a client (in
// [New] and [Client.With]) and for a single request; a [ClientOption] for a
// client only.
package godwit
