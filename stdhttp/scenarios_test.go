package stdhttp_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing/iotest"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func text(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }

func method(m string, length int64) func(*http.Request) {
	return func(r *http.Request) { r.Method, r.ContentLength = m, length }
}

// canonicalNames: engine nethttp sends names in canonical form.
func canonicalNames(engine string, std, ours *outcome) {
	if engine == "nethttp" {
		lines := strings.Split(strings.TrimSpace(strings.Replace(std.Sent[0], "x-lower", "X-Lower", 1)), "\n")
		slices.Sort(lines[1:])
		std.Sent[0] = strings.Join(lines, "\n") + "\n\n"
	}
}

// upgradeFields: the engine writes a token Upgrade of its own; of Upgrade the first
// protocol goes out, and none if Connection does not name the field. Engine nethttp
// sends no other token of Connection.
func upgradeFields(engine string, std, ours *outcome) {
	flat := func(out *outcome) {
		var rest, tokens []string
		for line := range strings.Lines(out.Sent[0]) {
			line = strings.TrimSpace(line)
			if list, found := strings.CutPrefix(line, "Connection: "); found {
				for one := range strings.SplitSeq(list, ",") {
					if one = strings.ToLower(strings.TrimSpace(one)); one == "upgrade" || engine != "nethttp" {
						tokens = append(tokens, one)
					}
				}
				continue
			}
			rest = append(rest, strings.TrimSuffix(line, ", h2c"))
		}
		slices.Sort(tokens)
		out.Sent[0] = strings.Join(rest, "\n") + strings.Join(tokens, ",")
		if !slices.Contains(tokens, "upgrade") {
			out.Sent[0] = strings.Replace(out.Sent[0], "\nUpgrade: websocket", "", 1)
		}
	}
	flat(std)
	flat(ours)
}

func scenarios() []scenario {
	return append(append(requestScenarios(), responseScenarios()...), errorScenarios()...)
}

