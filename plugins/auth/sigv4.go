package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
)

// AWSCredentials are what AWS requests are signed with.
type AWSCredentials struct {
	AccessKey, SecretKey string
	// SessionToken belongs to temporary credentials; "" = none.
	SessionToken string
}

// SigV4 signs requests to AWS and what speaks like it: Signature Version 4, by
// the AWS Identity and Access Management User Guide, "Create a signed AWS API
// request". It signs in phase SendAttempt, over the final fields, each attempt
// with a date of its own. All fields are signed but those that engines and
// proxies change.
type SigV4 struct {
	AWSCredentials
	// Credentials returns those to sign with, in place of the fixed ones. It is
	// called for each send, so it should cache.
	Credentials func(ctx context.Context) (AWSCredentials, error)
	// Region and Service are the names in the scope: "eu-central-1", "s3".
	Region, Service string
	// UnsignedPayload leaves the body out of the signature, which S3 allows over
	// https. Otherwise the body is read twice.
	UnsignedPayload bool
	// Hosts tells what it is for: see [Scope].
	Hosts []string
	// Now is the clock; nil = time.Now.
	Now func() time.Time
}

const (
	sigAlgorithm    = "AWS4-HMAC-SHA256"
	sigTime         = "20060102T150405Z"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	emptyHash       = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// NewAuthenticator implements [Provider].
func (s SigV4) NewAuthenticator() (Authenticator, error) {
	if err := s.complete(); err != nil {
		return nil, err
	}
	return sigV4{s}, nil
}

func (s *SigV4) complete() error {
	switch {
	case s.Region == "" || s.Service == "":
		return errors.New("auth: SigV4 needs Region and Service")
	case s.Credentials == nil && (s.AccessKey == "" || s.SecretKey == ""):
		return errors.New("auth: SigV4 needs AccessKey and SecretKey, or Credentials")
	}
	return nil
}

type sigV4 struct{ SigV4 }

var _ Signer = sigV4{}

func (s sigV4) Scope() Scope { return Scope{Hosts: s.Hosts} }

func (s sigV4) Authorize(context.Context, *Exchange) error { return nil }

func (s sigV4) Accepts(*Exchange) bool { return false }

func (s sigV4) Answer(context.Context, *Exchange) (bool, error) { return false, nil }

func (s sigV4) Sign(ctx context.Context, x *Exchange) error { return s.SigV4.Sign(ctx, x.Request) }

// Sign signs req in place: it sets X-Amz-Date, Authorization, and as needed
// X-Amz-Security-Token and X-Amz-Content-Sha256. The URL is absolute, the body
// nil or a content.Content. What is signed must not change any more.
func (s SigV4) Sign(ctx context.Context, req *godwit.Request) error {
	if err := s.complete(); err != nil {
		return err
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	payload, err := s.payload(ctx, req)
	if err != nil {
		return err
	}
	now := s.now()
	req.Header.Set("X-Amz-Date", now.Format(sigTime))
	if keys.SessionToken != "" {
		req.Header.Set("X-Amz-Security-Token", keys.SessionToken)
	}
	if s.s3() || payload == unsignedPayload {
		req.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if strings.Contains(req.URL.RawQuery, "+") { // a space to some, a plus to others
		u := *req.URL
		u.RawQuery = strings.ReplaceAll(u.RawQuery, "+", "%20")
		req.URL = &u
	}
	fields, names := canonicalFields(req)
	c := canonical{
		method: cmp.Or(req.Method, "GET"), path: s.path(req.URL), query: canonicalQuery(req.URL.RawQuery),
		fields: fields, names: names, payload: payload,
	}
	req.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		sigAlgorithm, keys.AccessKey, s.scope(now), names, s.signature(keys, now, c)))
	return nil
}

// Presign returns rawURL with a signature in its query: whoever has it can send
// that one request without credentials until it expires, within a second and
// seven days. A method of "" is GET. The signature of a URL that was presigned
// before is replaced.
func (s SigV4) Presign(ctx context.Context, method, rawURL string, expires time.Duration) (string, error) {
	if err := s.complete(); err != nil {
		return "", err
	}
	if expires < time.Second || expires > 7*24*time.Hour {
		return "", fmt.Errorf("auth: Presign: expires is %v; it must be from a second to seven days", expires)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("auth: Presign: %q is no absolute URL", rawURL)
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	now := s.now()
	u.RawQuery = withoutSignature(u.RawQuery)
	add := [][2]string{
		{"X-Amz-Algorithm", sigAlgorithm}, {"X-Amz-Credential", keys.AccessKey + "/" + s.scope(now)},
		{"X-Amz-Date", now.Format(sigTime)}, {"X-Amz-Expires", fmt.Sprint(int64(expires / time.Second))},
		{"X-Amz-SignedHeaders", "host"},
	}
	if keys.SessionToken != "" {
		add = append(add, [2]string{"X-Amz-Security-Token", keys.SessionToken})
	}
	for _, p := range add {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += p[0] + "=" + awsEscape(p[1], false)
	}
	u.RawQuery = canonicalQuery(u.RawQuery)
	payload := emptyHash
	if s.s3() || s.UnsignedPayload {
		payload = unsignedPayload
	}
	c := canonical{method: cmp.Or(method, "GET"), path: s.path(u), query: u.RawQuery, fields: "host:" + hostOf(u) + "\n", names: "host", payload: payload}
	u.RawQuery += "&X-Amz-Signature=" + s.signature(keys, now, c)
	return u.String(), nil
}

// withoutSignature returns a query without the parameters of a signature.
func withoutSignature(query string) string {
	var kept []string
	for p := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		switch strings.ToLower(name) {
		case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-security-token", "x-amz-signature":
		default:
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "&")
}

func (s *SigV4) keys(ctx context.Context) (AWSCredentials, error) {
	if s.Credentials == nil {
		return s.AWSCredentials, nil
	}
	keys, err := s.Credentials(ctx)
	if err == nil && (keys.AccessKey == "" || keys.SecretKey == "") {
		err = errors.New("there are none")
	}
	if err != nil {
		return keys, fmt.Errorf("auth: SigV4 credentials: %w", err)
	}
	return keys, nil
}

func (s *SigV4) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

func (s *SigV4) scope(now time.Time) string {
	return now.Format("20060102") + "/" + s.Region + "/" + s.Service + "/aws4_request"
}

// s3 reports whether the service has S3's rules: paths are encoded once and as
// they are, the hash of the body stands in a field.
func (s *SigV4) s3() bool {
	return s.Service == "s3" || strings.HasPrefix(s.Service, "s3-") || s.Service == "s3express"
}

// payload is the hash of the body.
func (s *SigV4) payload(ctx context.Context, req *godwit.Request) (string, error) {
	if s.UnsignedPayload {
		return unsignedPayload, nil
	}
	body := req.Content()
	if body == nil {
		return emptyHash, nil
	}
	if data, ok := content.BytesOf(body); ok {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	}
	if !body.Replayable() {
		return "", fmt.Errorf("auth: SigV4 reads the body before it is sent: %w; use a body that can be opened again, or UnsignedPayload", godwit.ErrNotReplayable)
	}
	r, err := body.Open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// canonical is the canonical request.
type canonical struct{ method, path, query, fields, names, payload string }

func (s *SigV4) signature(keys AWSCredentials, now time.Time, c canonical) string {
	request := sha256.Sum256([]byte(strings.Join([]string{c.method, c.path, c.query, c.fields, c.names, c.payload}, "\n")))
	text := strings.Join([]string{sigAlgorithm, now.Format(sigTime), s.scope(now), hex.EncodeToString(request[:])}, "\n")
	key := []byte("AWS4" + keys.SecretKey)
	for _, part := range []string{now.Format("20060102"), s.Region, s.Service, "aws4_request", text} {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, part)
		key = h.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// path is the canonical URI: the path on the wire, encoded once more, without dot
// segments and doubled slashes; for S3 only the object's name, encoded.
func (s *SigV4) path(u *url.URL) string {
	if s.s3() {
		return orSlash(awsEscape(u.Path, true))
	}
	return awsEscape(cleanPath(u.EscapedPath()), true)
}

func orSlash(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

func cleanPath(p string) string {
	var out []string
	for s := range strings.SplitSeq(p, "/") {
		switch s {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, s)
		}
	}
	clean := "/" + strings.Join(out, "/")
	if len(out) > 0 && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		clean += "/"
	}
	return clean
}

// canonicalQuery sorts the query's pairs, encoded AWS's way.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for p := range strings.SplitSeq(raw, "&") {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		pairs = append(pairs, [2]string{reescape(name), reescape(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

func reescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return awsEscape(s, false)
}

// awsEscape encodes all but unreserved characters (RFC 3986 §2.3).
func awsEscape(s string, slashes bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0, c == '/' && slashes:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// unsigned are the fields that engines and proxies set or change.
var unsigned = []string{
	"accept-encoding", "authorization", "connection", "content-length", "expect", "forwarded", "keep-alive", "proxy-authorization",
	"proxy-connection", "te", "trace-id", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
	"x-amzn-trace-id", "x-forwarded-for",
}

// canonicalFields returns the fields that are signed, and their names.
func canonicalFields(req *godwit.Request) (fields, names string) {
	values := map[string][]string{"host": {hostOf(req.URL)}}
	for name, v := range req.Header.All() {
		name = strings.ToLower(name)
		v = strings.Join(strings.Fields(v), " ")
		switch {
		case name == "host":
			values[name] = []string{v}
		case !slices.Contains(unsigned, name):
			values[name] = append(values[name], v)
		}
	}
	var list []string
	for name := range values {
		list = append(list, name)
	}
	slices.Sort(list)
	var b strings.Builder
	for _, name := range list {
		b.WriteString(name + ":" + strings.Join(values[name], ",") + "\n")
	}
	return b.String(), strings.Join(list, ";")
}

// hostOf is what the engine sends as Host.
func hostOf(u *url.URL) string {
	if u.Port() == defaultPort(u.Scheme) {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return strings.TrimSuffix(u.Host, ":")
}
