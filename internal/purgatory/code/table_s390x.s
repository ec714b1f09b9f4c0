//go:build purgatory

#define D32(x) WORD x
#define BIG_ENDIAN
#include "textflag.h"
#include "params.h"
#include "sha256.h"
#include "memory_s390x.h"

TEXT ·constants(SB), NOSPLIT|NOFRAME, $0
	SHA256_K

TEXT ·initial(SB), NOSPLIT|NOFRAME, $0
	SHA256_H

TEXT ·params(SB), NOSPLIT|NOFRAME, $0
	PARAMS_BLOCK(MEMSIZE)

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	BR	(R14)
