package stdhttp

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// response makes net/http's response of the client's. An error leaves that open.
func (x *exchange) response(from *godwit.Response) (*http.Response, error) {
	code := int(from.Status)
	resp := &http.Response{
		StatusCode: code, Proto: from.Proto, Header: canonical(from.Header), ContentLength: from.ContentLength,
		Request: x.request, TLS: from.TLS(), Uncompressed: len(from.Decoded) > 0,
	}
	resp.ProtoMajor, resp.ProtoMinor, _ = http.ParseHTTPVersion(from.Proto)
	reason := from.Reason
	if reason == "" && resp.ProtoMajor >= 2 {
		reason = http.StatusText(code)
	}
	resp.Status = strconv.Itoa(code) + " " + reason
	if resp.ProtoMajor == 1 {
		x.frame(resp)
	}
	if err := announceTrailers(resp); err != nil {
		return nil, err
	}
	if resp.ProtoMajor >= 2 {
		x.measure(resp)
	}
	if resp.Header.Get("Pragma") == "no-cache" && resp.Header["Cache-Control"] == nil {
		resp.Header["Cache-Control"] = []string{"no-cache"} // as net/http does for HTTP/1.0 servers
	}
	switch {
	case from.Upgraded() != nil:
		x.handOver(resp, from)
	case x.bodiless(resp):
		from.Close()
		x.end()
		resp.Body = http.NoBody
	default:
		x.attachBody(resp, from)
	}
	return resp, nil
}

// canonical returns the fields with their names in net/http's form.
func canonical(from header.Header) http.Header {
	h := make(http.Header, from.Len())
	values := make([]string, from.Len()) // one array for all
	for i := range from.Len() {
		f := from.At(i)
		name := http.CanonicalHeaderKey(f.Name)
		if old, ok := h[name]; ok {
			h[name] = append(old, f.Value)
			continue
		}
		values[i] = f.Value
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

// frame sets what net/http takes from the fields that frame a message of
// HTTP/1.x.
func (x *exchange) frame(resp *http.Response) {
	h := resp.Header
	codings := h["Transfer-Encoding"]
	delete(h, "Transfer-Encoding")
	switch connection := h["Connection"]; {
	case resp.ProtoMinor == 0:
		resp.Close = httpguts.HeaderValuesContainsToken(connection, "close") || !httpguts.HeaderValuesContainsToken(connection, "keep-alive")
	case httpguts.HeaderValuesContainsToken(connection, "close"):
		resp.Close = true
		delete(h, "Connection")
	}
	if lengths := h["Content-Length"]; len(lengths) > 1 {
		h["Content-Length"] = lengths[:1] // they are equal, else the engine had refused them
	}
	switch {
	case resp.StatusCode/100 == 1, resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		if x.request.Method != http.MethodHead {
			resp.ContentLength = 0
		}
	}
	if len(codings) > 0 && resp.ProtoMinor > 0 {
		resp.TransferEncoding = []string{"chunked"}
		if x.request.Method != http.MethodHead && resp.ContentLength != 0 {
			delete(h, "Content-Length")
			resp.ContentLength = -1
		}
	} else if resp.ContentLength < 0 && x.request.Method != http.MethodHead && !resp.Uncompressed {
		resp.Close = true // the end of the connection is the end of the body
	}
}

// measure sets the length as net/http has it of HTTP/2, where it is known if the
// head is the end of the stream: it is of a 304, and not if trailers follow.
func (x *exchange) measure(resp *http.Response) {
	switch {
	case resp.Header["Content-Length"] != nil, x.request.Method == http.MethodHead:
	case resp.StatusCode == http.StatusNotModified:
		resp.ContentLength = 0
	case len(resp.Trailer) > 0:
		resp.ContentLength = -1
	}
}

// announceTrailers makes the keys of Trailer of the field of that name.
func announceTrailers(resp *http.Response) error {
	if resp.ProtoMajor == 1 && len(resp.TransferEncoding) == 0 {
		return nil
	}
	announced, ok := resp.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(resp.Header, "Trailer")
	for _, list := range announced {
		for _, name := range header.SplitList(list) {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if framesMessages(name) && resp.ProtoMajor == 1 {
				return fmt.Errorf("net/http: bad trailer key %q", name)
			}
			if resp.Trailer == nil {
				resp.Trailer = make(http.Header)
			}
			resp.Trailer[name] = nil
		}
	}
	return nil
}

// framesMessages reports fields that must not stand in a trailer.
func framesMessages(name string) bool {
	return name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length"
}

// bodiless reports whether there is nothing to read: neither a body nor trailers.
func (x *exchange) bodiless(resp *http.Response) bool {
	switch {
	case x.request.Method == http.MethodHead, resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		return true
	}
	// On HTTP/2 trailers may follow an empty body, announced or not.
	return resp.ContentLength == 0 && resp.ProtoMajor < 2 && len(resp.Trailer) == 0
}

// attachBody gives resp the client's body, decoded if it is what x asked for.
func (x *exchange) attachBody(resp *http.Response, from *godwit.Response) {
	from.OnClose(func(error) { x.end() })
	b := &body{exchange: x, from: from, into: resp}
	resp.Body = b
	if x.gzip && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		delete(resp.Header, "Content-Encoding")
		delete(resp.Header, "Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
		resp.Body = &gzipBody{body: b}
	}
}

// handOver makes the body of a raw stream: a 101, or a 2xx to CONNECT. From here
// on it is the receiver's alone.
func (x *exchange) handOver(resp *http.Response, from *godwit.Response) {
	x.detach()
	stream := &stream{ReadWriteCloser: from.Upgraded(), from: from, exchange: x}
	resp.Body = stream
	if x.request.Method != http.MethodConnect {
		return
	}
	resp.ContentLength, resp.Body, resp.Close = -1, tunnel{stream}, resp.ProtoMajor == 1
	switch body := x.request.Body; {
	case body != nil && body != http.NoBody:
		go func() {
			io.Copy(stream, body)
			body.Close()
			stream.CloseWrite()
		}()
	case resp.ProtoMajor >= 2:
		stream.CloseWrite() // as net/http, which has nothing to send either
	}
}
