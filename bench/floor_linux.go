package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// makeFloor is no client: it writes bytes that are ready and counts those that
// come. No client on net.Conn can be cheaper.
func makeFloor(e *env) (func() task, error) {
	var config *tls.Config
	if e.TLS {
		config = e.tlsConfig()
		config.ServerName = "127.0.0.1"
	}
	if e.Kind == kindIdle || e.Kind == kindJSON {
		return nil, nil
	}
	return func() task {
		f := &floor{e: e, config: config, buf: make([]byte, 64<<10), request: floorRequest(e)}
		if e.Kind == kindCopy || e.Kind == kindSave || e.Kind == kindUpload {
			f.buf = make([]byte, 256<<10)
		}
		return f.do
	}, nil
}

type floor struct {
	e       *env
	config  *tls.Config
	conn    net.Conn
	request []byte
	buf     []byte
	sink    *os.File
}

func floorRequest(e *env) []byte {
	_, path, _ := strings.Cut(e.url(), e.Addr)
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", e.method(), path, e.Addr)
	switch e.Kind {
	case kindUploadFile:
		b = fmt.Appendf(b, "Content-Length: %d\r\n", e.Size)
	case kindUpload:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...)
}

func (f *floor) do(context.Context) error {
	if f.conn == nil || f.e.fresh() {
		if err := f.dial(); err != nil {
			return err
		}
		if f.e.fresh() {
			defer f.conn.Close()
		}
	}
	if _, err := f.conn.Write(f.request); err != nil {
		return err
	}
	if err := f.upload(); err != nil {
		return err
	}
	head, n, err := f.head()
	if err != nil {
		return err
	}
	if f.e.Kind == kindUploadFile || f.e.Kind == kindUpload {
		if got := string(f.buf[head:n]); got != fmt.Sprint(f.e.Size) {
			return fmt.Errorf("the server got %q bytes", got)
		}
		return nil
	}
	want := int64(smallSize)
	if f.e.Kind.bulk() {
		want = f.e.Size
	}
	return f.body(f.buf[head:n], want)
}

func (f *floor) dial() (err error) {
	if f.config != nil {
		f.conn, err = tls.Dial("tcp", f.e.Addr, f.config)
		return err
	}
	f.conn, err = net.Dial("tcp", f.e.Addr)
	return err
}

func (f *floor) upload() error {
	switch f.e.Kind {
	case kindUploadFile:
		file, err := os.Open(f.e.File)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(f.conn, file)
		return err
	case kindUpload:
		const room = 16
		for left := f.e.Size; left > 0; {
			n := int(min(left, int64(len(f.buf)-room)))
			left -= int64(n)
			line := fmt.Sprintf("%x\r\n", n)
			piece := f.buf[:len(line)+n]
			copy(piece, line)
			piece = append(piece, "\r\n"...)
			if left == 0 {
				piece = append(piece, "0\r\n\r\n"...)
			}
			if _, err := f.conn.Write(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// head reads up to the end of the head; what came behind it is in the buffer too.
func (f *floor) head() (end, n int, err error) {
	for {
		m, err := f.conn.Read(f.buf[n:])
		if n += m; err != nil {
			return 0, 0, err
		}
		if i := bytes.Index(f.buf[:n], headEnd); i >= 0 {
			if !bytes.HasPrefix(f.buf, []byte("HTTP/1.1 200 ")) {
				return 0, 0, errors.New("status is not 200")
			}
			return i + len(headEnd), n, nil
		}
	}
}

func (f *floor) body(early []byte, want int64) (err error) {
	if f.e.Kind == kindSave && f.sink == nil {
		if f.sink, err = os.OpenFile(f.e.Sink, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return err
		}
	}
	if f.sink != nil {
		if _, err := f.sink.WriteAt(early, 0); err != nil {
			return err
		}
	}
	total := int64(len(early))
	for total < want {
		n, err := f.conn.Read(f.buf)
		if err != nil {
			return err
		}
		if f.sink != nil {
			if _, err := f.sink.WriteAt(f.buf[:n], total); err != nil {
				return err
			}
		}
		total += int64(n)
	}
	return checkLength(total, want)
}
