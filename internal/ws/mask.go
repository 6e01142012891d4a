package ws

import (
	"encoding/binary"
	"math/bits"
)

// Mask writes src, masked with key, to dst, which may be src itself, and returns
// the key for the bytes that follow (RFC 6455 §5.3). dst is at least as long as
// src.
func Mask(dst, src []byte, key uint32) uint32 {
	k := uint64(key)<<32 | uint64(key)
	dst = dst[:len(src)]
	n := maskBulk(dst, src, k)
	dst, src = dst[n:], src[n:]
	for len(src) >= 8 && len(dst) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^k)
		dst, src = dst[8:], src[8:]
	}
	for i, c := range src {
		dst[i] = c ^ byte(key>>(8*(i&3)))
	}
	return bits.RotateLeft32(key, -8*(len(src)&3))
}
