//go:build !amd64 || !gc || purego || race || msan || asan

package ws

import (
	"crypto/subtle"
	"encoding/binary"
)

// bulk is the length from which blocks of the repeated key pay.
const bulk = 1 << 10

// maskBulk masks a multiple of 8 bytes if src is long, and returns how many these
// are.
func maskBulk(dst, src []byte, key uint64) int {
	all := len(src) &^ 7
	if all < bulk {
		return 0
	}
	var keys [bulk]byte
	for i := 0; i < bulk; i += 8 {
		binary.LittleEndian.PutUint64(keys[i:], key)
	}
	for done := 0; done < all; {
		// XORBytes uses the widest words that the processor has.
		done += subtle.XORBytes(dst[done:], src[done:all], keys[:])
	}
	return all
}
