//go:build gc && !purego && !race && !msan && !asan

#include "textflag.h"

// func maskBlocks(dst, src *byte, n int, key uint64)
TEXT ·maskBlocks(SB), NOSPLIT, $0-32
	MOVQ       dst+0(FP), DI
	MOVQ       src+8(FP), SI
	MOVQ       n+16(FP), CX
	MOVQ       key+24(FP), X0
	PUNPCKLQDQ X0, X0
	XORQ       AX, AX
	PCALIGN    $16

loop:
	MOVOU (SI)(AX*1), X1
	MOVOU 16(SI)(AX*1), X2
	MOVOU 32(SI)(AX*1), X3
	MOVOU 48(SI)(AX*1), X4
	PXOR  X0, X1
	PXOR  X0, X2
	PXOR  X0, X3
	PXOR  X0, X4
	MOVOU X1, (DI)(AX*1)
	MOVOU X2, 16(DI)(AX*1)
	MOVOU X3, 32(DI)(AX*1)
	MOVOU X4, 48(DI)(AX*1)
	ADDQ  $64, AX
	CMPQ  AX, CX
	JB    loop
	RET
