//go:build purgatory

#include "textflag.h"
#include "params.h"
#include "memory_arm64.h"

// What the Go assembler has no name for. Arm ARM, D24 (system registers) and
// C6.2 (MSR, SMSTOP). t is the register number.
#define MRS_HCR_EL2(t)       WORD $(0xd53c1100 | t)
#define MRS_CPTR_EL2(t)      WORD $(0xd53c1140 | t)
#define MSR_CPTR_EL2(t)      WORD $(0xd51c1140 | t)
#define MRS_SCTLR_EL2(t)     WORD $(0xd53c1000 | t)
#define MSR_SCTLR_EL2(t)     WORD $(0xd51c1000 | t)
#define SMSTOP_SM            WORD $0xd503427f
#define IC_IALLU             WORD $0xd508751f
#define DC_CIVAC(t)          WORD $(0xd50b7e20 | t)

#define SCTLR_I        (1<<12)
#define HCR_E2H_BIT    34
#define CPTR_TFP       (1<<10)     // E2H = 0
#define CPTR_TSM       (1<<12)
#define CPACR_FPEN     (3<<20)     // also CPTR_EL2 under E2H = 1
#define CPACR_SMEN     (3<<24)

// Stack frame of entry, bytes from RSP.
#define F_SCTLR  0
#define F_TRAPS  8
#define F_ACCEL  16
#define F_EL     24               // 1, 2, or 3 for EL2 with E2H
#define F_SIZE   32

// entry: EL1 or EL2, MMU and data cache off, little-endian; nothing else is
// relied on, x0 least of all: it is 0 after a crash.
//
// With the MMU off all data is Device memory: every access must be aligned, and
// costs a bus transaction. Code would be fetched in the same way, so the
// instruction cache is turned on for the duration.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	ADR	base, R0
	B	begin
base:
	// R0 is entry + 8.
	WORD	$0xd503201f	// NOP
begin:
	MSR	$0xf, DAIFSet
	ADD	$(MEMSIZE-8), R0, R0
	MOVD	R0, RSP
	SUB	$F_SIZE, RSP
	BL	·paramsAddr(SB)
	MOVD	R0, R19

	// R20: 1 at EL1, 2 at EL2, 3 at EL2 with E2H.
	MRS	CurrentEL, R20
	LSR	$2, R20, R20
	AND	$3, R20, R20
	CMP	$2, R20
	BNE	level
	MRS_HCR_EL2(1)
	UBFX	$HCR_E2H_BIT, R1, $1, R1
	ADD	R1, R20, R20
level:
	MOVD	R20, F_EL(RSP)

	// Instruction cache on.
	MRS	SCTLR_EL1, R1
	CMP	$1, R20
	BEQ	sctlr1
	MRS_SCTLR_EL2(1)
sctlr1:
	MOVD	R1, F_SCTLR(RSP)
	ORR	$SCTLR_I, R1, R1
	BL	·setSCTLR(SB)

	// SHA-256 instructions? ID_AA64ISAR0_EL1.SHA2, bits 15:12.
	MOVD	ZR, F_ACCEL(RSP)
	MRS	ID_AA64ISAR0_EL1, R1
	UBFX	$12, R1, $4, R1
	CBZ	R1, verify
	// A CPU with SME may have been in streaming mode, where they are undefined.
	// Only the loader knows whether the firmware lets us leave it; if it doesn't
	// say so, go without. ID_AA64PFR1_EL1.SME, bits 27:24.
	MRS	ID_AA64PFR1_EL1, R2
	UBFX	$24, R2, $4, R2
	MOVD	P_FLAGS(R19), R3
	AND	$FLAG_SME, R3, R3
	CBZ	R2, enable
	CBZ	R3, verify
enable:
	MOVD	$1, R1
	MOVD	R1, F_ACCEL(RSP)
	CMP	$2, R20
	BEQ	nvhe
	MRS	CPACR_EL1, R1
	CMP	$1, R20
	BEQ	cpacr
	MRS_CPTR_EL2(1)
cpacr:
	MOVD	R1, F_TRAPS(RSP)
	ORR	$CPACR_FPEN, R1, R1
	CBZ	R2, setTraps
	ORR	$CPACR_SMEN, R1, R1
	B	setTraps
