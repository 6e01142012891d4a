package h1

import (
	"strconv"

	"github.com/godwit-go/godwit/header"
)

// ChunkHeadSize is the room that [PutChunkHead] needs before a chunk's data:
// the digits of a 63-bit size and CRLF.
const ChunkHeadSize = 16 + 2

// PutChunkHead writes the size line of a chunk of n bytes to the end of
// b[:ChunkHeadSize], so that data which begin at b[ChunkHeadSize] follow on it,
// and returns where the line starts. n must be above 0: an empty chunk would end
// the body.
func PutChunkHead(b []byte, n int) (start int) {
	i := ChunkHeadSize - 2
	b[i], b[i+1] = '\r', '\n'
	for v := uint64(n); v > 0; v >>= 4 {
		i--
		b[i] = "0123456789abcdef"[v&15]
	}
	return i
}

// AppendChunk appends data as one chunk; nothing if it is empty.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = strconv.AppendInt(dst, int64(len(data)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of a chunked body: the last chunk, the trailer
// fields and the blank line (RFC 9112 §7.1.2). An error means that a field
// cannot be sent; dst comes back as it was.
func AppendLastChunk(dst []byte, trailer header.Header) ([]byte, error) {
	b := append(dst, "0\r\n"...)
	for name, value := range trailer.All() {
		if !header.ValidName(name) || ForbiddenTrailer(name) {
			return dst, badInput("trailer field", name)
		}
		if !header.ValidValue(value) {
			return dst, badInput("value of trailer field", name)
		}
		b = appendField(b, name, value)
	}
	return append(b, "\r\n"...), nil
}
