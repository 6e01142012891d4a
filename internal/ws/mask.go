package ws

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

// blockwise is the length from which blocks of the repeated key pay.
const blockwise = 1 << 10

// Mask writes src, masked with key, to dst, which may be src itself, and returns
// the key for the bytes that follow (RFC 6455 §5.3). dst is at least as long as
// src.
func Mask(dst, src []byte, key uint32) uint32 {
	k := uint64(key)<<32 | uint64(key)
	dst = dst[:len(src)]
	if len(src) >= blockwise {
		// XORBytes uses the widest words that the processor has.
		var keys [blockwise]byte
		for i := 0; i < blockwise; i += 8 {
			binary.LittleEndian.PutUint64(keys[i:], k)
		}
		for len(src) >= 8 {
			n := subtle.XORBytes(dst, src[:len(src)&^7], keys[:])
			dst, src = dst[n:], src[n:]
		}
	}
	for len(src) >= 8 && len(dst) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^k)
		dst, src = dst[8:], src[8:]
	}
	for i, c := range src {
		dst[i] = c ^ byte(key>>(8*(i&3)))
	}
	return bits.RotateLeft32(key, -8*(len(src)&3))
}
