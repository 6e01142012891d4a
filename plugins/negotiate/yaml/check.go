package yaml

import (
	"cmp"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// The parser and the decoder recurse for each level and copy what an alias stands
// for, so a document is looked over before: its tokens for the nesting, its tree
// for what aliases add up to.

func (c Codec) check(data []byte) error {
	if err := checkText(data); err != nil {
		return err
	}
	tokens := lexer.Tokenize(string(data))
	e, err := c.measure(tokens)
	if err != nil {
		return err
	}
	if !e.aliases {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return err
	}
	maxNodes := cmp.Or(max(0, c.MaxNodes), 100_000+len(data))
	s := &sizes{anchors: make(map[string]int), limit: maxNodes}
	total := 0
	for _, doc := range file.Docs {
		if total += s.of(doc.Body); total > maxNodes {
			return fmt.Errorf("aliases make more than %d nodes of %d bytes", maxNodes, len(data))
		}
	}
	return nil
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
