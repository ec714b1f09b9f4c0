//go:build purgatory

#define D32(x) WORD x
#include "textflag.h"
#include "harness.h"

#define PL011 0x09000000

#define MRS_HCR_EL2(t)       WORD $(0xd53c1100 | t)
#define MSR_HCR_EL2(t)       WORD $(0xd51c1100 | t)
#define MRS_CPTR_EL2(t)      WORD $(0xd53c1140 | t)
#define MSR_CPTR_EL2(t)      WORD $(0xd51c1140 | t)
#define MRS_SCTLR_EL2(t)     WORD $(0xd53c1000 | t)
#define MSR_SCTLR_EL2(t)     WORD $(0xd51c1000 | t)
#define MRS_SVCR(t)          WORD $(0xd53b4240 | t)
#define SMSTART_SM           WORD $0xd503437f
#define SMSTOP_SM            WORD $0xd503427f

// entry: EL1 or EL2, MMU off. FP and SIMD are made to trap, as they may be.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	BL	·paramsAddr(SB)
	MOVD	R0, R19
	MOVD	H_MODE(R19), R20
	MRS	CurrentEL, R1
	LSR	$2, R1, R1
	CMP	$2, R1
	BEQ	el2
	MOVD	$0, R1
	TBZ	$1, R20, el1	// MODE_SM
	MOVD	$(3<<24), R2
	MSR	R2, CPACR_EL1
	ISB	$15
	SMSTART_SM
el1:
	MSR	R1, CPACR_EL1
	ISB	$15
	B	enter
el2:
	TBZ	$0, R20, nvhe	// MODE_E2H
	MOVD	$(1<<34 | 1<<27), R1
	MSR_HCR_EL2(1)
	ISB	$15
	MOVD	$0, R1
	MSR_CPTR_EL2(1)
	ISB	$15
	B	enter
nvhe:
	TBZ	$1, R20, trap	// MODE_SM
	MRS_CPTR_EL2(1)
	AND	$~(1<<12), R1
	MSR_CPTR_EL2(1)
	ISB	$15
	SMSTART_SM
trap:
	MOVD	$0x37ff, R1	// TFP, TSM and what is RES1
	MSR_CPTR_EL2(1)
	ISB	$15
enter:
	// Every unaligned access is to fault, as it does with the MMU off on a real CPU.
	MRS	CurrentEL, R1
	CMP	$8, R1
	BEQ	align2
	MRS	SCTLR_EL1, R1
	ORR	$2, R1
	MSR	R1, SCTLR_EL1
	B	aligned
align2:
	MRS_SCTLR_EL2(1)
	ORR	$2, R1
	MSR_SCTLR_EL2(1)
aligned:
	ISB	$15
	MOVD	H_BLOB(R19), R4
	MOVD	$0, R0
	MOVD	$-1, R1
	MOVD	$-1, R2
	MOVD	$-1, R3
	MOVD	R1, RSP
	JMP	(R4)

// user: a process's first instruction. Calls verify, writes memory to standard
// output, exits with what verify returned, or 99 if SP came back wrong.
TEXT ·user(SB), NOSPLIT|NOFRAME, $0
	BL	·paramsAddr(SB)
	MOVD	R0, R19
	MOVD	H_ACCEL(R19), R1
	MOVD	H_VERIFY(R19), R2
	MOVD	H_BLOB(R19), R0
	MOVD	RSP, R3
	SUB	$16, RSP
	MOVD	R3, (RSP)
	BL	(R2)
	MOVD	R0, R20
	MOVD	(RSP), R3
	ADD	$16, RSP
	MOVD	RSP, R4
	CMP	R3, R4
	BEQ	good
	MOVD	$99, R20
good:
	BL	·paramsAddr(SB)
	MOVD	H_DUMP(R0), R1
	MOVD	H_DUMPLEN(R0), R2
	MOVD	$1, R0
	MOVD	$64, R8	// write
	SVC
	MOVD	R20, R0
	MOVD	$94, R8	// exit_group
	SVC

// kernel: writes the registers that it was entered with, 14 words in all, and
// memory to the serial port, and stops the machine by semihosting.
TEXT ·kernel(SB), NOSPLIT|NOFRAME, $0
	MOVD	RSP, R5
	SUB	$112, RSP
	STP	(R0, R1), 16(RSP)
	STP	(R2, R3), 32(RSP)
	STP	(R4, R5), 48(RSP)
	MRS	DAIF, R1
	MRS	CurrentEL, R0
	STP	(R0, R1), 64(RSP)
	BL	·paramsAddr(SB)
	MOVD	H_MODE(R0), R20
	MOVD	$(3<<20 | 3<<24), R3
	MRS	CurrentEL, R0
	CMP	$8, R0
	BEQ	el2
	MRS	SCTLR_EL1, R1
	MRS	CPACR_EL1, R2
	MSR	R3, CPACR_EL1
	B	both
el2:
	MRS_SCTLR_EL2(1)
	MRS_CPTR_EL2(2)
	TBNZ	$0, R20, vhe	// MODE_E2H
	MOVD	$0x23ff, R3
vhe:
	MSR_CPTR_EL2(3)
both:
	ISB	$15
	STP	(R1, R2), 80(RSP)
	TBZ	$1, R20, normal	// MODE_SM
	MRS_SVCR(4)
	SMSTOP_SM
normal:
	// V16 is left over from the SHA-256 instructions, if they were used.
	VMOV	V16.D[0], R3
	STP	(R3, R4), 96(RSP)
	MOVD	$0x4b4f4b4f, R1	// "OKOK"
	MOVD	$0, R2
	STP	(R1, R2), (RSP)
	MOVD	RSP, R6
	MOVD	$112, R7
	BL	·send(SB)
	BL	·paramsAddr(SB)
	MOVD	H_DUMP(R0), R6
	MOVD	H_DUMPLEN(R0), R7
	BL	·send(SB)
	// SYS_EXIT, ADP_Stopped_ApplicationExit, 0
	MOVD	$0x20026, R1
	MOVD	$0, R2
	STP	(R1, R2), (RSP)
	MOVD	RSP, R1
	MOVD	$0x18, R0
	WORD	$0xd45e0000	// HLT #0xf000
stop:
	B	stop

// send writes R7 bytes at R6 to the PL011. Clobbers R6 to R9.
TEXT ·send(SB), NOSPLIT|NOFRAME, $0
	MOVD	$PL011, R8
next:
	CBZ	R7, done
wait:
	MOVWU	0x18(R8), R9
	TBNZ	$5, R9, wait
	MOVBU.P	1(R6), R9
	MOVW	R9, (R8)
	SUB	$1, R7
	B	next
done:
	RET

TEXT ·paramsAddr(SB), NOSPLIT|NOFRAME, $0
	ADR	table, R0
	RET
	WORD	$0
	WORD	$0
table:
	HARNESS_BLOCK

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
