// Package lint_test holds the rules of the house as tests, each with its reason.
package lint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxFile     = 600 // lines: past that a second idea lives in the file
	maxTestFile = 900
	maxFunc     = 80 // lines: what fits a screen
	maxParams   = 4  // beside a context: more are a struct
	maxMethods  = 20 // exported, on one type: more are two types
)

type source struct {
	path string
	test bool
	file *ast.File
	fset *token.FileSet
	text string
}

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != ".." && name != "../.." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{strings.TrimPrefix(filepath.ToSlash(path), "../../"), strings.HasSuffix(path, "_test.go"), file, fset, string(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d files", len(all))
	}
	return all
}

func TestSizes(t *testing.T) {
	methods := make(map[string]int)
	for _, s := range sources(t) {
		limit := maxFile
		if s.test {
			limit = maxTestFile
		}
		if n := strings.Count(s.text, "\n"); n > limit {
			t.Errorf("%s has %d lines, the ceiling is %d", s.path, n, limit)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunc && !s.test {
				t.Errorf("%s: %s has %d lines, the ceiling is %d", s.path, f.Name.Name, n, maxFunc)
			}
			if n := params(f); n > maxParams && f.Name.IsExported() && !s.test {
				t.Errorf("%s: %s has %d parameters beside a context, the ceiling is %d", s.path, f.Name.Name, n, maxParams)
			}
			if f.Recv != nil && f.Name.IsExported() && !s.test {
				methods[filepath.Dir(s.path)+"."+receiver(f)]++
			}
		}
	}
	for name, n := range methods {
		if reason, ok := manyMethods[name]; ok {
			t.Logf("%s has %d exported methods: %s", name, n, reason)
		} else if n > maxMethods {
			t.Errorf("%s has %d exported methods, the ceiling is %d", name, n, maxMethods)
		}
	}
}

// manyMethods are the types that may have more, each with its reason.
var manyMethods = map[string]string{
	"..Response": "one getter for each fact of a response",
}

func params(f *ast.FuncDecl) int {
	n := 0
	for _, p := range f.Type.Params.List {
		if sel, ok := p.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
			continue
		}
		n += max(1, len(p.Names))
	}
	return n
}

func receiver(f *ast.FuncDecl) string {
	e := f.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return "?"
		}
	}
}

// TestDocs: the doc comment is the contract of what is exported.
func TestDocs(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test || s.file.Name.Name == "main" {
			documented[dir] = true
			continue
		}
		documented[dir] = documented[dir] || s.file.Doc != nil
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d)) && !standardMethods[d.Name.Name]) {
					t.Errorf("%s: %s has no doc comment", s.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil && ts.Comment == nil {
						t.Errorf("%s: type %s has no doc comment", s.path, ts.Name.Name)
					}
				}
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no package comment", dir)
		}
	}
}

// standardMethods are told by the interface that they implement.
var standardMethods = map[string]bool{
	"Error": true, "String": true, "Read": true, "Write": true, "Close": true, "WriteTo": true, "ReadFrom": true,
	"Name": true, "Install": true, "Len": true, "Less": true, "Swap": true, "Is": true, "Unwrap": true, "Abort": true,
	"ContentType": true, "ContentLength": true, "Open": true, "Replayable": true, "Bytes": true,
}

// TestNoInit: importing a package does nothing but register an engine, and only
// in packages named register.
func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.file.Name.Name == "register" {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}

// TestNoSleep: a test that sleeps is slow or flaky; testing/synctest and channels
// are not.
func TestNoSleep(t *testing.T) {
	for _, s := range sources(t) {
		if s.test && !strings.HasPrefix(s.path, "internal/lint/") && strings.Contains(s.text, "time.Sleep(") && !strings.Contains(s.text, "synctest") {
			t.Errorf("%s sleeps", s.path)
		}
	}
}

// TestNames: a name says what is inside.
func TestNames(t *testing.T) {
	vague := regexp.MustCompile(`^(util|utils|common|helper|helpers|misc|manager)$`)
	for _, s := range sources(t) {
		if vague.MatchString(strings.TrimSuffix(s.file.Name.Name, "_test")) {
			t.Errorf("%s: package %s says nothing", s.path, s.file.Name.Name)
		}
	}
}

// TestNoUnfinished: unfinished work is an issue, not a comment.
func TestNoUnfinished(t *testing.T) {
	mark := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	for _, s := range sources(t) {
		for i, line := range strings.Split(s.text, "\n") {
			if mark.MatchString(line) {
				t.Errorf("%s:%d: %s", s.path, i+1, strings.TrimSpace(line))
			}
		}
	}
}
