//go:build purgatory

#define D32(x) WORD x
#include "textflag.h"
#include "harness.h"

#define UART   0x10000000
#define FINISH 0x00100000

// entry: S-mode, from OpenSBI: X10 = hart, X11 = device tree.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOV	$·params(SB), X5
	MOV	H_BLOB(X5), X5
	MOV	$0x12345678, X11
	MOV	$-1, X2
	JMP	(X5)

// user: a process's first instruction. Calls verify, writes memory to standard
// output, exits with what verify returned, or 99 if SP came back wrong.
TEXT ·user(SB), NOSPLIT|NOFRAME, $0
	MOV	$·params(SB), X5
	MOV	H_BLOB(X5), X10
	MOV	H_VERIFY(X5), X6
	SUB	$16, X2
	MOV	X2, 0(X2)
	CALL	X6
	MOV	0(X2), X6
	MOV	X10, X9
	BEQ	X6, X2, good
	MOV	$99, X9
good:
	MOV	$·params(SB), X5
	MOV	H_DUMP(X5), X11
	MOV	H_DUMPLEN(X5), X12
	MOV	$1, X10
	MOV	$64, X17	// write
	ECALL
	MOV	X9, X10
	MOV	$94, X17	// exit_group
	ECALL

// kernel: writes the registers that it was entered with, 4 of them, and memory to
// the serial port, and stops the machine.
TEXT ·kernel(SB), NOSPLIT|NOFRAME, $0
	MOV	X2, X5
	SUB	$32, X2
	MOV	$0x4b4f4b4f, X6	// "OKOK"
	MOV	X6, 0(X2)
	MOV	X10, 8(X2)
	MOV	X11, 16(X2)
	MOV	X5, 24(X2)
	MOV	X2, X6
	MOV	$32, X7
	CALL	·send(SB)
	MOV	$·params(SB), X5
	MOV	H_DUMP(X5), X6
	MOV	H_DUMPLEN(X5), X7
	CALL	·send(SB)
	MOV	$FINISH, X5
	MOV	$0x5555, X6
	MOVW	X6, (X5)
stop:
	JMP	stop

// send writes X7 bytes at X6 to the UART. Clobbers X6 to X9.
TEXT ·send(SB), NOSPLIT|NOFRAME, $0
	MOV	$UART, X8
next:
	BEQZ	X7, done
wait:
	MOVBU	5(X8), X9
	AND	$0x20, X9
	BEQZ	X9, wait
	MOVBU	(X6), X9
	MOVB	X9, (X8)
	ADD	$1, X6
	SUB	$1, X7
	JMP	next
done:
	RET

TEXT ·params(SB), NOSPLIT|NOFRAME, $0
	HARNESS_BLOCK

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
