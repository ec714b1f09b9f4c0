//go:build purgatory

#define D32(x) WORD x
#include "textflag.h"
#include "params.h"
#include "sha256.h"
#include "memory_ppc64le.h"

// What the Go assembler has no name for (Power ISA).
#define BCL_NEXT   WORD $0x429f0005 // bcl 20,31,.+4: LR is the address of the next instruction
#define LOW        WORD $0x7c210b78 // or 1,1,1: low priority
#define HIGH       WORD $0x7c631b78 // or 3,3,3: high priority
#define MFMSR_R6   WORD $0x7cc000a6
#define MTSRR0_R4  WORD $0x7c9a03a6
#define MTSRR1_R6  WORD $0x7cdb03a6
#define RFID       WORD $0x4c000024
#define HYPERCALL  WORD $0x44000022 // sc 1

#define H_PUT_TERM_CHAR 0x58

// entry: real mode, little-endian, R3 = physical number of this CPU (arch/powerpc/kexec/core_64.c, kexec_sequence). The
// kernel has copied the first 256 bytes to address 0, where the other CPUs wait.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	BR	start
	D32($0); D32($0); D32($0)
	Z16; Z16; Z16
	Z64; Z64; Z64
	PARAMS_BLOCK(MEMSIZE)
	SHA256_K
	SHA256_H
start:
	BCL_NEXT
	MOVD	LR, R20
	ADD	$-(O_CODE+4), R20
	LOW
	MOVD	R3, R27
	MOVD	$0, R0
	MOVD	R20, R1
	ADD	$(MEMSIZE-64), R1
	ADD	$O_PARAMS, R20, R3
	BL	·verify(SB)
	CMP	R3, $0
	BNE	mismatch
	HIGH
	// The other CPUs catch up.
	MOVD	$0x10000, R5
delay:
	ADD	$-1, R5
	CMP	R5, $0
	BNE	delay

	ADD	$O_PARAMS, R20, R5
	MOVD	P_ARG(R5), R3
	MOVD	P_ENTRY(R5), R4
	// boot_cpuid_phys of the device tree, big-endian
	ADD	$28, R3, R5
	MOVWBR	R27, (R5)(R0)
	SYNC
	MOVD	$0, R5
	// Big-endian, as an Open Firmware enters a kernel (arch/powerpc/kernel/head_64.S, FIXUP_ENDIAN).
	MTSRR0_R4
	MFMSR_R6
	SRD	$1, R6
	SLD	$1, R6
	MTSRR1_R6
	RFID

mismatch:
	ADD	$O_PARAMS, R20, R3
	BL	·puts(SB)
stop:
	LOW
	BR	stop

// puts writes the mismatch text to the hypervisor's console, if the parameters at R3 name it.
TEXT ·puts(SB), NOSPLIT|NOFRAME, $0
	MOVWZ	P_SER_KIND(R3), R5
	CMP	R5, $SERIAL_HVC
	BNE	done
	ADD	$P_MISMATCH, R3, R21
next:
	MOVBZ	(R21), R22
	CMP	R22, $0
	BEQ	done
	SLD	$56, R22
	MOVD	$0x1000, R23	// tries, while it is busy
again:
	MOVD	$H_PUT_TERM_CHAR, R3
	MOVD	$0, R4
	MOVD	$1, R5
	MOVD	R22, R6
	MOVD	$0, R7
	HYPERCALL
	ADD	$-1, R23
	CMP	R23, $0
	BEQ	sent
	CMP	R3, $0
	BNE	again
sent:
	ADD	$1, R21
	BR	next
done:
	RET

