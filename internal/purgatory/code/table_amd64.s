//go:build purgatory

#define D32(x) LONG x
#include "textflag.h"
#include "params.h"
#include "sha256.h"
#include "memory_amd64.h"

// Flat 64-bit code and data at BOOT_CS and BOOT_DS, accessed bits set.
TEXT ·gdt(SB), NOSPLIT|NOFRAME, $0
	QUAD	$0
	QUAD	$0
	QUAD	$0x00af9b000000ffff
	QUAD	$0x00cf93000000ffff

TEXT ·byteswap(SB), NOSPLIT|NOFRAME, $0
	QUAD	$0x0405060700010203
	QUAD	$0x0c0d0e0f08090a0b

TEXT ·constants(SB), NOSPLIT|NOFRAME, $0
	SHA256_K

TEXT ·initial(SB), NOSPLIT|NOFRAME, $0
	SHA256_H

TEXT ·params(SB), NOSPLIT|NOFRAME, $0
	PARAMS_BLOCK(MEMSIZE)

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