nvhe:
	MRS_CPTR_EL2(1)
	MOVD	R1, F_TRAPS(RSP)
	AND	$~CPTR_TFP, R1, R1
	CBZ	R2, setTraps
	AND	$~CPTR_TSM, R1, R1
setTraps:
	BL	·setTraps(SB)
	CBZ	R2, verify
	SMSTOP_SM

verify:
	MOVD	R19, R0
	MOVD	F_ACCEL(RSP), R1
	BL	·verify(SB)
	CBNZ	R0, mismatch

	// Put everything back.
	MOVD	F_EL(RSP), R20
	MOVD	F_ACCEL(RSP), R2
	CBZ	R2, enter
	MOVD	F_TRAPS(RSP), R1
	BL	·setTraps(SB)
enter:
	MOVD	F_SCTLR(RSP), R1
	BL	·setSCTLR(SB)
	BL	·paramsAddr(SB)
	MOVD	R0, R19
	// Documentation/arch/arm64/booting.rst: x0 = device tree, x1 to x3 = 0.
	MOVD	P_ENTRY(R19), R4
	MOVD	P_ARG(R19), R0
	MOVD	ZR, R1
	MOVD	ZR, R2
	MOVD	ZR, R3
	JMP	(R4)

mismatch:
	BL	·paramsAddr(SB)
	BL	·puts(SB)
stop:
	WFI
	B	stop

// setSCTLR writes R1 to SCTLR_EL1, or SCTLR_EL2 unless R20 is 1, and forgets
// all that was cached of the code.
TEXT ·setSCTLR(SB), NOSPLIT|NOFRAME, $0
	IC_IALLU
	DSB	$15
	ISB	$15
	CMP	$1, R20
	BEQ	el1
	MSR_SCTLR_EL2(1)
	ISB	$15
	RET
el1:
	MSR	R1, SCTLR_EL1
	ISB	$15
	RET

// setTraps writes R1 to CPACR_EL1, or CPTR_EL2 unless R20 is 1.
TEXT ·setTraps(SB), NOSPLIT|NOFRAME, $0
	CMP	$1, R20
	BEQ	el1
	MSR_CPTR_EL2(1)
	ISB	$15
	RET
el1:
	MSR	R1, CPACR_EL1
	ISB	$15
	RET

// puts writes the mismatch text to the UART that the parameters at R0 name, if
// they name one. Clobbers R0 to R7.
TEXT ·puts(SB), NOSPLIT|NOFRAME, $0
	MOVD	P_SER_ADDR(R0), R1
	MOVWU	P_SER_KIND(R0), R2
	ADD	$P_MISMATCH, R0, R0
	SUB	$SERIAL_8250_MMIO, R2, R3
	CMP	$(SERIAL_PL011-SERIAL_8250_MMIO), R3
	BHI	done
next:
	MOVBU	(R0), R4
	CBZ	R4, done
	ADD	$1, R0
	// Wait until it can take a byte, but not for ever: it may be a wrong guess.
	MOVD	$0x40000, R5
wait:
	CMP	$SERIAL_8250_MMIO32, R2
	BHI	pl011
	BEQ	mmio32
	MOVBU	5(R1), R6	// LSR.THRE
	TBNZ	$5, R6, ready
	B	again
mmio32:
	MOVWU	20(R1), R6
	TBNZ	$5, R6, ready
	B	again
pl011:
	MOVWU	0x18(R1), R6	// UARTFR.TXFF
	TBZ	$5, R6, ready
again:
	SUBS	$1, R5, R5
	BNE	wait
ready:
	CMP	$SERIAL_8250_MMIO, R2
	BEQ	byte
	MOVW	R4, (R1)
	B	next
byte:
	MOVB	R4, (R1)
	B	next
done:
	RET

