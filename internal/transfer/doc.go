// Package transfer is what exchanges have in common that wait for their transport
// themselves, whatever it is: a connection of HTTP/1.1 or a stream of HTTP/2. It
// keeps their limits of time ([Clock]), sends the request's body beside them
// ([Upload]), and knows who uses the response's ([Use]).
package transfer