func requestScenarios() []scenario {
	return []scenario{
		{name: "get", reply: ok},
		{name: "method is empty", reply: ok, request: method("", 0)},
		{name: "own method", reply: ok, request: method("PROPPATCH", 0)},
		{name: "user agent", reply: ok, request: func(r *http.Request) { r.Header.Set("User-Agent", " mine ") }},
		{name: "user agent empty", reply: ok, request: func(r *http.Request) { r.Header.Set("User-Agent", "") }},
		{name: "user agent nil", reply: ok, request: func(r *http.Request) { r.Header["User-Agent"] = nil }},
		{name: "user agent twice", reply: ok, request: func(r *http.Request) { r.Header["User-Agent"] = []string{"a", "b"} }},
		{name: "fields", reply: ok, differ: canonicalNames, request: func(r *http.Request) {
			r.Header["X-Two"] = []string{"b", "a"}
			r.Header["X-Nil"] = nil
			r.Header["x-lower"] = []string{"  spaces \t"}
			r.Header["X-Empty"] = []string{""}
			r.Header["Accept"] = []string{"text/*"}
		}},
		{name: "fields of the framing are not the user's", reply: ok, request: func(r *http.Request) {
			r.Header.Set("Host", "elsewhere.example")
			r.Header.Set("Content-Length", "7")
			r.Header.Set("Transfer-Encoding", "chunked")
			r.Header.Set("Trailer", "X")
		}},
		{name: "host", reply: ok, request: func(r *http.Request) { r.Host = "other.example:81" }},
		{name: "host IDN", reply: ok, request: func(r *http.Request) { r.Host = "bücher.example" }},
		{name: "host with zone", reply: ok, request: func(r *http.Request) { r.Host = "[fe80::1%25eth0]:80" }},
		{name: "user info is not ours", reply: ok, request: func(r *http.Request) { r.URL.User = url.UserPassword("u", "p") }},
		{name: "fragment", reply: ok, request: func(r *http.Request) { r.URL.Fragment = "x" }},
		{name: "path is empty", reply: ok, request: func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "", "" }},
		{name: "path escaped", reply: ok, request: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b c", "/a%2Fb%20c" }},
		{name: "path raw", reply: ok, request: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" }},
		{name: "query forced", reply: ok, request: func(r *http.Request) { r.URL.RawQuery, r.URL.ForceQuery = "", true }},
		{name: "opaque", reply: ok, request: func(r *http.Request) { r.URL.Opaque = "/x%2Fy:z" }},
		{name: "options *", reply: ok, request: func(r *http.Request) { r.Method, r.URL.Path, r.URL.RawQuery = "OPTIONS", "*", "" }},
		{name: "close", reply: ok, keep: true, request: func(r *http.Request) { r.Close = true }},
		{name: "close by field", reply: ok, keep: true, request: func(r *http.Request) { r.Header.Set("Connection", "close") }},
		{name: "close twice", reply: ok, keep: true, request: func(r *http.Request) { r.Close = true; r.Header.Set("Connection", "close") }},
		{name: "connection field", reply: ok, request: func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }},
		{name: "connection with other tokens", reply: ok, differ: upgradeFields, request: func(r *http.Request) {
			r.Header.Set("Connection", "keep-alive, Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}},
		{name: "connection in two fields", reply: ok, differ: upgradeFields, request: func(r *http.Request) {
			r.Header["Connection"] = []string{"keep-alive", "upgrade"}
			r.Header.Set("Upgrade", "websocket")
		}},
		{name: "upgrade to one of several", reply: ok, differ: upgradeFields, request: func(r *http.Request) {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket, h2c")
		}},
		{name: "upgrade that connection does not name", reply: ok, differ: upgradeFields, request: func(r *http.Request) {
			r.Header.Set("Upgrade", "websocket")
		}},
		{name: "upgrade and close", reply: ok, differ: upgradeFields, request: func(r *http.Request) {
			r.Close = true
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}},
		{name: "accept-encoding given", reply: ok, request: func(r *http.Request) { r.Header.Set("Accept-Encoding", "br") }},
		{name: "range", reply: ok, request: func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }},
		{name: "keep-alive", reply: ok, keep: true, times: 3},

		{name: "post", reply: ok, body: text("hello"), request: method("POST", 5)},
		{name: "post without a body", reply: ok, request: method("POST", 0)},
		{name: "put NoBody", reply: ok, request: func(r *http.Request) { r.Method, r.Body = "PUT", http.NoBody }},
		{name: "delete without a body", reply: ok, request: method("DELETE", 0)},
		{name: "post of unknown length", reply: ok, body: text("hello"), request: method("POST", -1)},
		{name: "post of length zero that has a body", reply: ok, body: text("hello"), request: method("POST", 0)},
		{name: "post of an empty body of unknown length", reply: ok, body: text(""), request: method("POST", -1)},
		{name: "get with a body", reply: ok, body: text("hello"), request: method("GET", 5)},
		{name: "get with a body of unknown length", reply: ok, body: text("hello"), request: method("GET", -1)},
		{name: "get with an empty body", reply: ok, body: text(""), request: method("GET", 0)},
		{name: "delete with an empty body", reply: ok, body: text(""), request: method("DELETE", -1)},
		{name: "own method with an empty body", reply: ok, body: text(""), request: method("REPORT", -1)},
		{name: "one byte at a time", reply: ok, body: func() io.Reader { return iotest.OneByteReader(strings.NewReader("hello")) }, request: method("PUT", 5)},
		{name: "data with EOF", reply: ok, body: func() io.Reader { return iotest.DataErrReader(strings.NewReader("hello")) }, request: method("PUT", -1)},
		{name: "chunked by hand", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.TransferEncoding = "POST", 5, []string{"chunked"}
		}},
		{name: "chunked get by hand", reply: ok, body: text(""), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.TransferEncoding = "GET", -1, []string{"chunked"}
		}},
		{name: "another coding", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.TransferEncoding = "POST", 5, []string{"gzip"}
		}},
		{name: "chunked behind another coding", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.TransferEncoding = "POST", 5, []string{"gzip", "chunked"}
		}},
		{name: "newlines in a trailer", changes: true, reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.Trailer = "POST", -1, http.Header{"X-Sum": nil}
			r.Body = &atEnd{ReadCloser: r.Body, do: func() { r.Trailer["X-Sum"] = []string{"1\r\nX-Evil: 2"} }}
		}},
		{name: "identity", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.TransferEncoding = "POST", 5, []string{"identity"}
		}},
		{name: "trailer", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.Trailer = "POST", -1, http.Header{"X-Sum": {"1"}, "X-Count": {"2", "3"}, "X-None": nil}
		}, differ: func(_ string, std, ours *outcome) {
			for i := range std.Sent { // the list's separator
				std.Sent[i] = strings.Replace(std.Sent[i], "Trailer: X-Count,X-None,X-Sum", "Trailer: X-Count, X-None, X-Sum", 1)
			}
			for i := range ours.Sent {
				ours.Sent[i] = strings.Replace(ours.Sent[i], "Trailer: X-Count,X-None,X-Sum", "Trailer: X-Count, X-None, X-Sum", 1)
			}
		}},
		{name: "trailer with a length", reply: ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength, r.Trailer = "POST", 5, http.Header{"X-Sum": {"1"}}
		}},
		{name: "expect continue", reply: "HTTP/1.1 100 Continue\r\n\r\n" + ok, body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength = "POST", 5
			r.Header.Set("Expect", "100-continue")
		}},
		{name: "expect refused", early: true, reply: "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", body: text("hello"), request: func(r *http.Request) {
			r.Method, r.ContentLength = "POST", 5
			r.Header.Set("Expect", "100-continue")
		}},
		{name: "answer before the body is sent", early: true, reply: "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			body: text(strings.Repeat("x", 1<<16)), request: method("POST", 1<<16)},
	}
}

