package auth_test

import (
	"context"
	"errors"
	"io"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/auth"
)

func clock(at string) func() time.Time {
	now, err := time.Parse("20060102T150405Z", at)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return now }
}

// suite signs as AWS's published Signature Version 4 test suite does
// (aws-sig-v4-test-suite, which the General Reference offered for download; its
// cases live on in the repositories of the AWS CRT and of botocore).
var suite = auth.SigV4{
	AWSCredentials: auth.AWSCredentials{AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
	Region:         "us-east-1", Service: "service", Now: clock("20150830T123600Z"),
}

// s3docs signs as the examples in the Amazon S3 API Reference do ("Signature
// calculations for the Authorization header", "Authenticating requests: using
// query parameters").
var s3docs = auth.SigV4{
	AWSCredentials: auth.AWSCredentials{AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
	Region:         "us-east-1", Service: "s3", Now: clock("20130524T000000Z"),
}

// sessionToken is the one of the test suite.
const sessionToken = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

func TestSigV4Vectors(t *testing.T) {
	iam := suite // the example of the IAM User Guide, "Create a signed AWS API request"
	iam.Service = "iam"
	temporary := suite
	temporary.SessionToken = sessionToken
	for name, row := range map[string]struct {
		sig    auth.SigV4
		method string
		url    string
		fields header.Header
		body   content.Content
		names  string
		want   string
	}{
		"get-vanilla":                       {suite, "GET", "https://example.amazonaws.com/", header.Header{}, nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla, no path":              {suite, "", "https://example.amazonaws.com", header.Header{}, nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-slash":                         {suite, "GET", "https://example.amazonaws.com//", header.Header{}, nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-relative":                      {suite, "GET", "https://example.amazonaws.com/example/..", header.Header{}, nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-query-order-key-case":  {suite, "GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", header.Header{}, nil, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-vanilla-query-unreserved":      {suite, "GET", "https://example.amazonaws.com/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", header.Header{}, nil, "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		"get-unreserved":                    {suite, "GET", "https://example.amazonaws.com/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", header.Header{}, nil, "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"get-header-key-duplicate":          {suite, "GET", "https://example.amazonaws.com/", header.New("My-Header1", "value2", "My-Header1", "value2", "My-Header1", "value1"), nil, "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		"get-header-value-order":            {suite, "GET", "https://example.amazonaws.com/", header.New("My-Header1", "value4", "My-Header1", "value1", "My-Header1", "value3", "My-Header1", "value2"), nil, "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		"get-header-value-trim":             {suite, "GET", "https://example.amazonaws.com/", header.New("My-Header1", " value1", "My-Header2", ` "a   b   c"`), nil, "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"get-vanilla-query-order-key":       {suite, "GET", "https://example.amazonaws.com/?Param1=value2&Param1=Value1", header.Header{}, nil, "host;x-amz-date", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
		"get-vanilla-query-order-value":     {suite, "GET", "https://example.amazonaws.com/?Param1=value2&Param1=value1", header.Header{}, nil, "host;x-amz-date", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
		"get-vanilla-empty-query-key":       {suite, "GET", "https://example.amazonaws.com/?Param1=value1", header.Header{}, nil, "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"get-vanilla-utf8-query":            {suite, "GET", "https://example.amazonaws.com/?ሴ=bar", header.Header{}, nil, "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		"post-vanilla-query":                {suite, "POST", "https://example.amazonaws.com/?Param1=value1", header.Header{}, nil, "host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		"post-sts-header-before":            {temporary, "POST", "https://example.amazonaws.com/", header.Header{}, nil, "host;x-amz-date;x-amz-security-token", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
		"post-vanilla":                      {suite, "POST", "https://example.amazonaws.com/", header.Header{}, nil, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-header-key-sort":              {suite, "POST", "https://example.amazonaws.com/", header.New("My-Header1", "value1"), nil, "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		"post-x-www-form-urlencoded":        {suite, "POST", "https://example.amazonaws.com/", header.New("Content-Type", "application/x-www-form-urlencoded"), content.TextAs("Param1=value1", ""), "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"fields of the engine do not count": {suite, "GET", "https://example.amazonaws.com:443/", header.New("User-Agent", "x", "Accept-Encoding", "gzip", "Authorization", "old"), nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"IAM User Guide":                    {iam, "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", header.New("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), nil, "content-type;host;x-amz-date", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
		"S3: GET with Range":                {s3docs, "GET", "https://examplebucket.s3.amazonaws.com/test.txt", header.New("Range", "bytes=0-9"), nil, "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		"S3: PUT":                           {s3docs, "PUT", "https://examplebucket.s3.amazonaws.com/test$file.text", header.New("Date", "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY"), content.TextAs("Welcome to Amazon S3.", ""), "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		"S3: lifecycle":                     {s3docs, "GET", "https://examplebucket.s3.amazonaws.com/?lifecycle", header.Header{}, nil, "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		"S3: list":                          {s3docs, "GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", header.Header{}, nil, "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		u, err := neturl.Parse(row.url)
		if err != nil {
			t.Fatal(err)
		}
		req := &godwit.Request{Method: row.method, URL: u, Header: row.fields}
		if row.body != nil {
			req.Body = row.body
		}
		if err := row.sig.Sign(t.Context(), req); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := strings.ReplaceAll(req.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256,")
		want := "AWS4-HMAC-SHA256,Credential=" + row.sig.AccessKey + "/" + row.sig.Now().Format("20060102") + "/us-east-1/" + row.sig.Service + "/aws4_request, SignedHeaders=" + row.names + ", Signature=" + row.want
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

func TestSigV4Presign(t *testing.T) {
	got, err := s3docs.Presign(t.Context(), "GET", "https://examplebucket.s3.amazonaws.com/test.txt", 24*time.Hour)
	want := "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	if err != nil || got != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	temporary := s3docs
	temporary.SessionToken = "a/b"
	if got, err := temporary.Presign(t.Context(), "GET", "https://h/?b=2&a=1", time.Minute); err != nil || !strings.Contains(got, "?X-Amz-Algorithm=") || !strings.Contains(got, "&X-Amz-Security-Token=a%2Fb&") || !strings.Contains(got, "&a=1&b=2&") {
		t.Errorf("%s, %v", got, err)
	}
	// Without a method it is a GET; an old signature gives way to the new one.
	if again, err := s3docs.Presign(t.Context(), "", strings.ReplaceAll(want, "X-Amz-Expires", "x-amz%2Dexpires")+"&X-Amz-Security-Token=old", 24*time.Hour); err != nil || again != want {
		t.Errorf("again: %v\ngot  %s\nwant %s", err, again, want)
	}
	for _, d := range []time.Duration{0, 8 * 24 * time.Hour} {
		if _, err := s3docs.Presign(t.Context(), "GET", "https://h/", d); err == nil {
			t.Errorf("%v: no error", d)
		}
	}
	if _, err := s3docs.Presign(t.Context(), "GET", "/relative", time.Hour); err == nil {
		t.Error("relative URL: no error")
	}
}

// TestSigV4InTheClient: what plugins and defaults add is signed, each attempt
// anew, and a redirect to another origin is not.
func TestSigV4InTheClient(t *testing.T) {
	eng := mock.New(mock.Redirect("/again"), mock.Redirect("https://other.example/"), mock.OK("in"))
	sig := suite
	sig.SessionToken = "session"
	now := sig.Now()
	sig.Now = func() time.Time { now = now.Add(time.Second); return now }
	state := godwit.Intercept(godwit.SendState, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		req = req.Clone()
		req.Header.Set("X-Late", "1")
		return next(ctx, req)
	})
	c := clientWith(t, eng, godwit.Install(auth.New(sig)), state)
	resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", "https://example.amazonaws.com/a%20b?x=a+b", godwit.Body("body")))
	if err != nil || resp.Text() != "in" {
		t.Fatal(err)
	}
	for i, r := range eng.Requests() {
		got := r.Header.Get("Authorization")
		if i == 2 {
			if got != "" || r.Header.Has("X-Amz-Security-Token") {
				t.Errorf("the other origin got %s", r.Header)
			}
			continue
		}
		for _, name := range []string{"accept;", "content-type;", "host;", "x-amz-date;", "x-amz-security-token;", "x-late,"} {
			if !strings.Contains(got, name) {
				t.Errorf("request %d: %s is not signed in %q", i, name, got)
			}
		}
		if want := suite.Now().Add(time.Duration(i+1) * time.Second).Format("20060102T150405Z"); r.Header.Get("X-Amz-Date") != want {
			t.Errorf("request %d: X-Amz-Date %s, want %s", i, r.Header.Get("X-Amz-Date"), want)
		}
	}
	if q := eng.Requests()[0].URL.RawQuery; q != "x=a%20b" {
		t.Errorf("query %q", q)
	}
}

func TestSigV4Bodies(t *testing.T) {
	once := func() godwit.Option { return godwit.Body(io.MultiReader(strings.NewReader("once"))) }
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
	if _, err := client(t, eng, suite).Do(t.Context(), godwit.NewRequest("PUT", "https://h/", once())); !errors.Is(err, godwit.ErrNotReplayable) || len(eng.Requests()) != 0 {
		t.Errorf("%v", err)
	}
	unsigned := s3docs
	unsigned.UnsignedPayload = true
	if _, err := client(t, eng, unsigned).Do(t.Context(), godwit.NewRequest("PUT", "https://h/", once())); err != nil {
		t.Error(err)
	}
	if got := sent(eng, "X-Amz-Content-Sha256"); !slices.Equal(got, []string{"UNSIGNED-PAYLOAD"}) {
		t.Errorf("%q", got)
	}
	none := suite
	none.Credentials = func(context.Context) (auth.AWSCredentials, error) { return auth.AWSCredentials{}, nil }
	if _, err := client(t, eng, none).Do(t.Context(), godwit.NewRequest("GET", "https://h/")); err == nil {
		t.Error("no credentials: no error")
	}
}
