//go:build gc && !purego && !race && !msan && !asan

package ws

// block is how many bytes maskBlocks masks at a time.
const block = 64

// maskBulk masks the blocks of src and returns how many bytes these are.
func maskBulk(dst, src []byte, key uint64) int {
	n := len(src) &^ (block - 1)
	if n > 0 {
		maskBlocks(&dst[0], &src[0], n, key)
	}
	return n
}

// maskBlocks masks n bytes, a multiple of block and not 0. It is SSE2, which every
// amd64 has, and takes half the time of crypto/subtle's XORBytes, for which the key would
// come from memory like the text.
//
//go:noescape
func maskBlocks(dst, src *byte, n int, key uint64)
