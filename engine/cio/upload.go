package cio

import (
	"io"
	"os"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/socket"
	"github.com/godwit-go/godwit/internal/transfer"
)

// upload writes a request's body in a goroutine of its own. When the exchange ends
// early the owner closes the connection, which ends a write.
type upload struct {
	transfer.Upload // Length may be h1.Chunked
	x               *exchange
	bulk            *[bulkSize]byte // to be given back at the end
}

func (x *exchange) startUpload(s *transfer.Source, length int64) {
	u := &upload{x: x}
	u.Init(s, length)
	x.upload, x.lent = u, true
	x.engine.start(u.run)
}

// startRest writes what is left of a request in memory. It takes a copy: the answer is
// read to where that is.
func (x *exchange) startRest(rest []byte) {
	if t := x.req.Trace; t != nil && t.WroteHeader != nil {
		t.WroteHeader()
	}
	u := &upload{x: x, bulk: getBulk()}
	u.Init(&transfer.Source{Data: append(u.bulk[:0], rest...), InMemory: true}, int64(len(rest)))
	x.upload, x.lent = u, true
	x.engine.start(u.run)
}

func (u *upload) run() {
	u.Run(u.send, u.end)
	if u.bulk != nil {
		putBulk(u.bulk)
	}
}

func (u *upload) send() error {
	if u.Length == h1.Chunked {
		return u.chunks()
	}
	return u.exactly()
}

// end reports how the sending ended.
func (u *upload) end(err error) {
	err = u.Report(u.x.req.Trace, &u.x.traceMu, err)
	if cause, ok := transfer.Fault(err); ok {
		u.Fail(wrap(engine.OpSend, cause), u.shut)
	}
	// A failed write is not the end: the server may have answered before it
	// closed its side, and the owner reads that.
}

// complete tells that the last byte was written: the clock first, because who is told
// that all was sent may hand the connection on.
func (u *upload) complete() {
	u.x.clock.requestSent(u.x.conn)
	u.Complete()
}

// finish ends the upload and reports whether all was sent; see
// transfer.Upload.Finish. One that is not complete loses its connection.
func (u *upload) finish(wait bool) bool { return u.Finish(wait, u.shut) }

// shut closes the connection; when the exchange is over that is not u's any more.
func (u *upload) shut() { u.x.conn.shut() }

// chunks sends the body in chunks: each Read of the source is one, framed where
// it stands and written at once.
func (u *upload) chunks() error {
	const tail = 2
	bulk := getBulk()
	defer putBulk(bulk)
	for {
		n, err := u.Source.Read(bulk[h1.ChunkHeadSize : len(bulk)-tail-lastChunkRoom])
		if u.Over() {
			return transfer.ErrClosed
		}
		piece := bulk[h1.ChunkHeadSize:h1.ChunkHeadSize]
		if n > 0 {
			start := h1.PutChunkHead(bulk[:], n)
			piece = append(bulk[start:h1.ChunkHeadSize+n], "\r\n"...)
		}
		if err != nil && err != io.EOF {
			return transfer.Blame(err)
		}
		if err == io.EOF {
			if piece, err = h1.AppendLastChunk(piece, u.x.trailers()); err != nil {
				return transfer.Blame(err)
			}
			u.Last(true)
			if err := u.x.write(piece); err != nil {
				return err
			}
			u.complete()
			return nil
		}
		if len(piece) > 0 {
			if err := u.x.write(piece); err != nil {
				return err
			}
		}
	}
}

// lastChunkRoom leaves room for the last chunk without trailers.
const lastChunkRoom = len("0\r\n\r\n")

// exactly sends a body of known length.
func (u *upload) exactly() error {
	switch {
	case u.Source.InMemory:
		if n := int64(len(u.Source.Data)); n != u.Length {
			return transfer.Blame(transfer.Wrong(n > u.Length))
		}
		for data := u.Source.Data; len(data) > 0; {
			piece := data[:min(len(data), maxPiece)]
			data = data[len(piece):]
			u.Last(len(data) == 0)
			if err := u.x.write(piece); err != nil {
				return err
			}
		}
		u.complete()
		return nil
	case u.canSendfile():
		if err := u.sendfile(); err != nil {
			return err
		}
	default:
		if err := u.copy(); err != nil {
			return err
		}
	}
	u.complete()
	return u.NoMore()
}

// maxPiece bounds one write of a large body.
const maxPiece = 1 << 20

// copy sends the body through a buffer.
func (u *upload) copy() error {
	bulk := getBulk()
	defer putBulk(bulk)
	for left := u.Length; left > 0; {
		n, err := u.Next(bulk[:], left)
		if err != nil {
			return err
		}
		left -= int64(n)
		if err := u.x.write(bulk[:n]); err != nil {
			return err
		}
	}
	return nil
}

// canSendfile reports whether the kernel can move the body from a file to the
// connection.
func (u *upload) canSendfile() bool {
	_, file := u.Source.Reader.(*os.File)
	return file && u.Length > 0 && socket.TCP(u.x.conn.Conn.Conn) != nil
}

// sendfile sends the body from a file by the kernel, a piece at a time.
func (u *upload) sendfile() error {
	file := u.Source.Reader.(*os.File)
	for left := u.Length; left > 0; {
		u.Last(left <= filePiece)
		n, err := u.x.readFrom(io.LimitedReader{R: file, N: min(left, filePiece)})
		left -= n
		if err != nil {
			return err
		}
		if n == 0 {
			return transfer.Blame(transfer.ErrShort)
		}
		if u.Over() {
			return transfer.ErrClosed
		}
	}
	return nil
}

// filePiece is how much of a file the kernel is asked to send at a time.
const filePiece = 4 << 20
