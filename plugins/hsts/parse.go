package hsts

import (
	"strconv"
	"strings"
	"time"

	"github.com/godwit-go/godwit/header"
)

// longest is how long a host is remembered at most.
const longest = 100 * 365 * 24 * time.Hour

// parse reads a Strict-Transport-Security field (RFC 6797 §6.1): directives in
// any order, each at most once, unknown ones ignored; max-age must be there.
func parse(value string) (maxAge time.Duration, includeSubDomains, ok bool) {
	seen := make(map[string]bool)
	for one := range splitUnquoted(value) {
		name, argument, hasArgument := strings.Cut(one, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "" && !hasArgument {
			continue
		}
		argument, valid := unquote(strings.Trim(argument, " \t"))
		if !header.IsToken(name) || hasArgument && !valid || seen[name] {
			return 0, false, false
		}
		seen[name] = true
		switch name {
		case "max-age":
			if maxAge, valid = seconds(argument); !valid {
				return 0, false, false
			}
		case "includesubdomains":
			if hasArgument {
				return 0, false, false
			}
			includeSubDomains = true
		}
	}
	return maxAge, includeSubDomains, seen["max-age"]
}

// splitUnquoted yields what semicolons outside of quotes separate.
func splitUnquoted(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '"':
				quoted = !quoted
			case s[i] == '\\' && quoted:
				i++
			case s[i] == ';' && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// unquote returns the text of a token or a quoted-string.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return s, header.IsToken(s)
	}
	inner, ok := strings.CutSuffix(s[1:], `"`)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return "", false
		case '\\':
			if i++; i == len(inner) {
				return "", false
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), true
}

func seconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > int64(longest/time.Second) {
		return longest, true
	}
	return time.Duration(n) * time.Second, true
}
