// Package sharedfile keeps a small file that several processes read and replace.
//
// The file is replaced whole, by renaming, so that a reader never sees half of
// it. Who changes it holds the lock from reading to replacing; the lock is one
// of the operating system on a second file, path.lock, which stays and is empty.
// A process that dies loses its lock with it. On systems without such locks
// (js/wasm) nothing is locked.
package sharedfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// File is one process's view of the file. It is not safe for concurrent use.
type File struct {
	path string
	info fs.FileInfo // of what was read last; nil = nothing, or there was no file
	read bool
	sure bool // a change since would show in info
}

// New returns a view of the file at path, which need not exist. A symbolic link
// is followed now.
func New(path string) *File { return &File{path: target(path)} }

// target returns the path of what a symbolic link at path leads to, so that it
// stays a link: what is renamed onto it would take its place. Processes that come
// by different links share the lock, too.
func target(path string) string {
	for range 40 { // as many as Linux follows
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Dir(path) + string(filepath.Separator) + to // uncleaned: ".." is the system's to follow
		}
		path = to
	}
	return path
}

// blur is how long two changes may bear the same time of modification.
const blur = 100 * time.Millisecond

// Load calls take with the file's bytes, nil if there is no file, unless the
// file is as it was at the last Load or Replace. An error of take is returned,
// and the file counts as not read.
func (f *File) Load(take func(data []byte) error) error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info = nil
	case err != nil:
		return err
	}
	if f.read && same(f.info, info) && (f.sure || info == nil) {
		return nil
	}
	var data []byte
	if info != nil {
		if data, err = os.ReadFile(f.path); err != nil {
			return err
		}
	}
	if err := take(data); err != nil {
		f.read = false
		return fmt.Errorf("file %s: %w", f.path, err)
	}
	f.note(info)
	return nil
}

func (f *File) note(info fs.FileInfo) {
	f.read, f.info = true, info
	f.sure = info != nil && time.Since(info.ModTime()) > blur
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Replace puts data in the place of the file. Only its owner can read it. The
// folder is made if there is none.
func (f *File) Replace(data []byte) (err error) {
	dir, name := filepath.Split(f.path)
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, name+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return err
	}
	info, statErr := os.Stat(f.path)
	if statErr != nil {
		f.read = false
		return nil
	}
	f.note(info)
	return nil
}

// Lock waits until this process, and this File in it, may change the file, at
// most until ctx ends. unlock is called once.
func (f *File) Lock(ctx context.Context) (unlock func(), err error) {
	path := f.path + ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ok, err := tryLock(file)
		if ok {
			return func() { file.Close() }, nil // closing gives the lock back
		}
		if err == nil {
			err = wait(ctx, pause)
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
