package godwit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ktorNames are the names that somebody who comes from Ktor looks for. Each has
// a row in docs/from-ktor.md, under exactly this name.
var ktorNames = []string{
	// clients and engines
	"HttpClient(CIO)", "HttpClient()", "HttpClient(engineInstance)", "HttpClient(CIO) { engine { … } }", "CIO.config { … }",
	// calls
	"client.get<String>()", "readBytes", "client.get<ByteArray>()", "client.get<MyClass>()", "client.get<HttpResponse>()",
	"client.call", "client.request", "client.get", "client.post",
	// the builder
	"url", "method", "headers", "header()", "headers { }", "body", "executionContext (request)",
	"append", "appendAll", "header",
	// bodies out
	"text body", "TextContent", "ByteArrayContent", "LocalFileContent", "JarFileContent", "URIFileContent", "JSON body with contentType()",
	// bodies in
	"ByteReadChannel", "receive<ByteArray>()", "receive<String>()", "MultiPartData", "InputStream", "discardRemaining",
	// responses
	"status", "response headers", "call", "version", "requestTime", "responseTime", "executionContext (response)",
	"contentType()", "charset()", "lastModified()", "etag()", "expires()", "vary()", "contentLength()", "setCookie()",
	// features
	"BasicAuth", "HttpCookies", "AcceptAllCookiesStorage", "ConstantCookiesStorage", "DropBody", "HttpPlainText.defaultCharset",
	"JsonFeature", "JsonSerializer", "WebSockets", "HttpClientFeature",
	"requestPipeline", "sendPipeline", "receivePipeline", "responsePipeline", "phases",
	// server-sent events
	"sse", "serverSentEvents(deserialize)", "sseSession", "ServerSentEvent", "reconnectionTime", "maxReconnectionAttempts",
	"showCommentEvents", "showRetryEvents", "bufferPolicy", "SSEClientException",
	// what all engines share
	"dispatcher", "sslContext", "threadsCount", "pipelining", "proxy", "maximum connections", "maximum connections per route",
	// Apache
	"Apache followRedirects", "Apache socketTimeout", "Apache connectTimeout", "Apache connectionRequestTimeout",
	"Apache customizeClient", "Apache setProxy", "Apache setMaxConnTotal", "Apache setMaxConnPerRoute", "Apache customizeRequest", "Apache5",
	// CIO
	"CIO maxConnectionsCount", "CIO maxConnectionsPerRoute", "CIO pipelineMaxSize", "CIO keepAliveTime", "CIO connectTimeout",
	"CIO connectRetryAttempts", "CIO connectAttempts", "CIO socketTimeout", "CIO requestTimeout",
	"https serverName", "https cipherSuites", "https trustManager", "https random", "https addKeyStore",
	// Jetty, Java, Android, OkHttp
	"Jetty sslContextFactory", "Jetty clientCacheSize", "Jetty HTTP/2 only",
	"Java threadsCount", "Java pipelining", "Java proxy", "Java protocolVersion",
	"Android connectTimeout", "Android socketTimeout", "Android proxy",
	"OkHttp config", "OkHttp addInterceptor", "OkHttp addNetworkInterceptor", "OkHttp preconfigured",
	// Darwin, WinHttp, Curl, Js
	"Darwin configureRequest", "iOS", "WinHttp protocolVersion", "Curl sslVerify", "Js",
	// examples
	"sequential requests", "async", "awaitAll", "formData", "append(key, value)", "append(key, filename)", "JSON round trip",
	// limitations
	"HTTP/2 and WebSocket by engine", "TLS by engine", "proxy by engine", "Logging", "timeouts by engine",
	// platforms
	"expect/actual httpClient(config)", "retryOnConnectionFailure", "connectTimeout(0)", "allowsCellularAccess",
	// closing
	"close", "use", "join", "cancel", "close, join three seconds, cancel",
	// testing
	"MockEngine", "respond", "respondOk", "respondError", "respondRedirect", "respondBadRequest", "requestHistory", "responseHistory",
	"addHandler", "reuseHandlers", "MockEngine.Queue",
}

// rooms are the packages that docs/from-ktor.md may speak of.
var rooms = map[string]string{
	"auth": "plugins/auth", "cookies": "plugins/cookies", "retry": "plugins/retry", "sse": "sse", "websocket": "websocket",
	"godwit": ".", "header": "header", "content": "content", "attr": "attr", "pipeline": "pipeline", "engine": "engine",
	"cio": "engine/cio", "h2": "engine/h2", "nethttp": "engine/nethttp", "mock": "engine/mock",
}

// ktorRow is a row of the table.
type ktorRow struct{ ktor, ours, example string }

func ktorRows(t *testing.T) []ktorRow {
	t.Helper()
	page, err := os.ReadFile("docs/from-ktor.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []ktorRow
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 || strings.Contains(line, "|---") || strings.HasPrefix(line, "| Ktor |") {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("a row of %d cells: %s", len(cells)-2, line)
		}
		name := strings.ReplaceAll(strings.TrimSpace(cells[1]), "`", "")
		rows = append(rows, ktorRow{name, strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])})
	}
	return rows
}

