package kexecsys

import "golang.org/x/sys/unix"

// A compat caller must name an architecture (kernel/kexec.c, COMPAT kexec_load).
const nativeArch LoadFlags = unix.KEXEC_ARCH_ARM
