//go:build purgatory

#include "textflag.h"

// One round; W and K are read at R25 and R26.
#define ROUND(i, a, b, c, d, e, f, g1, h) \
	MOVWZ	(4*i)(R25), R22; \
	MOVWZ	(4*i)(R26), R23; \
	ADD	R22, h; \
	ADD	R23, h; \
	ROTLW	$26, e, R22; \
	ROTLW	$21, e, R23; \
	XOR	R23, R22; \
	ROTLW	$7, e, R23; \
	XOR	R23, R22; \
	ADD	R22, h; \
	XOR	f, g1, R22; \
	AND	e, R22; \
	XOR	g1, R22; \
	ADD	R22, h; \
	ADD	h, d; \
	ROTLW	$30, a, R22; \
	ROTLW	$19, a, R23; \
	XOR	R23, R22; \
	ROTLW	$10, a, R23; \
	XOR	R23, R22; \
	ADD	R22, h; \
	OR	a, c, R22; \
	AND	b, R22; \
	AND	a, c, R23; \
	OR	R23, R22; \
	ADD	R22, h

#define ADDHASH(i, r) \
	MOVWZ	(4*i)(R5), R22; \
	ADD	R22, r; \
	MOVW	r, (4*i)(R5)

// sha256(R3 = data, R4 = bytes, a multiple of 64, not 0, R5 = hash, R6 = constants), FIPS 180-4 section 6.2.2. R0 is 0. a
// to h: R7 to R12, R14, R15; what is above their 32 bits has no meaning. The message schedule is on the stack. Clobbers R3, R4,
// R7 to R12, R14 to R16, R22 to R26 and R29.
TEXT ·sha256(SB), NOSPLIT|NOFRAME, $0
	ADD	$-256, R1
	ADD	R3, R4
block:
	MOVD	R1, R25
	ADD	$64, R1, R29
load:
	MOVWBR	(R3)(R0), R22
	MOVW	R22, (R25)
	ADD	$4, R3
	ADD	$4, R25
	CMP	R25, R29
	BNE	load

	ADD	$256, R1, R29
schedule:
	MOVWZ	-60(R25), R22
	ROTLW	$25, R22, R23
	ROTLW	$14, R22, R24
	XOR	R24, R23
	SRW	$3, R22
	XOR	R22, R23
	MOVWZ	-8(R25), R22
	ROTLW	$15, R22, R24
	ROTLW	$13, R22, R16
	XOR	R16, R24
	SRW	$10, R22
	XOR	R22, R24
	ADD	R24, R23
	MOVWZ	-64(R25), R22
	ADD	R22, R23
	MOVWZ	-28(R25), R22
	ADD	R22, R23
	MOVW	R23, (R25)
	ADD	$4, R25
	CMP	R25, R29
	BNE	schedule

	MOVWZ	0(R5), R7
	MOVWZ	4(R5), R8
	MOVWZ	8(R5), R9
	MOVWZ	12(R5), R10
	MOVWZ	16(R5), R11
	MOVWZ	20(R5), R12
	MOVWZ	24(R5), R14
	MOVWZ	28(R5), R15
	MOVD	R6, R26
	MOVD	R1, R25
rounds:
	ROUND(0, R7, R8, R9, R10, R11, R12, R14, R15)
	ROUND(1, R15, R7, R8, R9, R10, R11, R12, R14)
	ROUND(2, R14, R15, R7, R8, R9, R10, R11, R12)
	ROUND(3, R12, R14, R15, R7, R8, R9, R10, R11)
	ROUND(4, R11, R12, R14, R15, R7, R8, R9, R10)
	ROUND(5, R10, R11, R12, R14, R15, R7, R8, R9)
	ROUND(6, R9, R10, R11, R12, R14, R15, R7, R8)
	ROUND(7, R8, R9, R10, R11, R12, R14, R15, R7)
	ADD	$32, R26
	ADD	$32, R25
	CMP	R25, R29
	BNE	rounds
	ADDHASH(0, R7)
	ADDHASH(1, R8)
	ADDHASH(2, R9)
	ADDHASH(3, R10)
	ADDHASH(4, R11)
	ADDHASH(5, R12)
	ADDHASH(6, R14)
	ADDHASH(7, R15)
	CMP	R3, R4
	BNE	block
	ADD	$256, R1
	RET
