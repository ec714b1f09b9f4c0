//go:build purgatory

#include "textflag.h"

// One round, and the message word that comes 16 later: w += s0(w1) + w9 + s1(w14).
// k is added first. Temporaries R27 and g (R28).
#define ROUND(a, b, c, d, e, f, g1, h, w, w1, w9, w14, k) \
	ADDW	k, h; \
	ADDW	w, h; \
	RORW	$6, e, R27; \
	EORW	e@>11, R27; \
	EORW	e@>25, R27; \
	ADDW	R27, h; \
	EORW	f, g1, R27; \
	ANDW	e, R27; \
	EORW	g1, R27; \
	ADDW	R27, h; \
	ADDW	h, d; \
	RORW	$2, a, R27; \
	EORW	a@>13, R27; \
	EORW	a@>22, R27; \
	ADDW	R27, h; \
	ORRW	a, b, R27; \
	ANDW	a, b, g; \
	ANDW	c, R27; \
	ORRW	g, R27; \
	ADDW	R27, h; \
	RORW	$7, w1, R27; \
	EORW	w1@>18, R27; \
	EORW	w1>>3, R27; \
	ADDW	R27, w; \
	RORW	$17, w14, R27; \
	EORW	w14@>19, R27; \
	EORW	w14>>10, R27; \
	ADDW	R27, w; \
	ADDW	w9, w

// Two rounds with the two constants in k.
#define ROUND2(a, b, c, d, e, f, g1, h, w, w1, w2, w9, w10, w14, w15, k) \
	ROUND(a, b, c, d, e, f, g1, h, w, w1, w9, w14, k); \
	LSR	$32, k, k; \
	ROUND(h, a, b, c, d, e, f, g1, w1, w2, w10, w15, k)

// sha256Scalar(R0 = hash, R1 = data, 8-byte aligned, R2 = number of 64-byte
// blocks, not 0), FIPS 180-4 section 6.2.2. Uncached memory is slow, so hash and
// message schedule live in registers: R0 to R7 = a to h, R8 to R17 and R19 to R24
// = W, R25 constants, R26 data, R18 rounds left of the block, R29 and R30
// constants. The schedule of the last 16 rounds is for nothing: that is cheaper
// than a second copy of the loop.
TEXT ·sha256Scalar(SB), NOSPLIT|NOFRAME, $0
	SUB	$32, RSP
	MOVD	R30, 0(RSP)
	MOVD	R0, 8(RSP)
	ADD	R2<<6, R1, R2
	MOVD	R2, 16(RSP)
	MOVD	R1, R26
	BL	·constantsAddr(SB)
	MOVD	R0, R25
block:
	LDP	0(R26), (R8, R10)
	LDP	16(R26), (R12, R14)
	LDP	32(R26), (R16, R19)
	LDP	48(R26), (R21, R23)
	ADD	$64, R26
	REV32	R8, R8
	REV32	R10, R10
	REV32	R12, R12
	REV32	R14, R14
	REV32	R16, R16
	REV32	R19, R19
	REV32	R21, R21
	REV32	R23, R23
	LSR	$32, R8, R9
	LSR	$32, R10, R11
	LSR	$32, R12, R13
	LSR	$32, R14, R15
	LSR	$32, R16, R17
	LSR	$32, R19, R20
	LSR	$32, R21, R22
	LSR	$32, R23, R24
	MOVD	8(RSP), R27
	LDP	0(R27), (R0, R2)
	LDP	16(R27), (R4, R6)
	LSR	$32, R0, R1
	LSR	$32, R2, R3
	LSR	$32, R4, R5
	LSR	$32, R6, R7
	MOVD	$64, R18_PLATFORM
