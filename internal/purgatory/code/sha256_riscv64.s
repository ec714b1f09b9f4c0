//go:build purgatory

#include "textflag.h"

// d = s rotated right by n, 32 bits; t is lost. Base RV64 has no rotation, and
// S-mode can't ask for Zbb.
#define ROR(n, s, d, t) \
	SRLIW	$n, s, d; \
	SLLIW	$(32-n), s, t; \
	OR	t, d

// One round; W and K are read at X17 and X16.
#define ROUND(i, a, b, c, d, e, f, g1, h) \
	MOVW	(4*i)(X17), X18; \
	MOVW	(4*i)(X16), X19; \
	ADD	X18, h; \
	ADD	X19, h; \
	ROR(6, e, X18, X20); \
	ROR(11, e, X19, X20); \
	XOR	X19, X18; \
	ROR(25, e, X19, X20); \
	XOR	X19, X18; \
	ADD	X18, h; \
	XOR	f, g1, X18; \
	AND	e, X18; \
	XOR	g1, X18; \
	ADDW	X18, h, h; \
	ADDW	h, d, d; \
	ROR(2, a, X18, X20); \
	ROR(13, a, X19, X20); \
	XOR	X19, X18; \
	ROR(22, a, X19, X20); \
	XOR	X19, X18; \
	ADD	X18, h; \
	OR	a, c, X18; \
	AND	a, c, X19; \
	AND	b, X18; \
	OR	X19, X18; \
	ADDW	X18, h, h

#define ADDHASH(i, r) \
	MOVW	(4*i)(X10), X18; \
	ADDW	X18, r, r; \
	MOVW	r, (4*i)(X10)

// sha256(X10 = hash, X11 = data, 4-byte aligned, X12 = bytes, a multiple of 64, not
// 0), FIPS 180-4 section 6.2.2. a to h: X5 to X9, X13 to X15. The message schedule
// is on the stack. Clobbers X5 to X9 and X11 to X24.
TEXT ·sha256(SB), NOSPLIT|NOFRAME, $0
	SUB	$256, X2
	ADD	X11, X12
block:
	MOV	X2, X17
	ADD	$64, X2, X22
	MOV	$0x00ff00ff, X23
load:
	MOVWU	(X11), X18
	SRL	$8, X18, X19
	AND	X23, X19
	AND	X23, X18
	SLL	$8, X18
	OR	X19, X18
	SRLIW	$16, X18, X19
	SLLIW	$16, X18, X18
	OR	X19, X18
	MOVW	X18, (X17)
	ADD	$4, X11
	ADD	$4, X17
	BNE	X17, X22, load

	ADD	$256, X2, X22
schedule:
	MOVW	-60(X17), X18
	MOVW	-8(X17), X19
	ROR(7, X18, X20, X24)
	ROR(18, X18, X21, X24)
	XOR	X21, X20
	SRLIW	$3, X18, X21
	XOR	X21, X20
	ROR(17, X19, X21, X24)
	ROR(19, X19, X18, X24)
	XOR	X18, X21
	SRLIW	$10, X19, X18
	XOR	X18, X21
	ADD	X21, X20
	MOVW	-64(X17), X18
	MOVW	-28(X17), X19
	ADD	X18, X20
	ADD	X19, X20
	MOVW	X20, (X17)
	ADD	$4, X17
	BNE	X17, X22, schedule

	MOVW	0(X10), X5
	MOVW	4(X10), X6
	MOVW	8(X10), X7
	MOVW	12(X10), X8
	MOVW	16(X10), X9
	MOVW	20(X10), X13
	MOVW	24(X10), X14
	MOVW	28(X10), X15
	MOV	$·constants(SB), X16
	MOV	X2, X17
rounds:
	ROUND(0, X5, X6, X7, X8, X9, X13, X14, X15)
	ROUND(1, X15, X5, X6, X7, X8, X9, X13, X14)
	ROUND(2, X14, X15, X5, X6, X7, X8, X9, X13)
	ROUND(3, X13, X14, X15, X5, X6, X7, X8, X9)
	ROUND(4, X9, X13, X14, X15, X5, X6, X7, X8)
	ROUND(5, X8, X9, X13, X14, X15, X5, X6, X7)
	ROUND(6, X7, X8, X9, X13, X14, X15, X5, X6)
	ROUND(7, X6, X7, X8, X9, X13, X14, X15, X5)
	ADD	$32, X16
	ADD	$32, X17
	BNE	X17, X22, rounds
	ADDHASH(0, X5)
	ADDHASH(1, X6)
	ADDHASH(2, X7)
	ADDHASH(3, X8)
	ADDHASH(4, X9)
	ADDHASH(5, X13)
	ADDHASH(6, X14)
	ADDHASH(7, X15)
	BNE	X11, X12, block
	ADD	$256, X2
	RET
