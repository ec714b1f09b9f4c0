//go:build purgatory

#include "textflag.h"

// One round; W and K are read at g, which is R13, and R14.
#define ROUND(i, a, b, c, d, e, f, g1, h) \
	MOVWZ	(4*i)(g), R0; \
	MOVWZ	(4*i)(R14), R1; \
	ADDW	R0, h; \
	ADDW	R1, h; \
	RLL	$26, e, R0; \
	RLL	$21, e, R1; \
	XORW	R1, R0; \
	RLL	$7, e, R1; \
	XORW	R1, R0; \
	ADDW	R0, h; \
	MOVD	f, R0; \
	XORW	g1, R0; \
	ANDW	e, R0; \
	XORW	g1, R0; \
	ADDW	R0, h; \
	ADDW	h, d; \
	RLL	$30, a, R0; \
	RLL	$19, a, R1; \
	XORW	R1, R0; \
	RLL	$10, a, R1; \
	XORW	R1, R0; \
	ADDW	R0, h; \
	MOVD	a, R0; \
	ORW	c, R0; \
	ANDW	b, R0; \
	MOVD	a, R1; \
	ANDW	c, R1; \
	ORW	R1, R0; \
	ADDW	R0, h

// The hash is at 256(R15).
#define ADDHASH(i, r) \
	MOVWZ	(256+4*i)(R15), R0; \
	ADDW	R0, r; \
	MOVW	r, (256+4*i)(R15)

// sha256(R2 = data, R3 = bytes, a multiple of 64, not 0), FIPS 180-4 section 6.2.2. Hash and message schedule are in the
// frame of verify. Clobbers all but R15; the way back is at 392(R15).
TEXT ·sha256(SB), NOSPLIT|NOFRAME, $0
	MOVD	R14, 392(R15)
	ADD	R2, R3
	MOVD	R2, R10
	MOVD	R3, R11
block:
	MVC	$64, (R10), (R15)
	ADD	$64, R10
	MOVD	$64(R15), g
	MOVD	$256(R15), R12
schedule:
	MOVWZ	-60(g), R0
	RLL	$25, R0, R1
	RLL	$14, R0, R2
	XORW	R2, R1
	SRW	$3, R0, R0
	XORW	R0, R1
	MOVWZ	-8(g), R0
	RLL	$15, R0, R2
	RLL	$13, R0, R3
	XORW	R3, R2
	SRW	$10, R0, R0
	XORW	R0, R2
	ADDW	R2, R1
	MOVWZ	-64(g), R0
	ADDW	R0, R1
	MOVWZ	-28(g), R0
	ADDW	R0, R1
	MOVW	R1, (g)
	ADD	$4, g
	CMPBNE	g, R12, schedule

	MOVWZ	256(R15), R2
	MOVWZ	260(R15), R3
	MOVWZ	264(R15), R4
	MOVWZ	268(R15), R5
	MOVWZ	272(R15), R6
	MOVWZ	276(R15), R7
	MOVWZ	280(R15), R8
	MOVWZ	284(R15), R9
	MOVD	$·constants(SB), R14
	MOVD	R15, g
rounds:
	ROUND(0, R2, R3, R4, R5, R6, R7, R8, R9)
	ROUND(1, R9, R2, R3, R4, R5, R6, R7, R8)
	ROUND(2, R8, R9, R2, R3, R4, R5, R6, R7)
	ROUND(3, R7, R8, R9, R2, R3, R4, R5, R6)
	ROUND(4, R6, R7, R8, R9, R2, R3, R4, R5)
	ROUND(5, R5, R6, R7, R8, R9, R2, R3, R4)
	ROUND(6, R4, R5, R6, R7, R8, R9, R2, R3)
	ROUND(7, R3, R4, R5, R6, R7, R8, R9, R2)
	ADD	$32, R14
	ADD	$32, g
	CMPBNE	g, R12, rounds
	ADDHASH(0, R2)
	ADDHASH(1, R3)
	ADDHASH(2, R4)
	ADDHASH(3, R5)
	ADDHASH(4, R6)
	ADDHASH(5, R7)
	ADDHASH(6, R8)
	ADDHASH(7, R9)
	CMPBNE	R10, R11, block
	MOVD	392(R15), R14
	BR	(R14)
