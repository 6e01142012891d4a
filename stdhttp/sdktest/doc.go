// Package sdktest runs SDKs, the real modules, over package stdhttp against
// servers in process, and every endpoint of go-httpbin on every engine. It is a
// module of its own, so that nobody else depends on what it needs.
package sdktest
