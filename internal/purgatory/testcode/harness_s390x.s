//go:build purgatory

#define D32(x) WORD x
#define BIG_ENDIAN
#include "textflag.h"
#include "harness.h"

// entry and kernel would be those of a bare machine: crashes of real kernels stand for it.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	BR	·user(SB)

// user: a process's first instruction. Calls verify, writes memory to standard
// output, exits with what verify returned, or 99 if a register that it has to keep came back wrong.
TEXT ·user(SB), NOSPLIT|NOFRAME, $0
	MOVD	$·params(SB), R7
	ADD	$-176, R15
	MOVD	R15, 160(R15)
	MOVD	R15, R8
	MOVD	H_BLOB(R7), R2
	MOVD	H_VERIFY(R7), R1
	BL	(R1)
	MOVD	R2, R9
	MOVD	$·params(SB), R1
	CMPBNE	R1, R7, wrong
	CMPBNE	R15, R8, wrong
	MOVD	160(R15), R1
	CMPBEQ	R15, R1, good
wrong:
	MOVD	$99, R9
good:
	MOVD	H_DUMP(R7), R3
	MOVD	H_DUMPLEN(R7), R4
	MOVD	$1, R2
	MOVD	$4, R1	// write
	SYSCALL
	MOVD	R9, R2
	MOVD	$248, R1	// exit_group
	SYSCALL

TEXT ·kernel(SB), NOSPLIT|NOFRAME, $0
	BR	(R14)

TEXT ·params(SB), NOSPLIT|NOFRAME, $0
	HARNESS_BLOCK

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	BR	(R14)
