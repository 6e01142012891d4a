package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
)

// Netrc sends the logins of a netrc file as [Basic] credentials, unasked, as
// curl does. A machine's login goes to that host, whatever the scheme and port,
// and never over http in a call that began with https; the default entry's only
// to the origin of the call's first URL. For a server with Digest use
// [Netrc.Login]:
//
//	auth.Digest{Credentials: auth.Netrc{}.Login(), Hosts: …}
type Netrc struct {
	// Path is the file; "" = what NETRC in the environment says, else .netrc
	// (on Windows _netrc) in the home directory, which need not be there. It is
	// read again when it has changed.
	Path string
}

// NewAuthenticator implements [Provider].
func (n Netrc) NewAuthenticator() (Authenticator, error) {
	f, err := n.file()
	if err != nil {
		return nil, err
	}
	return &netrcAuth{file: f}, nil
}

// Login returns a function for the Credentials of other providers: the login of
// the request's host, or the default entry.
func (n Netrc) Login() CredentialsFunc {
	f, err := n.file()
	return func(_ context.Context, req *godwit.Request) (string, string, error) {
		if err != nil {
			return "", "", err
		}
		e, err := f.find(originOf(req.URL).host, true)
		return e.login, e.password, err
	}
}

func (n Netrc) file() (*netrcFile, error) {
	f := &netrcFile{path: n.Path, required: n.Path != ""}
	if f.path == "" {
		f.path = os.Getenv("NETRC")
	}
	if f.path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("auth: Netrc: %w; name the file by Path", err)
		}
		name := ".netrc"
		if runtime.GOOS == "windows" {
			name = "_netrc"
		}
		f.path = filepath.Join(home, name)
	}
	_, err := f.load()
	return f, err
}

type netrcAuth struct{ file *netrcFile }

func (a *netrcAuth) Scope() Scope { return Scope{Hosts: []string{"*"}} }

func (a *netrcAuth) Authorize(ctx context.Context, x *Exchange) error {
	here := originOf(x.Request.URL)
	e, err := a.file.find(here.host, firstOrigin(ctx, x.Request.URL, here) == here)
	if err != nil || e.login == "" && e.password == "" {
		return err
	}
	credentials, err := basicCredentials(e.login, e.password, false)
	if err != nil {
		return fmt.Errorf("%s, machine %s: %w", a.file.path, here.host, err)
	}
	x.Set(credentials)
	return nil
}

func (a *netrcAuth) Accepts(*Exchange) bool { return false }

func (a *netrcAuth) Answer(context.Context, *Exchange) (bool, error) { return false, nil }

type netrcEntry struct{ machine, login, password string } // machine "" = default, else as of hostName

// netrcFile is a file as last read.
type netrcFile struct {
	path     string
	required bool

	mu      sync.Mutex // guards what follows
	changed time.Time
	size    int64
	entries []netrcEntry
}

func (f *netrcFile) find(host string, orDefault bool) (netrcEntry, error) {
	entries, err := f.load()
	if err != nil {
		return netrcEntry{}, err
	}
	host = undotted(host)
	for _, e := range entries {
		if e.machine == host || e.machine == "" && orDefault {
			return e, nil
		}
	}
	return netrcEntry{}, nil
}

func (f *netrcFile) load() ([]netrcEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) && !f.required {
		f.entries, f.changed = nil, time.Time{}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("auth: Netrc: %w", err)
	}
	if info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return f.entries, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("auth: Netrc: %w", err)
	}
	entries, err := parseNetrc(string(text))
	if err != nil {
		return nil, fmt.Errorf("auth: Netrc %s: %w", f.path, err)
	}
	f.entries, f.changed, f.size = entries, info.ModTime(), info.Size()
	return entries, nil
}

// parseNetrc reads the entries. The default is the last one: what follows it is
// never reached.
func parseNetrc(text string) ([]netrcEntry, error) {
	var entries []netrcEntry
	lex := netrcLexer{rest: text, line: 1}
	for word, ok := lex.next(); ok; word, ok = lex.next() {
		switch word {
		case "machine":
			name, _ := lex.next()
			if name = undotted(strings.Trim(name, "[]")); name == "" {
				return nil, fmt.Errorf("line %d: no name after machine", lex.line)
			}
			machine, err := hostName(name)
			if err != nil {
				machine = name // no host of ours: the file is for other programs, too
			}
			entries = append(entries, netrcEntry{machine: machine})
		case "default":
			entries = append(entries, netrcEntry{})
		case "login", "password", "account":
			value, ok := lex.next()
			if !ok || len(entries) == 0 {
				return nil, fmt.Errorf("line %d: %s without a value or a machine", lex.line, word)
			}
			e := &entries[len(entries)-1]
			switch word {
			case "login":
				e.login = value
			case "password":
				e.password = value
			}
		case "macdef":
			lex.skipMacro()
		default:
			if strings.HasPrefix(word, "#") {
				lex.skipLine()
				continue
			}
			return nil, fmt.Errorf("line %d: a word that is none of machine, default, login, password, account, macdef", lex.line)
		}
	}
	return entries, nil
}

type netrcLexer struct {
	rest string
	line int
}

// next returns the next word: up to white space, or in double quotes with
// backslashes for escapes.
func (l *netrcLexer) next() (string, bool) {
	for l.rest != "" {
		switch c := l.rest[0]; {
		case c == '\n':
			l.line++
			l.rest = l.rest[1:]
		case c == ' ' || c == '\t' || c == '\r':
			l.rest = l.rest[1:]
		case c == '"':
			return l.quoted(), true
		default:
			n := strings.IndexAny(l.rest, " \t\r\n")
			if n < 0 {
				n = len(l.rest)
			}
			word := l.rest[:n]
			l.rest = l.rest[n:]
			return word, true
		}
	}
	return "", false
}

func (l *netrcLexer) quoted() string {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '"':
			l.rest = l.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(l.rest):
			i++
			switch l.rest[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			default:
				b.WriteByte(l.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	l.rest = ""
	return b.String()
}

// skipLine leaves out a comment, which stands where a keyword would.
func (l *netrcLexer) skipLine() {
	if i := strings.IndexByte(l.rest, '\n'); i >= 0 {
		l.rest = l.rest[i:]
	} else {
		l.rest = ""
	}
}

// skipMacro leaves out a macro, which ends with an empty line.
func (l *netrcLexer) skipMacro() {
	for l.rest != "" {
		var line string
		line, l.rest, _ = strings.Cut(l.rest, "\n")
		l.line++
		if strings.TrimRight(line, "\r") == "" {
			return
		}
	}
}
