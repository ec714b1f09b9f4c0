//go:build purgatory

#define D32(x) WORD x
#include "textflag.h"
#include "params.h"
#include "sha256.h"
#include "memory_arm64.h"

// Addresses are taken with ADR, within one symbol: the assembler's own way to
// name another symbol, ADRP, would tie the code to its place in a 4 KiB page.
TEXT ·constantsAddr(SB), NOSPLIT|NOFRAME, $0
	ADR	table, R0
	RET
	WORD	$0
	WORD	$0
table:
	SHA256_K

TEXT ·initialAddr(SB), NOSPLIT|NOFRAME, $0
	ADR	table, R0
	RET
	WORD	$0
	WORD	$0
table:
	SHA256_H

TEXT ·paramsAddr(SB), NOSPLIT|NOFRAME, $0
	ADR	table, R0
	RET
	WORD	$0
	WORD	$0
table:
	PARAMS_BLOCK(MEMSIZE)

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
