package nethttp_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// lenient are the messages that net/http reads though RFC 9112 would have them
// refused.
var lenient = map[string]string{
	"ChunkExtensionNUL":        "any byte in a chunk extension",
	"ChunkSizeHuge":            "a chunk size that the body then lacks, as a truncated body",
	"TrailerBareLF":            "bare LF in the trailer",
	"TrailerFold":              "folded trailer fields",
	"ContentLengthWithChunked": "Content-Length beside chunked, which it ignores",
	"ChunkedWithContentLength": "Content-Length beside chunked, which it ignores",
	"TransferEncodingOnHTTP10": "Transfer-Encoding on HTTP/1.0, which it ignores",
	"ObsFold":                  "folded fields",
	"ObsFoldTab":               "folded fields",
	"BareLFInFields":           "bare LF as line end",
	"BareLFStatusLine":         "bare LF as line end",
	"BareLFBlankLine":          "bare LF as line end",
	"SpaceBeforeColon":         "white space before a colon",
	"SpaceInName":              "white space in a name",
	"VersionHTTP56":            "any one-digit version",
	"VersionHTTP2":             "any one-digit version",
	"StatusZero":               "status 000",
	"StatusTwoSpaces":          "two spaces in the status line",
	"NULInReason":              "any byte in the reason phrase",
	"BareCRInReason":           "bare CR in the reason phrase",
}

// unasked are the tests about bytes beyond an answer. net/http finds these in a
// goroutine of its own, so that its next request may be faster.
var unasked = []string{"AnswerBeforeRequest", "GarbageAfterBody", "GarbageAfterChunkedBody", "GarbageAfterNoContent", "BodyAfterHead"}

func TestConformance(t *testing.T) {
	var options []enginetest.Option
	for name, what := range lenient {
		options = append(options, enginetest.Skip("Framing/"+name, "net/http accepts "+what))
	}
	for _, name := range unasked {
		options = append(options, enginetest.Skip("Framing/"+name, "net/http's reader takes bytes that nobody asked for as the next answer, if the next request comes before it has looked"))
	}
	options = append(options, enginetest.Skip("Upgrade/HoldsTheSlot", "net/http gives the slot of a connection back when it is upgraded"))
	enginetest.Run(t, nethttp.Config{}, options...)
}
