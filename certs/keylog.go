package certs

import (
	"fmt"
	"io"
	"os"
)

// KeyLog writes the secrets of each connection to w in the NSS key log format,
// which lets Wireshark read what was sent. It undoes all security of TLS: it is
// for debugging only. w must be safe for concurrent use.
func KeyLog(w io.Writer) Option {
	return func(b *builder) error {
		b.config.KeyLogWriter = w
		return nil
	}
}

// KeyLogFile is [KeyLog] to a file, which is appended to; a new one can be read
// by its owner only. The file is opened for each line: nothing stays open.
func KeyLogFile(name string) Option {
	return func(b *builder) error {
		w := keyLogFile(name)
		if _, err := w.Write(nil); err != nil {
			return fmt.Errorf("key log: %w", err)
		}
		return KeyLog(w)(b)
	}
}

// KeyLogEnvironment is [KeyLogFile] to the file that the environment variable
// SSLKEYLOGFILE names, as browsers and curl do it; if it is unset there is no
// key log.
func KeyLogEnvironment() Option {
	return func(b *builder) error {
		name := os.Getenv("SSLKEYLOGFILE")
		if name == "" {
			return nil
		}
		return KeyLogFile(name)(b)
	}
}

// keyLogFile is the name of a file that is appended to. A line is one write, and
// so is not mixed up with another's.
type keyLogFile string

func (name keyLogFile) Write(line []byte) (int, error) {
	f, err := os.OpenFile(string(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(line)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return n, err
}