func TestFromKtor(t *testing.T) {
	rows := ktorRows(t)
	examples := exampleNames(t)
	known := make(map[string]map[string]bool)
	for name, dir := range rooms {
		known[name] = identifiers(t, dir)
	}
	quoted := regexp.MustCompile("`([^`]*)`")
	seen := make(map[string]bool)
	for _, row := range rows {
		if seen[row.ktor] {
			t.Errorf("%s has two rows", row.ktor)
		}
		seen[row.ktor] = true
		if !slices.Contains(ktorNames, row.ktor) {
			t.Errorf("%s has a row, and is not in the test's list", row.ktor)
		}
		for _, name := range quoted.FindAllStringSubmatch(row.ours, -1) {
			room, identifier, _ := strings.Cut(name[1], ".")
			if !known[room][identifier] {
				t.Errorf("%s: there is no %s", row.ktor, name[1])
			}
		}
		named := quoted.FindAllStringSubmatch(row.example, -1)
		for _, name := range named {
			if !examples[name[1]] {
				t.Errorf("%s: there is no %s", row.ktor, name[1])
			}
		}
		later := strings.HasPrefix(row.example, "later: ") && len(row.example) > len("later: ")
		if len(named) == 0 && !later {
			t.Errorf("%s names neither an Example nor what it comes with", row.ktor)
		}
		if !later && !quoted.MatchString(row.ours) {
			t.Errorf("%s names nothing of ours", row.ktor)
		}
	}
	for _, name := range ktorNames {
		if !seen[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

// exampleNames returns the Examples of the packages in rooms.
func exampleNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, dir := range rooms {
		for _, file := range parsed(t, dir, true) {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
					names[f.Name.Name] = true
				}
			}
		}
	}
	return names
}

// identifiers returns what a package exports: "Get", "Response.Text",
// "Config.MaxConnections".
func identifiers(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, file := range parsed(t, dir, false) {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					name = typeName(d.Recv.List[0].Type) + "." + name
				}
				names[name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addSpec(names, spec)
				}
			}
		}
	}
	return names
}

func addSpec(names map[string]bool, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			names[n.Name] = true
		}
	case *ast.TypeSpec:
		names[spec.Name.Name] = true
		var fields *ast.FieldList
		switch of := spec.Type.(type) {
		case *ast.StructType:
			fields = of.Fields
		case *ast.InterfaceType:
			fields = of.Methods
		default:
			return
		}
		for _, f := range fields.List {
			for _, n := range f.Names {
				names[spec.Name.Name+"."+n.Name] = true
			}
		}
	}
}

// typeName returns the name of a receiver's type.
func typeName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.IndexExpr:
		return typeName(x.X)
	case *ast.IndexListExpr:
		return typeName(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// parsed returns the syntax of a folder's test files, or of its others.
func parsed(t *testing.T, dir string, tests bool) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Go files in %s (%v)", dir, err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") != tests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// TestExamples: an exported function of the root has an Example, and so have the
// methods by which one starts.
func TestExamples(t *testing.T) {
	have := exampleNames(t)
	shown := map[string]string{
		"HeaderTimeout": "ExampleConnectTimeout", "PoolTimeout": "ExampleConnectTimeout", // beside their like
		"Listen": "ExampleEmit", "CallFrom": "ExampleCallFrom", "IsTimeout": "ExampleTimeout",
	}
	for _, file := range parsed(t, ".", false) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Recv != nil {
				continue
			}
			example := "Example" + f.Name.Name
			if other, ok := shown[f.Name.Name]; ok {
				example = other
			}
			if !have[example] {
				t.Errorf("godwit.%s has no %s", f.Name.Name, example)
			}
		}
	}
	for _, method := range []string{"Do", "Stream", "Open", "With", "Close", "Join", "Cancel", "Err", "Supports", "RoundTrip"} {
		if !have["ExampleClient_"+method] {
			t.Errorf("Client.%s has no Example", method)
		}
	}
}

// TestDocsCode: the Go code in README.md and docs/ compiles. A whole program is
// vetted; any other block is an excerpt of an Example or of a program in
// examples/, line for line.
func TestDocsCode(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	compiled := compiledLines(t)
	block := regexp.MustCompile("(?ms)^```go\n(.*?)^```")
	for _, page := range append(pages, "README.md") {
		if strings.HasPrefix(filepath.Base(page), "engine") {
			continue // for authors of engines: generated, or about code that is not here
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "package main\n") {
				vet(t, page, m[1])
			} else if code := trimmedLines(m[1]); !strings.Contains(compiled, code) {
				t.Errorf("%s: this code is not in an Example:\n%s", page, m[1])
			}
		}
	}
}

// compiledLines returns the code of all Examples and examples, without
// indentation and empty lines.
func compiledLines(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	add := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(trimmedLines(string(text)))
	}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		example := strings.HasPrefix(name, "example") && strings.HasSuffix(name, "_test.go")
		if err == nil && (example || strings.HasPrefix(path, "examples") && strings.HasSuffix(path, ".go")) {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// trimmedLines removes what documents and code lay out differently.
func trimmedLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			b.WriteString("\n" + line)
		}
	}
	return b.String() + "\n"
}

// vet compiles and vets a program that stands in a page.
func vet(t *testing.T, page, program string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", path).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", page, err, out, program)
	}
}
