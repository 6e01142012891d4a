package ws

import (
	"encoding/binary"
	"fmt"
)

// Header is the head of a frame (RFC 6455 §5.2).
type Header struct {
	Final bool
	// Compressed is RSV1 of the first frame of a message (RFC 7692 §6).
	Compressed bool
	Opcode     Opcode
	Masked     bool
	// Key is the mask; its first byte on the wire is the lowest.
	Key uint32
	// Length is that of the payload.
	Length int64
}

const (
	bitFinal = 0x80
	bitRSV1  = 0x40
	bitRSV2  = 0x20
	bitRSV3  = 0x10
	bitMask  = 0x80
)

// Append appends the header's bytes to dst.
func (h Header) Append(dst []byte) []byte {
	first, mask := byte(h.Opcode), byte(0)
	if h.Final {
		first |= bitFinal
	}
	if h.Compressed {
		first |= bitRSV1
	}
	if h.Masked {
		mask = bitMask
	}
	switch n := h.Length; {
	case n <= MaxControl:
		dst = append(dst, first, mask|byte(n))
	case n <= 0xffff:
		dst = append(dst, first, mask|126, byte(n>>8), byte(n))
	default:
		dst = append(dst, first, mask|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if h.Masked {
		dst = binary.LittleEndian.AppendUint32(dst, h.Key)
	}
	return dst
}

// Parse reads a header from the start of b and returns how many bytes it has; 0
// means that b is too short. What is wrong by itself is an [*Error], as early as
// it can be seen.
func Parse(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Final, h.Compressed, h.Opcode = b[0]&bitFinal != 0, b[0]&bitRSV1 != 0, Opcode(b[0]&0xf)
	switch {
	case b[0]&(bitRSV2|bitRSV3) != 0:
		return h, 0, broken("5.2", "a reserved bit is set that no extension uses")
	case !h.Opcode.known():
		return h, 0, broken("5.2", fmt.Sprintf("reserved opcode %#x", byte(h.Opcode)))
	case h.Opcode.IsControl() && !h.Final:
		return h, 0, broken("5.5", "a control frame is fragmented")
	case h.Opcode.IsControl() && h.Compressed:
		return h, 0, broken("5.2", "reserved bit 1 is set on a control frame")
	}
	if len(b) < 2 {
		return h, 0, nil
	}
	h.Masked = b[1]&bitMask != 0
	if h.Opcode.IsControl() && b[1]&^bitMask > MaxControl {
		return h, 0, broken("5.5", "a control frame is longer than 125 bytes")
	}
	n, err = h.parseLength(b)
	if n == 0 || err != nil {
		return h, 0, err
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, nil
		}
		h.Key = binary.LittleEndian.Uint32(b[n:])
		n += 4
	}
	return h, n, nil
}

// parseLength sets the length and returns where it ends; 0 = more is needed.
func (h *Header) parseLength(b []byte) (int, error) {
	switch n := b[1] &^ bitMask; n {
	default:
		h.Length = int64(n)
		return 2, nil
	case 126:
		if len(b) < 4 {
			return 0, nil
		}
		if h.Length = int64(binary.BigEndian.Uint16(b[2:])); h.Length < 126 {
			return 0, broken("5.2", fmt.Sprintf("length %d is not written in its shortest form", h.Length))
		}
		return 4, nil
	case 127:
		if len(b) < 10 {
			return 0, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		switch {
		case length>>63 != 0:
			return 0, broken("5.2", "the highest bit of a length is set")
		case length <= 0xffff:
			return 0, broken("5.2", fmt.Sprintf("length %d is not written in its shortest form", length))
		}
		h.Length = int64(length)
		return 10, nil
	}
}

// Receiver knows the order of frames. Its zero value is a client's without
// extensions.
type Receiver struct {
	// Server expects masked frames, as a server does; a client refuses them.
	Server bool
	// Deflate allows RSV1 on the first frame of a message.
	Deflate bool

	inMessage bool
}

// Next reads the header of the next frame from the start of b, as [Parse] does,
// and checks that the frame may come now. It must be called once for each frame;
// calls that return n = 0 without an error don't count.
func (r *Receiver) Next(b []byte) (h Header, n int, err error) {
	h, n, err = Parse(b)
	if err != nil || len(b) == 0 {
		return h, n, err
	}
	switch {
	case h.Compressed && !r.Deflate:
		return h, 0, broken("5.2", "reserved bit 1 is set and no extension uses it")
	case h.Compressed && h.Opcode == Continuation:
		return h, 0, &Error{CodeProtocolError, "reserved bit 1 is set on a continuation frame", "RFC 7692 §6.1"}
	case h.Opcode == Continuation && !r.inMessage:
		return h, 0, broken("5.4", "a continuation frame without a message to continue")
	case (h.Opcode == Text || h.Opcode == Binary) && r.inMessage:
		return h, 0, broken("5.4", "a new message begins inside another one")
	case len(b) > 1 && (b[1]&bitMask != 0) != r.Server:
		if r.Server {
			return h, 0, broken("5.1", "a frame of the client is not masked")
		}
		return h, 0, broken("5.1", "a frame of the server is masked")
	}
	if n > 0 && !h.Opcode.IsControl() {
		r.inMessage = !h.Final
	}
	return h, n, nil
}

// InMessage reports whether the last data frame was not the last of its message.
func (r *Receiver) InMessage() bool { return r.inMessage }
