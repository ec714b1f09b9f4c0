//go:build purgatory

#include "textflag.h"

TEXT ·end(SB), NOSPLIT|NOFRAME, $0
	RET