rounds:
	LDP.P	16(R25), (R29, R30)
	ROUND2(R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R17, R19, R23, R24, R29)
	ROUND2(R6, R7, R0, R1, R2, R3, R4, R5, R10, R11, R12, R20, R21, R8, R9, R30)
	LDP.P	16(R25), (R29, R30)
	ROUND2(R4, R5, R6, R7, R0, R1, R2, R3, R12, R13, R14, R22, R23, R10, R11, R29)
	ROUND2(R2, R3, R4, R5, R6, R7, R0, R1, R14, R15, R16, R24, R8, R12, R13, R30)
	LDP.P	16(R25), (R29, R30)
	ROUND2(R0, R1, R2, R3, R4, R5, R6, R7, R16, R17, R19, R9, R10, R14, R15, R29)
	ROUND2(R6, R7, R0, R1, R2, R3, R4, R5, R19, R20, R21, R11, R12, R16, R17, R30)
	LDP.P	16(R25), (R29, R30)
	ROUND2(R4, R5, R6, R7, R0, R1, R2, R3, R21, R22, R23, R13, R14, R19, R20, R29)
	ROUND2(R2, R3, R4, R5, R6, R7, R0, R1, R23, R24, R8, R15, R16, R21, R22, R30)
	SUBS	$16, R18_PLATFORM, R18_PLATFORM
	BNE	rounds
	SUB	$256, R25

	MOVD	8(RSP), R27
	LDP	0(R27), (R8, R10)
	LDP	16(R27), (R12, R14)
	LSR	$32, R8, R9
	LSR	$32, R10, R11
	LSR	$32, R12, R13
	LSR	$32, R14, R15
	ADDW	R8, R0
	ADDW	R9, R1
	ADDW	R10, R2
	ADDW	R11, R3
	ADDW	R12, R4
	ADDW	R13, R5
	ADDW	R14, R6
	ADDW	R15, R7
	ORR	R1<<32, R0, R0
	ORR	R3<<32, R2, R2
	ORR	R5<<32, R4, R4
	ORR	R7<<32, R6, R6
	STP	(R0, R2), 0(R27)
	STP	(R4, R6), 16(R27)
	MOVD	16(RSP), R27
	CMP	R27, R26
	BNE	block
	MOVD	0(RSP), R30
	ADD	$32, RSP
	RET

// Four rounds with the message words in m and the constants in k. State V0 =
// DCBA, V1 = HGFE (Arm ARM, SHA256H, SHA256H2).
#define CE_ROUNDS(m, k) \
	VADD	k.S4, m.S4, V8.S4; \
	VMOV	V0.B16, V9.B16; \
	SHA256H	V8.S4, V1, V0; \
	SHA256H2	V8.S4, V9, V1

// The four words that come 16 after m0: m0 holds them then.
#define CE_SCHEDULE(m0, m1, m2, m3) \
	SHA256SU0	m1.S4, m0.S4; \
	SHA256SU1	m3.S4, m2.S4, m0.S4

// sha256CE is sha256Scalar with the SHA-256 instructions. The constants stay in
// V16 to V31. Clobbers V0 to V9 too.
TEXT ·sha256CE(SB), NOSPLIT|NOFRAME, $0
	MOVD	R30, R5
	MOVD	R0, R4
	BL	·constantsAddr(SB)
	VLD1.P	64(R0), [V16.S4, V17.S4, V18.S4, V19.S4]
	VLD1.P	64(R0), [V20.S4, V21.S4, V22.S4, V23.S4]
	VLD1.P	64(R0), [V24.S4, V25.S4, V26.S4, V27.S4]
	VLD1	(R0), [V28.S4, V29.S4, V30.S4, V31.S4]
	VLD1	(R4), [V0.S4, V1.S4]
block:
	VLD1.P	64(R1), [V4.B16, V5.B16, V6.B16, V7.B16]
	VMOV	V0.B16, V2.B16
	VMOV	V1.B16, V3.B16
	VREV32	V4.B16, V4.B16
	VREV32	V5.B16, V5.B16
	VREV32	V6.B16, V6.B16
	VREV32	V7.B16, V7.B16
	CE_ROUNDS(V4, V16)
	CE_SCHEDULE(V4, V5, V6, V7)
	CE_ROUNDS(V5, V17)
	CE_SCHEDULE(V5, V6, V7, V4)
	CE_ROUNDS(V6, V18)
	CE_SCHEDULE(V6, V7, V4, V5)
	CE_ROUNDS(V7, V19)
	CE_SCHEDULE(V7, V4, V5, V6)
	CE_ROUNDS(V4, V20)
	CE_SCHEDULE(V4, V5, V6, V7)
	CE_ROUNDS(V5, V21)
	CE_SCHEDULE(V5, V6, V7, V4)
	CE_ROUNDS(V6, V22)
	CE_SCHEDULE(V6, V7, V4, V5)
	CE_ROUNDS(V7, V23)
	CE_SCHEDULE(V7, V4, V5, V6)
	CE_ROUNDS(V4, V24)
	CE_SCHEDULE(V4, V5, V6, V7)
	CE_ROUNDS(V5, V25)
	CE_SCHEDULE(V5, V6, V7, V4)
	CE_ROUNDS(V6, V26)
	CE_SCHEDULE(V6, V7, V4, V5)
	CE_ROUNDS(V7, V27)
	CE_SCHEDULE(V7, V4, V5, V6)
	CE_ROUNDS(V4, V28)
	CE_ROUNDS(V5, V29)
	CE_ROUNDS(V6, V30)
	CE_ROUNDS(V7, V31)
	VADD	V2.S4, V0.S4, V0.S4
	VADD	V3.S4, V1.S4, V1.S4
	SUBS	$1, R2, R2
	BNE	block
	VST1	[V0.S4, V1.S4], (R4)
	JMP	(R5)
