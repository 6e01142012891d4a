package godwit

import "strconv"

// Status is a status code (RFC 9110 §15). Any number from 100 to 999 can come
// from a server.
type Status int

// The status codes that this package or its users name often.
const (
	StatusContinue            Status = 100
	StatusSwitchingProtocols  Status = 101
	StatusEarlyHints          Status = 103
	StatusOK                  Status = 200
	StatusCreated             Status = 201
	StatusAccepted            Status = 202
	StatusNoContent           Status = 204
	StatusPartialContent      Status = 206
	StatusMovedPermanently    Status = 301
	StatusFound               Status = 302
	StatusSeeOther            Status = 303
	StatusNotModified         Status = 304
	StatusTemporaryRedirect   Status = 307
	StatusPermanentRedirect   Status = 308
	StatusBadRequest          Status = 400
	StatusUnauthorized        Status = 401
	StatusForbidden           Status = 403
	StatusNotFound            Status = 404
	StatusMethodNotAllowed    Status = 405
	StatusProxyAuthRequired   Status = 407
	StatusRequestTimeout      Status = 408
	StatusConflict            Status = 409
	StatusGone                Status = 410
	StatusPreconditionFailed  Status = 412
	StatusContentTooLarge     Status = 413
	StatusExpectationFailed   Status = 417
	StatusUnprocessable       Status = 422
	StatusTooEarly            Status = 425
	StatusTooManyRequests     Status = 429
	StatusInternalServerError Status = 500
	StatusBadGateway          Status = 502
	StatusServiceUnavailable  Status = 503
	StatusGatewayTimeout      Status = 504
)

// IsInformational reports a code from 100 to 199.
func (s Status) IsInformational() bool { return s/100 == 1 }

// IsSuccess reports a code from 200 to 299.
func (s Status) IsSuccess() bool { return s/100 == 2 }

// IsRedirect reports a code from 300 to 399.
func (s Status) IsRedirect() bool { return s/100 == 3 }

// IsClientError reports a code from 400 to 499.
func (s Status) IsClientError() bool { return s/100 == 4 }

// IsServerError reports a code from 500 to 599.
func (s Status) IsServerError() bool { return s/100 == 5 }

// String returns code and registered description: "404 Not Found".
func (s Status) String() string {
	if text := s.Text(); text != "" {
		return strconv.Itoa(int(s)) + " " + text
	}
	return strconv.Itoa(int(s))
}

// Text returns the description that IANA registers for the code, or "".
func (s Status) Text() string { return statusText[s] }

var statusText = map[Status]string{
	100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
	200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
	205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
	409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
	414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
	418: "I'm a teapot", 421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked",
	424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required",
	429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
	507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}
