//go:build purgatory

#include "textflag.h"
#include "params.h"
#include "memory_amd64.h"

// Values of STATE: what the exception handler has to do.
#define STATE_PROBING 1
#define STATE_DYING   2

// The selectors of the 64-bit boot protocol (Documentation/arch/x86/boot.rst,
// "64-bit Boot Protocol"): __BOOT_CS and __BOOT_DS.
#define BOOT_CS 0x10
#define BOOT_DS 0x18

#define CR0_MP     (1<<1)
#define CR0_EM_TS  ((1<<2)|(1<<3))
#define CR4_OSFXSR (1<<9)

// CPUID(1).ECX: SSSE3 is bit 9, SSE4.1 bit 19. CPUID(7,0).EBX: SHA is bit 29.
#define CPUID1_SSE ((1<<9)|(1<<19))
#define CPUID7_SHA 29

// entry: long mode, identity map, interrupts off; nothing else is relied on.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	CLI
	CLD
	LEAQ	·entry(SB), BP
	LEAQ	MEMSIZE(BP), SP
	// The kernel left an invalidated GDT and IDT.
	SUBQ	$16, SP
	LEAQ	·gdt(SB), AX
	MOVW	$31, 0(SP)
	MOVQ	AX, 2(SP)
	MOVQ	0(SP), GDTR
	MOVL	$BOOT_DS, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, SS
	MOVW	AX, FS
	MOVW	AX, GS
	LEAQ	·start(SB), AX
	PUSHQ	$BOOT_CS
	PUSHQ	AX
	RETFQ

// start: as entry, in CS __BOOT_CS; BP is the address of entry.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	// Own exception handlers: an NMI that falls into the seconds that SHA-256 may
	// take must not triple-fault the machine, and CPUID raises #VC in an SEV-ES guest.
	MOVL	$STATE_PROBING, STATE(BP)
	LEAQ	IDT(BP), DI
	LEAQ	·fault(SB), AX
	MOVL	$32, CX
	CALL	·setGates(SB)
	LEAQ	(IDT+2*16)(BP), DI
	LEAQ	·nmi(SB), AX
	MOVL	$1, CX
	CALL	·setGates(SB)
	LEAQ	IDT(BP), AX
	MOVW	$IDT_LIMIT, 0(SP)
	MOVQ	AX, 2(SP)
	MOVQ	0(SP), IDTR

	// SHA-NI? Then turn on SSE, which the kernel's CR4 = PAE|LA57 has turned off.
	XORL	AX, AX
	CPUID
	CMPL	AX, $7
	JB	scalar
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	ANDL	$CPUID1_SSE, CX
	CMPL	CX, $CPUID1_SSE
	JNE	scalar
	MOVL	$7, AX
	XORL	CX, CX
	CPUID
	BTL	$CPUID7_SHA, BX
	JCC	scalar

	MOVQ	CR0, R12
	MOVQ	CR4, R13
	MOVQ	R12, AX
	ANDQ	$~CR0_EM_TS, AX
	ORQ	$CR0_MP, AX
	MOVQ	AX, CR0
	MOVQ	R13, AX
	ORQ	$CR4_OSFXSR, AX
	MOVQ	AX, CR4
	MOVL	$0, STATE(BP)
	LEAQ	·params(SB), DI
	MOVL	$1, SI
	CALL	·verify(SB)
	MOVQ	R13, CR4
	MOVQ	R12, CR0
	JMP	·finish(SB)

scalar:
	JMP	·startScalar(SB)

// startScalar: the rest of start without SHA-NI; the exception handler comes
// here when a probe failed, so nothing but BP is relied on.
TEXT ·startScalar(SB), NOSPLIT|NOFRAME, $0
	LEAQ	(MEMSIZE-16)(BP), SP
	MOVL	$0, STATE(BP)
	LEAQ	·params(SB), DI
	XORL	SI, SI
	CALL	·verify(SB)
	JMP	·finish(SB)

// finish: AX is what verify returned. Enters the kernel, or says why not.
TEXT ·finish(SB), NOSPLIT|NOFRAME, $0
	LEAQ	·params(SB), DI
	TESTL	AX, AX
	JNE	mismatch
	LEAQ	·entry(SB), SP
	ADDQ	$MEMSIZE, SP
	PUSHQ	$2
	POPFQ
	MOVQ	P_ARG(DI), SI
	MOVQ	P_ENTRY(DI), AX
	SUBQ	$8, SP
	MOVQ	AX, 0(SP)
	XORL	AX, AX
	XORL	BX, BX
	XORL	CX, CX
	XORL	DX, DX
	XORL	DI, DI
	XORL	BP, BP
	XORL	R8, R8
	XORL	R9, R9
	XORL	R10, R10
	XORL	R11, R11
	XORL	R12, R12
	XORL	R13, R13
	XORL	R14, R14
	XORL	R15, R15
	RET

mismatch:
	LEAQ	P_MISMATCH(DI), SI
	CALL	·puts(SB)
	JMP	·stop(SB)

// stop forever. The loop is for NMIs, which end a HLT.
TEXT ·stop(SB), NOSPLIT|NOFRAME, $0
loop:
	CLI
	HLT
	JMP	loop

