package yaml

import "fmt"

// The lexer, too, has places that take time by the square: it takes the line ends
// after the text of "|" and ">" away one by one, copying the text each time; for
// each tab in double quotes it looks to the end of the line, and for each "<" to
// the last of them. So these are counted before it sees the text.
const (
	maxEmptyLines = 50
	maxAngles     = 1000
	maxTabWork    = 100 << 20 // tabs of a line by its bytes
)

func checkText(data []byte) error {
	line, next, empty, blank, angles := 1, 1, 0, true, 0
	tabs, length, work := 0, 0, 0
	for i, c := range data {
		length++
		line = next
		if c == '<' {
			angles++
		} else {
			angles = 0
		}
		switch c {
		case ' ':
		case '\t':
			tabs++
		case '\r', '\n':
			if c == '\n' && i > 0 && data[i-1] == '\r' {
				continue // the other half of a line end
			}
			if empty++; !blank {
				empty = 0
			}
			work += tabs * length
			next, blank, tabs, length = line+1, true, 0, 0
		default:
			blank = false
		}
		switch {
		case empty > maxEmptyLines:
			return fmt.Errorf("line %d: more than %d empty lines in a row", line, maxEmptyLines)
		case angles > maxAngles:
			return fmt.Errorf("line %d: more than %d times < in a row", line, maxAngles)
		case work > maxTabWork || tabs*length > maxTabWork:
			return fmt.Errorf("line %d: long lines with many tabs", line)
		}
	}
	return nil
}
