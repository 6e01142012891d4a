package auth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

// TestOwnKey: a key that the request brings stays the only one, wherever it is,
// and what is beside it stays, too.
func TestOwnKey(t *testing.T) {
	for name, row := range map[string]struct {
		key         auth.APIKey
		url         string
		opts        []godwit.Option
		query       string
		field, want string
	}{
		"query":            {auth.APIKey{Query: "key", Key: "k&"}, url, nil, "key=k%26", "", ""},
		"own query":        {auth.APIKey{Query: "key", Key: "k"}, url + "?key=own", nil, "key=own", "", ""},
		"own, escaped":     {auth.APIKey{Query: "key", Key: "k"}, url + "?a=1&%6bey=own", nil, "a=1&%6bey=own", "", ""},
		"own, empty":       {auth.APIKey{Query: "key", Key: "k"}, url + "?key", nil, "key", "", ""},
		"another query":    {auth.APIKey{Query: "key", Key: "k"}, url + "?keys=x", nil, "keys=x&key=k", "", ""},
		"cookie":           {auth.APIKey{Cookie: "sid", Key: "k"}, url, nil, "", "Cookie", "sid=k"},
		"own cookie":       {auth.APIKey{Cookie: "sid", Key: "k"}, url, []godwit.Option{godwit.Cookie("a", "1"), godwit.Cookie("sid", "own")}, "", "Cookie", "a=1; sid=own"},
		"another cookie":   {auth.APIKey{Cookie: "sid", Key: "k"}, url, []godwit.Option{godwit.Cookie("xsid", "own")}, "", "Cookie", "xsid=own; sid=k"},
		"several fields":   {auth.APIKey{Cookie: "sid", Key: "k"}, url, []godwit.Option{godwit.AddHeader("Cookie", "a=1;", "b=2")}, "", "Cookie", "a=1; b=2; sid=k"},
		"own among fields": {auth.APIKey{Cookie: "sid", Key: "k"}, url, []godwit.Option{godwit.AddHeader("Cookie", "a=1", "sid=own")}, "", "Cookie", "a=1|sid=own"},
		"own field":        {auth.APIKey{Key: "k"}, url, []godwit.Option{godwit.Header("x-api-key", "own")}, "", "X-API-Key", "own"},
	} {
		t.Run(name, func(t *testing.T) {
			eng := mock.Serve(mock.OK("in"))
			get(t, client(t, eng, row.key), row.url, row.opts...)
			r := eng.Requests()[0]
			if r.URL.RawQuery != row.query {
				t.Errorf("query %q, want %q", r.URL.RawQuery, row.query)
			}
			if got := strings.Join(r.Header.Values(row.field), "|"); row.field != "" && got != row.want {
				t.Errorf("%s: %q, want %q", row.field, got, row.want)
			}
		})
	}
}

// TestOwnKeyIsNotLoaded: nobody is asked for a key that is not needed.
func TestOwnKeyIsNotLoaded(t *testing.T) {
	load := func(context.Context) (string, error) {
		t.Error("loaded")
		return "k", nil
	}
	eng := mock.Serve(mock.OK("in"))
	get(t, client(t, eng, auth.APIKey{Query: "key", Load: load}), url+"?key=own")
}

func TestBadKeys(t *testing.T) {
	for name, row := range map[string]struct {
		provider auth.Provider
		want     string
	}{
		"key in a field": {auth.APIKey{Key: "a\r\nX: 1"}, "auth: APIKey: the key"},
		"cookie":         {auth.APIKey{Cookie: "sid", Key: "a; b=c"}, "auth: APIKey:"},
		"token":          {auth.Bearer{Token: "a\n"}, "auth: Bearer: Token"},
	} {
		c := godwit.New(godwit.Install(auth.New(row.provider)))
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "a\\r") {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
		c.Close()
	}
}
