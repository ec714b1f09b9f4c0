//go:build purgatory

#define D32(x) LONG x
#include "textflag.h"
#include "harness.h"

// Where harness_test.go puts things (see machine_amd64).
#define AT_GDTR  0x101000
#define AT_NODT  0x101008
#define AT_PML4  0x102000
#define AT_LONG  0x10c100
#define AT_STACK 0x10f000

#define DEBUGCON 0xe9
#define DEBUG_EXIT 0xf4

// entry: 32-bit protected mode, from multiboot. Only instructions that mean the
// same in both modes until the far jump.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	CLI
	MOVL	$AT_GDTR, BX
	MOVL	(BX), GDTR
	MOVL	$AT_PML4, AX
	BYTE	$0x0f; BYTE $0x22; BYTE $0xd8	// MOV CR3, EAX
	MOVL	$0x20, AX
	BYTE	$0x0f; BYTE $0x22; BYTE $0xe0	// MOV CR4, EAX: PAE
	MOVL	$0xc0000080, CX
	RDMSR
	BTSL	$8, AX				// EFER.LME
	WRMSR
	MOVL	$0x80000011, AX
	BYTE	$0x0f; BYTE $0x22; BYTE $0xc0	// MOV CR0, EAX: PG, ET, PE
	BYTE	$0xea; LONG $AT_LONG; WORD $0x10	// LJMP 0x10, AT_LONG
	PCALIGN	$128
	PCALIGN	$256
	// Here is entry + 0x100 = AT_LONG: 64-bit code.
	MOVL	$0x18, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, SS
	MOVL	$AT_STACK, AX
	MOVQ	AX, SP
	LEAQ	·params(SB), BP
	MOVL	$0x53, AX	// "S": started
	OUTB	$DEBUGCON
	// relocate_kernel's last act: no GDT, no IDT, CR0 = PG|ET|PE, CR4 = PAE, all
	// registers zero, a stack with one 0 on it.
	PUSHQ	$0
	PUSHQ	H_BLOB(BP)
	MOVL	$AT_NODT, BX
	MOVQ	(BX), GDTR
	MOVQ	(BX), IDTR
	PUSHQ	$0
	POPFQ
	XORL	AX, AX
	XORL	BX, BX
	XORL	CX, CX
	XORL	DX, DX
	XORL	SI, SI
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
	BYTE	$0xc3	// RET

// user: a process's first instruction. Calls verify, checks that the registers
// that the ABI wants saved are, writes memory to standard output, exits with what
// verify returned, or 99.
TEXT ·user(SB), NOSPLIT|NOFRAME, $0
	LEAQ	·params(SB), AX
	MOVQ	H_BLOB(AX), DI
	MOVQ	H_ACCEL(AX), SI
	MOVQ	H_VERIFY(AX), AX
	MOVL	$1, BX
	MOVL	$2, BP
	MOVL	$3, R12
	MOVL	$4, R13
	MOVL	$5, R14
	MOVQ	SP, R15
	CALL	AX
	CMPL	BX, $1
	JNE	bad
	CMPL	BP, $2
	JNE	bad
	CMPL	R12, $3
	JNE	bad
	CMPL	R13, $4
	JNE	bad
	CMPL	R14, $5
	JNE	bad
	CMPQ	SP, R15
	JNE	bad
	MOVL	AX, R12
	LEAQ	·params(SB), BP
	MOVQ	H_DUMP(BP), SI
	MOVQ	H_DUMPLEN(BP), DX
	MOVL	$1, DI
	MOVL	$1, AX	// write
	SYSCALL
	JMP	exit
bad:
	MOVL	$99, R12
exit:
	MOVL	R12, DI
	MOVL	$231, AX	// exit_group
	SYSCALL

// kernel: writes the registers that it was entered with, 24 words in all, and memory
// to the debug console, and stops the machine.
TEXT ·kernel(SB), NOSPLIT|NOFRAME, $0
	PUSHQ	AX
	PUSHQ	BX
	PUSHQ	CX
	PUSHQ	DX
	PUSHQ	SI
	PUSHQ	DI
	PUSHQ	BP
	PUSHQ	R8
	PUSHQ	R9
	PUSHQ	R10
	PUSHQ	R11
	PUSHQ	R12
	PUSHQ	R13
	PUSHQ	R14
	PUSHQ	R15
	LEAQ	(15*8)(SP), AX
	PUSHQ	AX
	PUSHFQ
	XORL	AX, AX
	MOVW	CS, AX
	PUSHQ	AX
	MOVW	SS, AX
	PUSHQ	AX
	MOVW	DS, AX
	PUSHQ	AX
	MOVQ	CR0, AX
	PUSHQ	AX
	MOVQ	CR4, AX
	PUSHQ	AX
	// X9 is left over from SHA-NI, if that was used.
	ORQ	$(1<<9), AX
	MOVQ	AX, CR4
	MOVQ	X9, AX
	PUSHQ	AX
	PUSHQ	$0x4b4f4b4f	// "OKOK": last pushed, first out
	CLD
	MOVQ	SP, SI
	MOVL	$(24*8), CX
	MOVL	$DEBUGCON, DX
	REP; OUTSB
	LEAQ	·params(SB), BP
	MOVQ	H_DUMP(BP), SI
	MOVQ	H_DUMPLEN(BP), CX
	REP; OUTSB
	MOVL	$DEBUG_EXIT, DX
	MOVL	$0x10, AX
	OUTB
stop:
	HLT
	JMP	stop

TEXT ·params(SB), NOSPLIT|NOFRAME, $0
	HARNESS_BLOCK

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
