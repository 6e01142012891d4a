package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The decoder recurses for each level and allocates by announced lengths, so data
// is looked over before: that it is one whole value, that no array or map
// announces more than is there, and how deep it is nested. The walk itself does
// not recurse. The format is that of github.com/msgpack/msgpack/blob/master/spec.md.

// check walks over one value.
func check(data []byte, maxDepth int) error {
	open := []uint64{1} // how many values are missing at each level
	for at := 0; ; {
		for open[len(open)-1] == 0 {
			if open = open[:len(open)-1]; len(open) == 0 {
				if at < len(data) {
					return fmt.Errorf("%d bytes after the MessagePack value", len(data)-at)
				}
				return nil
			}
		}
		open[len(open)-1]--
		size, values, err := next(data[at:])
		if err != nil {
			return err
		}
		at += size
		if values > uint64(len(data)-at) {
			return io.ErrUnexpectedEOF
		}
		if values > 0 {
			if len(open) > maxDepth {
				return fmt.Errorf("nested more than %d deep", maxDepth)
			}
			open = append(open, values)
		}
	}
}

// next returns the bytes of a value's head, text and bytes included, and how many
// values are inside of it.
func next(b []byte) (size int, values uint64, err error) {
	if len(b) == 0 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	need := uint64(1)
	switch c := b[0]; {
	case c <= 0x7f, c >= 0xe0: // integers of one byte
	case c <= 0x8f:
		values = 2 * uint64(c&0x0f)
	case c <= 0x9f:
		values = uint64(c & 0x0f)
	case c <= 0xbf:
		need += uint64(c & 0x1f)
	case c == 0xc1:
		return 0, 0, errors.New("byte 0xc1 is not MessagePack")
	default:
		need, values, err = long(b)
	}
	if err != nil || need > uint64(len(b)) {
		return 0, 0, io.ErrUnexpectedEOF
	}
	return int(need), values, nil
}

// fixed are the sizes of the types from 0xc0 on; those with a length of their own
// have 0.
var fixed = [32]uint64{
	1, 0, 1, 1, // nil, -, false, true
	0, 0, 0, 0, 0, 0, // bin, ext
	5, 9, 2, 3, 5, 9, 2, 3, 5, 9, // float, uint, int
	3, 4, 6, 10, 18, // fixext: type and 1, 2, 4, 8, 16 bytes
	0, 0, 0, 0, 0, 0, 0, // str, array, map
}

// long reads the types from 0xc0 to 0xdf.
func long(b []byte) (need, values uint64, err error) {
	c := b[0]
	if n := fixed[c-0xc0]; n > 0 {
		return n, 0, nil
	}
	width := map[byte]int{
		0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4,
		0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4,
	}[c]
	if len(b) < 1+width {
		return 0, 0, io.ErrUnexpectedEOF
	}
	var wide [8]byte
	copy(wide[8-width:], b[1:1+width])
	n := binary.BigEndian.Uint64(wide[:])
	head := uint64(1 + width)
	switch {
	case c >= 0xde:
		return head, 2 * n, nil
	case c >= 0xdc:
		return head, n, nil
	case c >= 0xc7 && c <= 0xc9:
		return head + 1 + n, 0, nil // an ext's type
	}
	return head + n, 0, nil
}
