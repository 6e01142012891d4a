package yaml

import (
	"cmp"
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// The parser takes time by the square of the entries of a block mapping, of the
// values left out and of the documents, and of what follows each other without a
// line end or, in brackets, a comma between; and each node has its path as text,
// the keys that lead to it. One walk over the tokens bounds them all. Where it
// can't tell, it counts more than there is.
const (
	defaultTokens  = 100_000
	defaultEntries = 5000
	defaultDepth   = 100
	maxRun         = 1000
	maxDocuments   = 100
	maxPaths       = 128 << 20
)

// extent is what a walk over the tokens of a stream has seen.
type extent struct {
	maxDepth, maxEntries int

	flow, deepest   int   // how many brackets are open; the deepest nesting
	dashes          []int // the columns of "-" and "?" that are open
	run, documents  int
	levels          []level
	path, paths     int // bytes of the path at a token, and of all paths
	line, start     int // of the token that a line or an entry of it begins with
	lead, afterMark bool
	aliases         bool
}

// level is a block mapping or a bracket that is open.
type level struct {
	column  int // of a block mapping's keys; 0 = a bracket
	entries int
	key     int // bytes that the longest of its keys adds to a path
}

func (c Codec) measure(tokens token.Tokens) (*extent, error) {
	e := &extent{maxDepth: cmp.Or(max(0, c.MaxDepth), defaultDepth), maxEntries: cmp.Or(max(0, c.MaxEntries), defaultEntries)}
	var before *token.Token
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		e.place(t)
		if err := e.count(t, before); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.Position.Line, err)
		}
		before = t
	}
	if limit := cmp.Or(max(0, c.MaxTokens), defaultTokens); len(tokens) > limit {
		return nil, fmt.Errorf("more than %d keys, values and marks (see the codec's MaxTokens)", limit)
	}
	return e, nil
}

// place finds out where in the block structure a token stands.
func (e *extent) place(t *token.Token) {
	newLine := e.flow == 0 && t.Position.Line != e.line
	if newLine {
		e.line, e.run = t.Position.Line, 0
	}
	// The text after | and > has a position that tells nothing.
	if e.flow == 0 && (newLine || e.lead) && !e.afterMark {
		e.start = t.Position.Column
		for len(e.levels) > 0 && e.levels[len(e.levels)-1].column > e.start {
			e.pop()
		}
	}
	e.lead = t.Type == token.SequenceEntryType || t.Type == token.MappingKeyType
	e.afterMark = t.Type == token.LiteralType || t.Type == token.FoldedType
}

func (e *extent) count(t, before *token.Token) error {
	e.run++
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		e.flow++
		e.push(0)
	case token.SequenceEndType, token.MappingEndType:
		e.close()
	case token.CollectEntryType:
		e.run = 0
	case token.AliasType:
		e.aliases = true
	case token.DocumentHeaderType, token.DocumentEndType:
		e.documents++
	case token.SequenceEntryType:
		e.dash(t.Position.Column)
	case token.MappingKeyType:
		e.dash(t.Position.Column)
		e.entry(0)
	case token.MappingValueType:
		if before != nil {
			e.entry(len(before.Value))
		}
	}
	e.paths += e.path
	e.deepest = max(e.deepest, e.flow+len(e.dashes))
	switch {
	case e.deepest > e.maxDepth:
		return fmt.Errorf("nested more than %d deep", e.maxDepth)
	case e.run > maxRun:
		return fmt.Errorf("more than %d tokens in a row", maxRun)
	case e.documents > maxDocuments:
		return fmt.Errorf("more than %d documents", maxDocuments)
	case len(e.levels) > 0 && e.levels[len(e.levels)-1].entries > e.maxEntries:
		return fmt.Errorf("a mapping of more than %d entries (see the codec's MaxEntries)", e.maxEntries)
	case e.paths > maxPaths:
		return fmt.Errorf("long keys, nested: the paths of all nodes take more than %d MiB", maxPaths>>20)
	}
	return nil
}

// dash notes an entry of a block sequence, or a "?". Entries can be nested on one
// line ("- - - x"); block mappings need a line and an indent for each level.
func (e *extent) dash(column int) {
	for len(e.dashes) > 0 && e.dashes[len(e.dashes)-1] >= column {
		e.dashes = e.dashes[:len(e.dashes)-1]
	}
	e.dashes = append(e.dashes, column)
}

// entry notes a key. In brackets the run is bounded, and so are mappings there
// that the parser reads as it reads blocks.
func (e *extent) entry(length int) {
	if e.flow == 0 && (len(e.levels) == 0 || e.levels[len(e.levels)-1].column != e.start) {
		e.push(e.start)
	}
	top := &e.levels[len(e.levels)-1]
	if e.flow == 0 {
		top.entries++
	}
	if more := length - top.key; more > 0 {
		top.key += more
		e.path += more
	}
}

// inPath is about what a level adds to a path beside the key: dots, quotes, an
// index.
const inPath = 8

func (e *extent) push(column int) {
	e.levels = append(e.levels, level{column: column})
	e.path += inPath
}

func (e *extent) pop() {
	last := len(e.levels) - 1
	e.path -= e.levels[last].key + inPath
	e.levels = e.levels[:last]
}

// close closes the bracket that was opened last.
func (e *extent) close() {
	if e.flow == 0 {
		return
	}
	e.flow--
	for e.levels[len(e.levels)-1].column != 0 {
		e.pop()
	}
	e.pop()
}
