//go:build purgatory

#include "textflag.h"

// One round; W and K are read at R14, the byte offset of eight rounds.
// S1(e) = ror(ror(ror(e, 14)^e, 5)^e, 6), S0(a) = ror(ror(ror(a, 9)^a, 11)^a, 2).
#define ROUND(i, a, b, c, d, e, f, g, h) \
	ADDL	(4*i)(R15)(R14*1), h; \
	ADDL	(4*i)(BP)(R14*1), h; \
	MOVL	e, R12; \
	RORL	$14, R12; \
	XORL	e, R12; \
	RORL	$5, R12; \
	XORL	e, R12; \
	RORL	$6, R12; \
	ADDL	R12, h; \
	MOVL	f, R12; \
	XORL	g, R12; \
	ANDL	e, R12; \
	XORL	g, R12; \
	ADDL	R12, h; \
	ADDL	h, d; \
	MOVL	a, R12; \
	RORL	$9, R12; \
	XORL	a, R12; \
	RORL	$11, R12; \
	XORL	a, R12; \
	RORL	$2, R12; \
	ADDL	R12, h; \
	MOVL	a, R12; \
	MOVL	a, R13; \
	ORL	c, R12; \
	ANDL	c, R13; \
	ANDL	b, R12; \
	ORL	R13, R12; \
	ADDL	R12, h

// sha256Scalar(DI = hash, SI = data, DX = number of 64-byte blocks, not 0), FIPS
// 180-4 section 6.2.2. The message schedule is at BP, on the stack.
TEXT ·sha256Scalar(SB), NOSPLIT|NOFRAME, $0
	PUSHQ	BX
	PUSHQ	BP
	PUSHQ	R12
	PUSHQ	R13
	PUSHQ	R14
	PUSHQ	R15
	SUBQ	$264, SP
	MOVQ	SP, BP
	MOVQ	DX, 256(SP)
	LEAQ	·constants(SB), R15
block:
	XORL	CX, CX
load:
	MOVL	(SI)(CX*4), AX
	BSWAPL	AX
	MOVL	AX, (BP)(CX*4)
	INCL	CX
	CMPL	CX, $16
	JNE	load
schedule:
	MOVL	(-15*4)(BP)(CX*4), AX
	MOVL	(-2*4)(BP)(CX*4), BX
	MOVL	AX, R8
	MOVL	AX, R9
	RORL	$7, AX
	RORL	$18, R8
	SHRL	$3, R9
	XORL	R8, AX
	XORL	R9, AX
	MOVL	BX, R8
	MOVL	BX, R9
	RORL	$17, BX
	RORL	$19, R8
	SHRL	$10, R9
	XORL	R8, BX
	XORL	R9, BX
	ADDL	BX, AX
	ADDL	(-16*4)(BP)(CX*4), AX
	ADDL	(-7*4)(BP)(CX*4), AX
	MOVL	AX, (BP)(CX*4)
	INCL	CX
	CMPL	CX, $64
	JNE	schedule

	MOVL	0(DI), AX
	MOVL	4(DI), BX
	MOVL	8(DI), CX
	MOVL	12(DI), DX
	MOVL	16(DI), R8
	MOVL	20(DI), R9
	MOVL	24(DI), R10
	MOVL	28(DI), R11
	XORL	R14, R14
rounds:
	ROUND(0, AX, BX, CX, DX, R8, R9, R10, R11)
	ROUND(1, R11, AX, BX, CX, DX, R8, R9, R10)
	ROUND(2, R10, R11, AX, BX, CX, DX, R8, R9)
	ROUND(3, R9, R10, R11, AX, BX, CX, DX, R8)
	ROUND(4, R8, R9, R10, R11, AX, BX, CX, DX)
	ROUND(5, DX, R8, R9, R10, R11, AX, BX, CX)
	ROUND(6, CX, DX, R8, R9, R10, R11, AX, BX)
	ROUND(7, BX, CX, DX, R8, R9, R10, R11, AX)
	ADDL	$32, R14
	CMPL	R14, $256
	JNE	rounds
	ADDL	AX, 0(DI)
	ADDL	BX, 4(DI)
	ADDL	CX, 8(DI)
	ADDL	DX, 12(DI)
	ADDL	R8, 16(DI)
	ADDL	R9, 20(DI)
	ADDL	R10, 24(DI)
	ADDL	R11, 28(DI)
	ADDQ	$64, SI
	DECQ	256(SP)
	JNE	block

	ADDQ	$264, SP
	POPQ	R15
	POPQ	R14
	POPQ	R13
	POPQ	R12
	POPQ	BP
	POPQ	BX
	RET

// Four rounds with the message words in m; K is read at AX. State: X1 = ABEF,
// X2 = CDGH (Intel, "New Instructions Supporting the Secure Hash Algorithm").
#define NI_ROUNDS(i, m) \
	MOVOU	(16*i)(AX), X0; \
	PADDD	m, X0; \
	SHA256RNDS2	X0, X1, X2; \
	PSHUFD	$0x0e, X0, X0; \
	SHA256RNDS2	X0, X2, X1

// The four words that come 16 after m0: m0 holds them then.
#define NI_SCHEDULE(m0, m1, m2, m3) \
	SHA256MSG1	m1, m0; \
	MOVO	m3, X0; \
	PALIGNR	$4, m2, X0; \
	PADDD	X0, m0; \
	SHA256MSG2	m3, m0

// sha256NI is sha256Scalar with the SHA extensions. Clobbers X0 to X9, AX, CX.
TEXT ·sha256NI(SB), NOSPLIT|NOFRAME, $0
	MOVOU	0(DI), X1
	MOVOU	16(DI), X2
	// DCBA, HGFE in memory order to ABEF, CDGH.
	PSHUFD	$0xb1, X1, X1
	PSHUFD	$0x1b, X2, X2
	MOVO	X1, X0
	PALIGNR	$8, X2, X1
	PBLENDW	$0xf0, X0, X2
	MOVOU	·byteswap(SB), X9
block:
	MOVOU	0(SI), X3
	MOVOU	16(SI), X4
	MOVOU	32(SI), X5
	MOVOU	48(SI), X6
	PSHUFB	X9, X3
	PSHUFB	X9, X4
	PSHUFB	X9, X5
	PSHUFB	X9, X6
	MOVO	X1, X7
	MOVO	X2, X8
	LEAQ	·constants(SB), AX
	MOVL	$3, CX
rounds:
	NI_ROUNDS(0, X3)
	NI_SCHEDULE(X3, X4, X5, X6)
	NI_ROUNDS(1, X4)
	NI_SCHEDULE(X4, X5, X6, X3)
	NI_ROUNDS(2, X5)
	NI_SCHEDULE(X5, X6, X3, X4)
	NI_ROUNDS(3, X6)
	NI_SCHEDULE(X6, X3, X4, X5)
	ADDQ	$64, AX
	DECL	CX
	JNE	rounds
	NI_ROUNDS(0, X3)
	NI_ROUNDS(1, X4)
	NI_ROUNDS(2, X5)
	NI_ROUNDS(3, X6)
	PADDD	X7, X1
	PADDD	X8, X2
	ADDQ	$64, SI
	DECQ	DX
	JNE	block

	PSHUFD	$0x1b, X1, X1
	PSHUFD	$0xb1, X2, X2
	MOVO	X1, X0
	PBLENDW	$0xf0, X2, X1
	PALIGNR	$8, X0, X2
	MOVOU	X1, 0(DI)
	MOVOU	X2, 16(DI)
	RET
