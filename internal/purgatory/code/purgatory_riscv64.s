//go:build purgatory

#include "textflag.h"
#include "params.h"
#include "memory_riscv64.h"

// What the Go assembler has no name for (RISC-V privileged architecture).
#define CSRCI_SSTATUS_SIE WORD $0x10017073
#define CSRW_SIE_ZERO     WORD $0x10401073
#define WFI               WORD $0x10500073

// entry: S-mode, satp = 0, X10 (a0) = hart, X11 (a1) = device tree: all as the
// kernel wants it (riscv_kexec_norelocate), so both are kept.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	CSRCI_SSTATUS_SIE
	CSRW_SIE_ZERO
	MOV	$·entry(SB), X2
	MOV	$MEMSIZE, X5
	ADD	X5, X2
	SUB	$16, X2
	MOV	X10, 0(X2)
	MOV	X11, 8(X2)
	MOV	$·params(SB), X10
	CALL	·verify(SB)
	BNEZ	X10, mismatch
	MOV	$·params(SB), X5
	MOV	P_ENTRY(X5), X6
	MOV	P_ARG(X5), X7
	MOV	0(X2), X10
	MOV	8(X2), X11
	BEQZ	X7, enter
	MOV	X7, X11
enter:
	JMP	(X6)

mismatch:
	MOV	$·params(SB), X10
	CALL	·puts(SB)
stop:
	WFI
	JMP	stop

// puts writes the mismatch text to the UART, or the firmware's console, that the
// parameters at X10 name, if they name one.
TEXT ·puts(SB), NOSPLIT|NOFRAME, $0
	MOV	P_SER_ADDR(X10), X5
	MOVWU	P_SER_KIND(X10), X6
	ADD	$P_MISMATCH, X10, X7
	MOV	$SERIAL_8250_MMIO, X8
	MOV	$SERIAL_8250_MMIO32, X9
	MOV	$SERIAL_SBI, X12
next:
	MOVBU	(X7), X10
	BEQZ	X10, done
	ADD	$1, X7
	BEQ	X6, X12, sbi
	// Wait for LSR.THRE, but not for ever: it may be a wrong guess.
	MOV	$0x40000, X13
	BEQ	X6, X8, byte
	BNE	X6, X9, done
word:
	MOVWU	20(X5), X14
	AND	$0x20, X14
	BNEZ	X14, sendWord
	SUB	$1, X13
	BNEZ	X13, word
sendWord:
	MOVW	X10, (X5)
	JMP	next
byte:
	MOVBU	5(X5), X14
	AND	$0x20, X14
	BNEZ	X14, sendByte
	SUB	$1, X13
	BNEZ	X13, byte
sendByte:
	MOVB	X10, (X5)
	JMP	next
sbi:
	// Legacy console putchar, extension 0x01: clobbers X10 only.
	MOV	$1, X17
	ECALL
	JMP	next
done:
	RET

// verify(X10 = parameters) hashes the regions, compares, and copies the backup
// region when all is well. Returns X10 = 0, or 1 on a mismatch. Clobbers
// everything but X2, X3 and X4. Callable in user mode.
//
// Stack: 0 hash (32), 32 X1, 40 parameters, 48 length, 56 next region, 64 regions
// left, 128 final block (64).
TEXT ·verify(SB), NOSPLIT|NOFRAME, $0
	SUB	$192, X2
	MOV	X1, 32(X2)
	MOV	X10, 40(X2)
	MOV	X0, 48(X2)
	MOV	P_FLAGS(X10), X5
	AND	$FLAG_SKIP_CHECKS, X5
	BNEZ	X5, copy

	ADD	$P_REGIONS, X10, X5
	MOV	X5, 56(X2)
	MOV	P_NREGIONS(X10), X5
	MOV	X5, 64(X2)
	MOV	$·initial(SB), X5
	MOV	0(X5), X6
	MOV	8(X5), X7
	MOV	16(X5), X8
	MOV	24(X5), X9
	MOV	X6, 0(X2)
	MOV	X7, 8(X2)
	MOV	X8, 16(X2)
	MOV	X9, 24(X2)
region:
	MOV	64(X2), X5
	BEQZ	X5, last
	SUB	$1, X5
	MOV	X5, 64(X2)
	MOV	56(X2), X6
	MOV	0(X6), X11
	MOV	8(X6), X12
	ADD	$16, X6
	MOV	X6, 56(X2)
	MOV	48(X2), X7
	ADD	X12, X7
	MOV	X7, 48(X2)
	BEQZ	X12, region
	MOV	X2, X10
	CALL	·sha256(SB)
	JMP	region

last:
	// Regions are whole blocks, so the padding is a block of its own.
	MOV	$0x80, X5
	MOV	X5, 128(X2)
	MOV	X0, 136(X2)
	MOV	X0, 144(X2)
	MOV	X0, 152(X2)
	MOV	X0, 160(X2)
	MOV	X0, 168(X2)
	MOV	X0, 176(X2)
	MOV	48(X2), X5
	SLL	$3, X5
	ADD	$191, X2, X6
	MOV	$8, X7
lenByte:
	MOVB	X5, (X6)
	SRL	$8, X5
	SUB	$1, X6
	SUB	$1, X7
	BNEZ	X7, lenByte
	MOV	X2, X10
	ADD	$128, X2, X11
	MOV	$64, X12
	CALL	·sha256(SB)

	MOV	X2, X5
	MOV	40(X2), X6
	ADD	$P_DIGEST, X6
	MOV	$8, X7
	MOV	$0, X10
word:
	// Byte 3 of the word first: the digest is big-endian.
	MOVBU	3(X5), X8
	MOVBU	0(X6), X9
	XOR	X8, X9
	OR	X9, X10
	MOVBU	2(X5), X8
	MOVBU	1(X6), X9
	XOR	X8, X9
	OR	X9, X10
	MOVBU	1(X5), X8
	MOVBU	2(X6), X9
	XOR	X8, X9
	OR	X9, X10
	MOVBU	0(X5), X8
	MOVBU	3(X6), X9
	XOR	X8, X9
	OR	X9, X10
	ADD	$4, X5
	ADD	$4, X6
	SUB	$1, X7
	BNEZ	X7, word
	BEQZ	X10, copy
	MOV	$1, X10
	JMP	return

copy:
	MOV	40(X2), X5
	MOV	P_BKP_SRC(X5), X6
	MOV	P_BKP_DST(X5), X7
	MOV	P_BKP_SIZE(X5), X8
	OR	X6, X7, X9
	OR	X8, X9
	AND	$7, X9
	BNEZ	X9, bytes
	BEQZ	X8, good
wide:
	MOV	(X6), X9
	MOV	X9, (X7)
	ADD	$8, X6
	ADD	$8, X7
	SUB	$8, X8
	BNEZ	X8, wide
	JMP	good
bytes:
	BEQZ	X8, good
	MOVBU	(X6), X9
	MOVB	X9, (X7)
	ADD	$1, X6
	ADD	$1, X7
	SUB	$1, X8
	JMP	bytes
good:
	MOV	$0, X10
return:
	MOV	32(X2), X1
	ADD	$192, X2
	RET
