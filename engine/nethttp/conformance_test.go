package nethttp_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// lenient are the messages that net/http reads though RFC 9112 would have them
// refused, and that look like good ones when it hands them over.
var lenient = map[string]string{
	"ChunkExtensionNUL":        "any byte in a chunk extension",
	"ChunkSizeHuge":            "a chunk size that the body then lacks, as a truncated body",
	"TrailerBareLF":            "bare LF in the trailer",
	"TrailerFold":              "folded trailer fields",
	"ContentLengthWithChunked": "Content-Length beside chunked, which it takes out of the header",
	"ChunkedWithContentLength": "Content-Length beside chunked, which it takes out of the header",
	"TransferEncodingOnHTTP10": "Transfer-Encoding on HTTP/1.0, which it takes out of the header",
	"ObsFold":                  "folded fields",
	"ObsFoldTab":               "folded fields",
	"BareLFInFields":           "bare LF as line end",
	"BareLFStatusLine":         "bare LF as line end",
	"BareLFBlankLine":          "bare LF as line end",
	"StatusTwoSpaces":          "two spaces in the status line",
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
