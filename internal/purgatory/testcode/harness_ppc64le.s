//go:build purgatory

#define D32(x) WORD x
#include "textflag.h"
#include "harness.h"

#define BCL_NEXT WORD $0x429f0005 // bcl 20,31,.+4

#define O_PARAMS 0x10
#define O_USER   0x50

// entry and kernel would be those of a bare machine: crashes of real kernels stand for it.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	BR	·user(SB)
	D32($0); D32($0); D32($0)
	HARNESS_BLOCK

// user: a process's first instruction. Calls verify, writes memory to standard
// output, exits with what verify returned, or 99 if a register that it has to keep came back wrong.
TEXT ·user(SB), NOSPLIT|NOFRAME, $0
	BCL_NEXT
	MOVD	LR, R28
	ADD	$(O_PARAMS-O_USER-4), R28
	ADD	$-64, R1
	MOVD	R1, 32(R1)
	MOVD	R1, R27
	MOVD	R28, R20
	MOVD	H_BLOB(R28), R3
	MOVD	H_VERIFY(R28), R4
	MOVD	R4, CTR
	BL	(CTR)
	MOVD	R3, R29
	CMP	R1, R27
	BNE	wrong
	CMP	R28, R20
	BNE	wrong
	MOVD	32(R1), R4
	CMP	R1, R4
	BEQ	good
wrong:
	MOVD	$99, R29
good:
	MOVD	$1, R3
	MOVD	H_DUMP(R28), R4
	MOVD	H_DUMPLEN(R28), R5
	MOVD	$4, R0	// write
	SYSCALL
	MOVD	R29, R3
	MOVD	$234, R0	// exit_group
	SYSCALL

TEXT ·kernel(SB), NOSPLIT|NOFRAME, $0
	RET

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