func responseScenarios() []scenario {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	return []scenario{
		{name: "fields of a response", reply: sized("HTTP/1.1 200 OK\r\nx-lower: a\r\nX-Two: b\r\nX-Two: c\r\nx-two: d\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:", "ok")},
		{name: "status without a reason", reply: sized("HTTP/1.1 200 ", "ok")},
		{name: "status unknown", reply: sized("HTTP/1.1 799 My Own  Words", "ok")},
		{name: "http 1.0", reply: sized("HTTP/1.0 200 OK", "ok")},
		{name: "http 1.0 keep-alive", reply: sized("HTTP/1.0 200 OK\r\nConnection: keep-alive", "ok"), keep: true},
		{name: "until close", reply: "HTTP/1.1 200 OK\r\n\r\nall that comes"},
		{name: "until close empty", reply: "HTTP/1.1 200 OK\r\n\r\n"},
		{name: "connection close", reply: sized("HTTP/1.1 200 OK\r\nConnection: close", "ok")},
		{name: "connection close among others", reply: sized("HTTP/1.1 200 OK\r\nConnection: foo, Close", "ok")},
		{name: "empty", reply: sized("HTTP/1.1 200 OK", "")},
		{name: "204", reply: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "204 chunked", reply: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{name: "length twice", reply: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
		{name: "head and close", request: method("HEAD", 0), reply: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
		{name: "head with a length and close", request: method("HEAD", 0), reply: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"},
		{name: "trailer key forbidden in chunks", reply: chunked + "Trailer: X-Sum, Content-Length\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{name: "trailer empty in chunks", reply: chunked + "Trailer: \r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{name: "204 with a length", reply: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"},
		{name: "304", reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n"},
		{name: "redirect is not followed", reply: sized("HTTP/1.1 302 Found\r\nLocation: /elsewhere", "moved")},
		{name: "error status", reply: sized("HTTP/1.1 500 Internal Server Error", "sorry")},
		{name: "head", request: method("HEAD", 0), reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
		{name: "head without a length", request: method("HEAD", 0), reply: "HTTP/1.1 200 OK\r\n\r\n"},
		{name: "head chunked", request: method("HEAD", 0), reply: chunked + "\r\n"},
		{name: "head 304", request: method("HEAD", 0), reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"},
		{name: "chunked", reply: chunked + "\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"},
		{name: "chunked empty", reply: chunked + "\r\n0\r\n\r\n"},
		{name: "trailers announced", reply: chunked + "Trailer: X-Sum, x-count\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Count: 1\r\nX-Count: 2\r\n\r\n"},
		{name: "trailers not announced", reply: chunked + "\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"},
		{name: "trailers announced and not sent", reply: chunked + "Trailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{name: "trailer field without chunks", reply: sized("HTTP/1.1 200 OK\r\nTrailer: X-Sum", "ok")},
		{name: "1xx", reply: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok},
		{name: "pragma", reply: sized("HTTP/1.1 200 OK\r\nPragma: no-cache", "ok")},
		{name: "gzip", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", zipped("plain text"))},
		{name: "gzip upper case", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: GZIP", zipped("plain text"))},
		{name: "gzip chunked", reply: chunked + "Content-Encoding: gzip\r\n\r\n2\r\n" + zipped("plain text")[:2] + "\r\n22\r\n" + zipped("plain text")[2:] + "\r\n0\r\n\r\n"},
		{name: "gzip until close", reply: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + zipped("plain text")},
		{name: "gzip not asked for", request: func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }, reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", zipped("plain text"))},
		{name: "gzip of nothing", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", "")},
		{name: "gzip that is none", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", "no gzip at all")},
		{name: "gzip cut off inside", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: gzip", zipped("plain text")[:20])},
		{name: "deflate is left", reply: sized("HTTP/1.1 200 OK\r\nContent-Encoding: deflate", "xx")},
		{name: "gzip head", request: method("HEAD", 0), reply: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"},
	}
}

func errorScenarios() []scenario {
	failing := func() io.Reader { return io.MultiReader(strings.NewReader("he"), iotest.ErrReader(errBody)) }
	long := func() io.Reader { return strings.NewReader("hello, world") }
	return []scenario{
		{name: "URL nil", body: text("x"), request: func(r *http.Request) { r.URL = nil }},
		{name: "header nil", body: text("x"), request: func(r *http.Request) { r.Header = nil }},
		{name: "scheme", body: text("x"), request: func(r *http.Request) { r.URL.Scheme = "ftp" }},
		{name: "scheme empty", body: text("x"), request: func(r *http.Request) { r.URL.Scheme = "" }},
		{name: "host missing", body: text("x"), request: func(r *http.Request) { r.URL.Host = "" }},
		{name: "method invalid", body: text("x"), request: method("GET /", 1)},
		{name: "field name invalid", body: text("x"), request: func(r *http.Request) { r.Header["a b"] = []string{"x"} }},
		{name: "field value invalid", body: text("x"), request: func(r *http.Request) { r.Header["X"] = []string{"a\r\nb: c"} }},
		{name: "trailer name invalid", body: text("x"), request: func(r *http.Request) { r.Method, r.Trailer = "POST", http.Header{"a b": {"x"}} }},
		{name: "trailer key forbidden", body: text("x"), request: func(r *http.Request) { r.Method, r.Trailer = "POST", http.Header{"Content-Length": nil} }},
		{name: "query with a control character", body: text("x"), request: func(r *http.Request) { r.URL.RawQuery = "a\nb" }},
		{name: "length without a body", request: method("POST", 5)},
		{name: "body fails", body: failing, request: method("POST", -1), keep: true, differ: cutOff},
		{name: "body of known length fails", body: failing, request: method("POST", 5), keep: true, differ: cutOff},
		{name: "body fails at once", body: func() io.Reader { return iotest.ErrReader(errBody) }, request: method("POST", -1), keep: true, differ: cutOff},
		{name: "body of a get fails at once", body: func() io.Reader { return iotest.ErrReader(errBody) }, request: method("GET", -1), keep: true, differ: cutOff},
		{name: "body too short", body: text("he"), request: method("POST", 5), keep: true, differ: cutOff},
		{name: "body too long", body: long, request: method("POST", 5), keep: true, differ: cutOff},
		{name: "body's Close fails", body: text("hello"), closeErr: errBody, request: method("POST", -1), keep: true, differ: closeFails},
		{name: "closed before an answer", reply: ""},
		{name: "closed before an answer to a post", reply: "", body: text("hello"), replay: true, request: method("POST", 5)},
		{name: "closed within the head", reply: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"},
		{name: "closed after an interim answer", reply: "HTTP/1.1 103 Early Hints\r\n\r\n"},
		{name: "body cut off", reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"},
		{name: "body cut off at once", reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
		{name: "chunks cut off", reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"},
		{name: "chunks without an end", reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
		{name: "gzip cut off", reply: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n" + zipped("plain text")[:20]},
		{name: "chunk size invalid", reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"},
		{name: "no HTTP", reply: "SSH-2.0-OpenSSH\r\n"},
		{name: "length invalid", reply: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"},
	}
}

// cutOff: how much of a failed request reaches the server is a matter of time.
func cutOff(_ string, std, ours *outcome) { std.Sent, ours.Sent = nil, nil }

// closeFails: net/http closes the connection then, and now and then reports that.
func closeFails(engine string, std, ours *outcome) {
	cutOff(engine, std, ours)
	if std.Err == "other" {
		std.Err = ours.Err
	}
}