// verify(R0 = parameters, R1 = 1 if the SHA-256 instructions may be used) hashes
// the regions, compares, and copies the backup region when all is well. Returns
// R0 = 0, or 1 on a mismatch. Clobbers everything else but RSP. Callable in user
// mode (but for EL0 the kernel must allow DC CIVAC, as Linux does).
//
// Stack: 0 hash (32), 32 LR, 40 parameters, 48 length, 56 next region, 64 regions
// left, 72 accelerated, 128 final block (64).
TEXT ·verify(SB), NOSPLIT|NOFRAME, $0
	SUB	$192, RSP
	MOVD	R30, 32(RSP)
	MOVD	R0, 40(RSP)
	MOVD	ZR, 48(RSP)
	MOVD	R1, 72(RSP)
	MOVD	R0, R19
	MOVD	P_FLAGS(R19), R2
	TBNZ	$0, R2, copy	// FLAG_SKIP_CHECKS

	ADD	$P_REGIONS, R19, R3
	MOVD	R3, 56(RSP)
	MOVD	P_NREGIONS(R19), R4
	MOVD	R4, 64(RSP)
	BL	·initialAddr(SB)
	LDP	(R0), (R1, R2)
	LDP	16(R0), (R3, R4)
	STP	(R1, R2), (RSP)
	STP	(R3, R4), 16(RSP)
region:
	MOVD	64(RSP), R4
	CBZ	R4, last
	SUB	$1, R4
	MOVD	R4, 64(RSP)
	MOVD	56(RSP), R3
	LDP	(R3), (R1, R2)
	ADD	$16, R3
	MOVD	R3, 56(RSP)
	MOVD	48(RSP), R5
	ADD	R2, R5
	MOVD	R5, 48(RSP)
	LSR	$6, R2, R2
	CBZ	R2, region
	BL	·blocks(SB)
	B	region

last:
	// Regions are whole blocks, so the padding is a block of its own.
	MOVD	48(RSP), R5
	LSL	$3, R5
	REV	R5, R5
	MOVD	$0x80, R4
	STP	(R4, ZR), 128(RSP)
	STP	(ZR, ZR), 144(RSP)
	STP	(ZR, ZR), 160(RSP)
	STP	(ZR, R5), 176(RSP)
	ADD	$128, RSP, R1
	MOVD	$1, R2
	BL	·blocks(SB)

	MOVD	40(RSP), R19
	MOVD	RSP, R1
	ADD	$P_DIGEST, R19, R2
	MOVD	$4, R3
	MOVD	ZR, R0
compare:
	MOVD.P	8(R1), R4
	MOVD.P	8(R2), R5
	REV32	R4, R4
	EOR	R4, R5
	ORR	R5, R0
	SUBS	$1, R3, R3
	BNE	compare
	CBZ	R0, copy
	MOVD	$1, R0
	B	return

copy:
	// The old contents may be dirty in the cache, and the old contents of the
	// destination may still be clean there: clean and invalidate both first.
	MOVD	P_BKP_SRC(R19), R1
	MOVD	P_BKP_DST(R19), R2
	MOVD	P_BKP_SIZE(R19), R3
	CBZ	R3, good
	MRS	CTR_EL0, R4
	UBFX	$16, R4, $4, R4	// DminLine, log2 of words
	MOVD	$4, R5
	LSL	R4, R5, R5
	SUB	$1, R5, R6
	BIC	R6, R1, R7
	ADD	R3, R1, R8
srcLine:
	DC_CIVAC(7)
	ADD	R5, R7
	CMP	R8, R7
	BLO	srcLine
	BIC	R6, R2, R7
	ADD	R3, R2, R8
dstLine:
	DC_CIVAC(7)
	ADD	R5, R7
	CMP	R8, R7
	BLO	dstLine
	DSB	$15
	ORR	R1, R2, R4
	ORR	R3, R4, R4
	AND	$15, R4, R4
	CBNZ	R4, bytes
wide:
	LDP.P	16(R1), (R4, R5)
	STP.P	(R4, R5), 16(R2)
	SUBS	$16, R3, R3
	BNE	wide
	B	copied
bytes:
	MOVBU.P	1(R1), R4
	MOVB.P	R4, 1(R2)
	SUBS	$1, R3, R3
	BNE	bytes
copied:
	DSB	$15
good:
	MOVD	ZR, R0
return:
	MOVD	32(RSP), R30
	ADD	$192, RSP
	RET

// blocks hashes R2 blocks of 64 bytes at R1 into verify's frame.
TEXT ·blocks(SB), NOSPLIT|NOFRAME, $0
	MOVD	RSP, R0
	MOVD	72(RSP), R3
	CBZ	R3, scalar
	B	·sha256CE(SB)
scalar:
	B	·sha256Scalar(SB)
