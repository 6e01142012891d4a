package yaml

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser and the decoder recurse for each level and copy what an alias stands
// for, so a document is looked over before: its tokens for the nesting, its tree
// for what aliases add up to.

func (c Codec) check(data []byte) error {
	maxDepth, maxNodes := c.MaxDepth, c.MaxNodes
	if maxDepth <= 0 {
		maxDepth = 100
	}
	if maxNodes <= 0 {
		maxNodes = 100_000 + len(data)
	}
	tokens := lexer.Tokenize(string(data))
	if depthOf(tokens) > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	if err := checkRuns(tokens); err != nil {
		return err
	}
	if !hasAlias(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return err
	}
	s := &sizes{anchors: make(map[string]int), limit: maxNodes}
	total := 0
	for _, doc := range file.Docs {
		if total += s.of(doc.Body); total > maxNodes {
			return fmt.Errorf("aliases make more than %d nodes of %d bytes", maxNodes, len(data))
		}
	}
	return nil
}

func hasAlias(tokens token.Tokens) bool {
	for _, t := range tokens {
		if t.Type == token.AliasType {
			return true
		}
	}
	return false
}

// The parser takes time by the square of what follows each other without a line
// end or, in brackets, a comma between, and of the number of documents. No sensible
// body has many of either.
const (
	maxRun       = 1000
	maxDocuments = 100
)

func checkRuns(tokens token.Tokens) error {
	flow, run, line, documents := 0, 0, 0, 0
	for _, t := range tokens {
		run++
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.CollectEntryType:
			run = 0
		case token.DocumentHeaderType, token.DocumentEndType:
			documents++
		}
		if at := t.Position.Line; at != line && flow == 0 {
			line, run = at, 0
		}
		if run > maxRun {
			return fmt.Errorf("line %d: more than %d tokens in a row", t.Position.Line, maxRun)
		}
	}
	if documents > maxDocuments {
		return fmt.Errorf("more than %d documents", maxDocuments)
	}
	return nil
}

// depthOf returns how deep flow collections and the entries of block sequences
// ("- - - x") are nested. Block mappings need a line and an indent for each level.
func depthOf(tokens token.Tokens) int {
	flow, deepest := 0, 0
	var columns []int
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType:
			at := t.Position.Column
			for len(columns) > 0 && columns[len(columns)-1] >= at {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, at)
		}
		deepest = max(deepest, flow+len(columns))
	}
	return deepest
}

// sizes counts the nodes of a tree with its aliases expanded.
type sizes struct {
	anchors map[string]int
	limit   int
}

// of returns the size of a node; once it is over the limit it may be anything
// over it.
func (s *sizes) of(n ast.Node) int {
	total := 1
	add := func(n ast.Node) {
		if total <= s.limit && n != nil {
			total += s.of(n)
		}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			add(v)
		}
	case *ast.MappingValueNode:
		add(n.Key)
		add(n.Value)
	case *ast.MappingKeyNode:
		add(n.Value)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			add(v)
		}
	case *ast.TagNode:
		add(n.Value)
	case *ast.AnchorNode:
		add(n.Value)
		s.anchors[n.Name.GetToken().Value] = total
	case *ast.AliasNode:
		total += s.anchors[n.Value.GetToken().Value]
	}
	return total
}
