//go:build purgatory

#include "textflag.h"
#include "params.h"

// entry is called twice, as a C function (arch/s390/kernel/machine_kexec.c, kdump_csum_valid and __do_machine_kdump), DAT
// off, R15 the kernel's stack, R14 the way back. R2 = 0: are the segments what they were? R2 is 0 if so, else the kernel
// takes the crash kernel for damaged and goes on with its panic. R2 = 1: enter. The capture kernel exchanges its memory with
// that of the crashed one by itself (arch/s390/boot/head_kdump.S).
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	CMPBNE	R2, $0, enter
	MOVD	$·params(SB), R2
	BR	·verify(SB)
enter:
	MOVD	$·params(SB), R1
	MOVD	P_ENTRY(R1), R1
	BR	(R1)

// verify(R2 = parameters) hashes the regions, compares, and copies the backup
// region when all is well. Returns R2 = 0, or 1 on a mismatch. A function of the ABI: it keeps R6 to R15.
// Callable in user mode.
//
// Stack: 0 schedule of sha256 (256), 256 hash (32), 288 parameters, 296 length, 304 next region, 312 regions left, 320 final
// block (64), 384 link.
TEXT ·verify(SB), NOSPLIT|NOFRAME, $0
	STMG	R6, R15, 48(R15)
	ADD	$-400, R15
	MOVD	R14, 384(R15)
	MOVD	R2, 288(R15)
	MOVD	P_FLAGS(R2), R5
	AND	$FLAG_SKIP_CHECKS, R5
	CMPBNE	R5, $0, copy

	MOVD	$0, R0
	MOVD	R0, 296(R15)
	MOVD	$P_REGIONS(R2), R5
	MOVD	R5, 304(R15)
	MOVD	P_NREGIONS(R2), R5
	MOVD	R5, 312(R15)
	MOVD	$·initial(SB), R5
	MVC	$32, (R5), 256(R15)
region:
	MOVD	312(R15), R5
	CMPBEQ	R5, $0, last
	ADD	$-1, R5
	MOVD	R5, 312(R15)
	MOVD	304(R15), R6
	MOVD	0(R6), R2
	MOVD	8(R6), R3
	ADD	$16, R6
	MOVD	R6, 304(R15)
	MOVD	296(R15), R7
	ADD	R3, R7
	MOVD	R7, 296(R15)
	CMPBEQ	R3, $0, region
	BL	·sha256(SB)
	BR	region

last:
	// Regions are whole blocks, so the padding is a block of its own.
	XC	$64, 320(R15), 320(R15)
	MOVD	$0x80, R5
	MOVB	R5, 320(R15)
	MOVD	296(R15), R5
	SLD	$3, R5
	MOVD	R5, 376(R15)
	MOVD	$320(R15), R2
	MOVD	$64, R3
	BL	·sha256(SB)

	MOVD	288(R15), R6
	MOVD	$0, R2
	MOVD	256(R15), R7
	MOVD	P_DIGEST(R6), R8
	CMPBNE	R7, R8, differs
	MOVD	264(R15), R7
	MOVD	(P_DIGEST+8)(R6), R8
	CMPBNE	R7, R8, differs
	MOVD	272(R15), R7
	MOVD	(P_DIGEST+16)(R6), R8
	CMPBNE	R7, R8, differs
	MOVD	280(R15), R7
	MOVD	(P_DIGEST+24)(R6), R8
	CMPBEQ	R7, R8, copy
differs:
	MOVD	$1, R2
	BR	return

copy:
	// There is none in a crash: the capture kernel exchanges the memories.
	MOVD	288(R15), R5
	MOVD	P_BKP_SRC(R5), R6
	MOVD	P_BKP_DST(R5), R7
	MOVD	P_BKP_SIZE(R5), R8
	MOVD	$0, R2
next:
	CMPBEQ	R8, $0, return
	MOVBZ	(R6), R9
	MOVB	R9, (R7)
	ADD	$1, R6
	ADD	$1, R7
	ADD	$-1, R8
	BR	next
return:
	MOVD	384(R15), R14
	ADD	$400, R15
	LMG	48(R15), R6, R15
	BR	(R14)
