package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// File returns the file at path as a body, with the Content-Type of its
// extension ([TypeByExtension]) or else application/octet-stream. It is opened
// for each attempt and its size taken then: Open returns an *os.File, which an
// engine sends without copying. Replayable. What is missing, or no regular file,
// fails before anything is sent; open a pipe or a device yourself, for [OSFile].
func File(path string) Content {
	return file{
		name: path,
		open: func() (fs.File, error) { return asFile(os.Open(path)) },
		stat: func() (fs.FileInfo, error) { return os.Stat(path) },
	}
}

// FileIn returns the file rel below the directory dir, as [File] does. rel may
// come from outside: a path that leads out of dir, by ".." or by symbolic links,
// is an error of Open.
func FileIn(dir, rel string) Content {
	return file{
		name: rel,
		open: func() (fs.File, error) { return asFile(os.OpenInRoot(dir, rel)) },
		stat: func() (fs.FileInfo, error) {
			root, err := os.OpenRoot(dir)
			if err != nil {
				return nil, err
			}
			defer root.Close()
			return root.Stat(rel)
		},
	}
}

// FS returns the file name of a file system, an embed.FS for example, as [File]
// does.
func FS(fsys fs.FS, name string) Content {
	return file{
		name: name,
		open: func() (fs.File, error) { return fsys.Open(name) },
		stat: func() (fs.FileInfo, error) { return fs.Stat(fsys, name) },
	}
}

// asFile keeps a nil *os.File from becoming an fs.File that is not nil.
func asFile(f *os.File, err error) (fs.File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

type file struct {
	name string
	open func() (fs.File, error)
	stat func() (fs.FileInfo, error)
}

func (c file) ContentType() string { return typeOfFile(c.name) }
func (c file) Replayable() bool    { return true }

// ContentLength returns the size of the file as it is now, -1 if it is not
// there or no regular file.
func (c file) ContentLength() int64 {
	if info, err := c.stat(); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return -1
}

func (c file) Open(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil { // first: to open a named pipe may block
		return nil, err
	}
	f, err := c.open()
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	return f, nil
}

func (c file) Prepare(func(Content) (Content, error)) (Content, error) { return c, c.check() }

func (c file) check() error {
	info, err := c.stat()
	switch {
	case err != nil:
		return fmt.Errorf("content: %w", err)
	case info.IsDir():
		return fmt.Errorf("content: %q is a directory, not a file", c.name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("content: %q is no regular file (%s); open it and send the *os.File, or a reader", c.name, info.Mode())
	}
	return nil
}

// OSFile returns what follows the current offset of an open file as a body, as
// long as it is now. The caller keeps f, closes it after the last request with
// it, and must not write to it before. The offset of f does not move: a regular
// file is Replayable and can be sent several times at once. What is no regular
// file, a pipe for example, is read directly, once, with unknown length.
//
// [File] is faster: its body goes out by sendfile.
func OSFile(f *os.File) Content {
	if f == nil {
		return unsendable{errors.New("content: OSFile was given no file")}
	}
	contentType := typeOfFile(f.Name())
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return Reader(struct{ io.Reader }{f}, contentType, -1)
	}
	offset, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return Reader(struct{ io.Reader }{f}, contentType, -1)
	}
	size := max(info.Size()-offset, 0)
	return Opener(func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, offset, size)), nil
	}, contentType, size)
}

func typeOfFile(name string) string {
	if t := TypeByExtension(path.Ext(filepath.ToSlash(name))); t != "" {
		return t
	}
	return "application/octet-stream"
}