// verify(R3 = parameters) hashes the regions, compares, and copies the backup
// region when all is well. Returns R3 = 0, or 1 on a mismatch. Clobbers
// everything but R1, R2, R13, R20, R27 and R28. Callable in user mode.
//
// Stack: 0 hash (32), 32 parameters, 40 length, 48 next region, 56 regions left, 64 final block (64), 128 link.
TEXT ·verify(SB), NOSPLIT|NOFRAME, $0
	MOVD	LR, R6
	MOVD	$0, R0
	ADD	$-144, R1
	MOVD	R6, 128(R1)
	MOVD	R3, 32(R1)
	MOVD	R0, 40(R1)
	MOVD	P_FLAGS(R3), R5
	ANDCC	$FLAG_SKIP_CHECKS, R5, R5
	BNE	copy

	ADD	$P_REGIONS, R3, R5
	MOVD	R5, 48(R1)
	MOVD	P_NREGIONS(R3), R5
	MOVD	R5, 56(R1)
	ADD	$(O_HASH-O_PARAMS), R3, R5
	MOVD	0(R5), R6
	MOVD	8(R5), R7
	MOVD	16(R5), R8
	MOVD	24(R5), R9
	MOVD	R6, 0(R1)
	MOVD	R7, 8(R1)
	MOVD	R8, 16(R1)
	MOVD	R9, 24(R1)
region:
	MOVD	56(R1), R5
	CMP	R5, $0
	BEQ	last
	ADD	$-1, R5
	MOVD	R5, 56(R1)
	MOVD	48(R1), R6
	MOVD	0(R6), R3
	MOVD	8(R6), R4
	ADD	$16, R6
	MOVD	R6, 48(R1)
	MOVD	40(R1), R7
	ADD	R4, R7
	MOVD	R7, 40(R1)
	CMP	R4, $0
	BEQ	region
	MOVD	R1, R5
	MOVD	32(R1), R6
	ADD	$(O_CONST-O_PARAMS), R6
	BL	·sha256(SB)
	BR	region

last:
	// Regions are whole blocks, so the padding is a block of its own.
	MOVD	$0x80, R5
	MOVD	R5, 64(R1)
	MOVD	R0, 72(R1)
	MOVD	R0, 80(R1)
	MOVD	R0, 88(R1)
	MOVD	R0, 96(R1)
	MOVD	R0, 104(R1)
	MOVD	R0, 112(R1)
	MOVD	40(R1), R5
	SLD	$3, R5
	ADD	$120, R1, R6
	MOVDBR	R5, (R6)(R0)
	ADD	$64, R1, R3
	MOVD	$64, R4
	MOVD	R1, R5
	MOVD	32(R1), R6
	ADD	$(O_CONST-O_PARAMS), R6
	BL	·sha256(SB)

	MOVD	R1, R5
	MOVD	32(R1), R6
	ADD	$P_DIGEST, R6
	MOVD	$8, R7
	MOVD	$0, R3
word:
	// The digest is big-endian.
	MOVWBR	(R6)(R0), R8
	MOVWZ	(R5), R9
	XOR	R8, R9
	OR	R9, R3
	ADD	$4, R5
	ADD	$4, R6
	ADD	$-1, R7
	CMP	R7, $0
	BNE	word
	CMP	R3, $0
	BEQ	copy
	MOVD	$1, R3
	BR	return

copy:
	MOVD	32(R1), R5
	MOVD	P_BKP_SRC(R5), R6
	MOVD	P_BKP_DST(R5), R7
	MOVD	P_BKP_SIZE(R5), R8
	OR	R6, R7, R9
	OR	R8, R9
	ANDCC	$7, R9, R9
	BNE	bytes
wide:
	CMP	R8, $0
	BEQ	good
	MOVD	(R6), R9
	MOVD	R9, (R7)
	ADD	$8, R6
	ADD	$8, R7
	ADD	$-8, R8
	BR	wide
bytes:
	CMP	R8, $0
	BEQ	good
	MOVBZ	(R6), R9
	MOVB	R9, (R7)
	ADD	$1, R6
	ADD	$1, R7
	ADD	$-1, R8
	BR	bytes
good:
	MOVD	$0, R3
return:
	MOVD	128(R1), R6
	MOVD	R6, LR
	ADD	$144, R1
	RET
