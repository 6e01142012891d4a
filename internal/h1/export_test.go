package h1

// BadValueByte is what the parser checks values by.
func BadValueByte(s string) int { return badValueByte(s) }
