package enginetest

func methodTests() []test {
	return []test{
		{name: "Verbs", run: methodVerbs},
		{name: "VerbsWithBody", run: methodBodies},
		{name: "CustomTokens", run: methodTokens},
		{name: "QueryWithBody", run: methodQuery},
		{name: "OptionsAsterisk", run: methodAsterisk},
	}
}

// methods sends each method and compares what arrives.
func (t *T) methods(body string, methods ...string) {
	t.Helper()
	e := t.engine()
	s, requests := t.record()
	for _, m := range methods {
		req := t.request(m, s.URL+"/path")
		want := ""
		if body != "" {
			req.Body = inMemory(body)
			want = body
		}
		answer := "ok"
		if m == "HEAD" {
			answer = ""
		}
		t.want(e, req, 200, answer)
		got := within(t, "the request", requests)
		if got.Line != m+" /path HTTP/1.1" || got.Body != want {
			t.Errorf("%s: the server got %q with body %q", m, got.Line, got.Body)
		}
	}
}

func methodVerbs(t *T) {
	t.methods("", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
}

func methodBodies(t *T) {
	t.methods("some body", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}

func methodTokens(t *T) {
	t.methods("", "PROPFIND", "get", "x-custom", "M-SEARCH", "A!#$%&'*+-.^_`|~0z")
}

func methodQuery(t *T) { t.methods(`{"q":1}`, "QUERY") }

func methodAsterisk(t *T) {
	e := t.engine()
	s, requests := t.record()
	req := t.request("OPTIONS", s.URL)
	req.URL.Path = "*"
	t.want(e, req, 200, "ok")
	if got := within(t, "the request", requests); got.Line != "OPTIONS * HTTP/1.1" {
		t.Errorf("request line %q", got.Line)
	}
}