// setGates fills CX interrupt gates at DI (Intel SDM volume 3, figure 6-8), all
// with the handler AX. Clobbers AX, CX, DX, SI, DI.
TEXT ·setGates(SB), NOSPLIT|NOFRAME, $0
	MOVQ	$(0x8e00<<32 | BOOT_CS<<16), DX
	MOVWLZX	AX, SI
	ORQ	SI, DX
	MOVQ	AX, SI
	SHRQ	$16, SI
	SHLQ	$48, SI
	ORQ	SI, DX
	SHRQ	$32, AX
gate:
	MOVQ	DX, 0(DI)
	MOVQ	AX, 8(DI)
	ADDQ	$16, DI
	DECL	CX
	JNE	gate
	RET

TEXT ·nmi(SB), NOSPLIT|NOFRAME, $0
	IRETQ

// fault: every other exception.
TEXT ·fault(SB), NOSPLIT|NOFRAME, $0
	LEAQ	·entry(SB), BP
	MOVL	STATE(BP), AX
	CMPL	AX, $STATE_PROBING
	JEQ	probe
	CMPL	AX, $STATE_DYING
	JEQ	dead
	MOVL	$STATE_DYING, STATE(BP)
	LEAQ	·params(SB), DI
	LEAQ	P_FAULT(DI), SI
	CALL	·puts(SB)
dead:
	JMP	·stop(SB)
probe:
	JMP	·startScalar(SB)

// puts writes the NUL-terminated text at SI to the 8250 that the parameters at
// DI name, if they name one. Clobbers AX, CX, DX, SI, R8.
TEXT ·puts(SB), NOSPLIT|NOFRAME, $0
	CMPL	P_SER_KIND(DI), $SERIAL_8250_PORT
	JNE	done
	MOVQ	P_SER_ADDR(DI), R8
	MOVL	P_SER_DIV(DI), CX
	TESTL	CX, CX
	JEQ	next
	// LCR: divisor latch, 8N1; IER off; MCR: DTR, RTS.
	LEAL	3(R8), DX
	MOVB	$0x83, AX
	OUTB
	MOVL	R8, DX
	MOVL	CX, AX
	OUTB
	INCL	DX
	SHRL	$8, AX
	OUTB
	LEAL	3(R8), DX
	MOVB	$0x03, AX
	OUTB
	LEAL	1(R8), DX
	XORL	AX, AX
	OUTB
	LEAL	4(R8), DX
	MOVB	$0x03, AX
	OUTB
next:
	// Wait for LSR.THRE, but not for ever: the port may be a wrong guess.
	MOVL	$0x40000, CX
	LEAL	5(R8), DX
wait:
	INB
	TESTB	$0x20, AX
	JNE	ready
	DECL	CX
	JNE	wait
ready:
	MOVBLZX	(SI), AX
	TESTL	AX, AX
	JEQ	done
	INCQ	SI
	MOVL	R8, DX
	OUTB
	JMP	next
done:
	RET

// verify(DI = parameters, SI = 1 if SHA-NI may be used) hashes the regions,
// compares, and copies the backup region when all is well. Returns AX = 0, or 1
// on a mismatch. Saves what the System V ABI wants saved. Callable in user mode.
//
// Stack: 0 hash (32), 32 final block (64), 96 digest length in bytes.
TEXT ·verify(SB), NOSPLIT|NOFRAME, $0
	PUSHQ	BX
	PUSHQ	BP
	PUSHQ	R12
	PUSHQ	R13
	PUSHQ	R14
	PUSHQ	R15
	SUBQ	$104, SP
	MOVQ	DI, R12
	TESTL	$FLAG_SKIP_CHECKS, P_FLAGS(R12)
	JNE	copy

	LEAQ	·sha256Scalar(SB), R13
	LEAQ	·sha256NI(SB), AX
	TESTL	SI, SI
	CMOVQNE	AX, R13

	LEAQ	·initial(SB), SI
	MOVQ	SP, DI
	MOVL	$4, CX
	REP; MOVSQ
	XORL	AX, AX
	MOVL	$9, CX
	REP; STOSQ

	LEAQ	P_REGIONS(R12), R14
	MOVQ	P_NREGIONS(R12), R15
region:
	DECQ	R15
	JLT	last
	MOVQ	0(R14), SI
	MOVQ	8(R14), DX
	ADDQ	$16, R14
	ADDQ	DX, 96(SP)
	SHRQ	$6, DX
	JEQ	region
	MOVQ	SP, DI
	CALL	R13
	JMP	region

last:
	// Regions are whole blocks, so the padding is a block of its own.
	MOVB	$0x80, 32(SP)
	MOVQ	96(SP), AX
	SHLQ	$3, AX
	BSWAPQ	AX
	MOVQ	AX, 88(SP)
	MOVQ	SP, DI
	LEAQ	32(SP), SI
	MOVL	$1, DX
	CALL	R13

	XORL	CX, CX
	XORL	DX, DX
compare:
	MOVL	(SP)(CX*4), AX
	BSWAPL	AX
	XORL	P_DIGEST(R12)(CX*4), AX
	ORL	AX, DX
	INCL	CX
	CMPL	CX, $8
	JNE	compare
	MOVL	$1, AX
	TESTL	DX, DX
	JNE	return

copy:
	MOVQ	P_BKP_SRC(R12), SI
	MOVQ	P_BKP_DST(R12), DI
	MOVQ	P_BKP_SIZE(R12), CX
	REP; MOVSB
	XORL	AX, AX
return:
	ADDQ	$104, SP
	POPQ	R15
	POPQ	R14
	POPQ	R13
	POPQ	R12
	POPQ	BP
	POPQ	BX
	RET
