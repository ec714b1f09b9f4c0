package kexecsys

import (
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
)

// A compat caller must name an architecture (kernel/kexec.c, COMPAT kexec_load).
const nativeArch kexec.LoadFlags = unix.KEXEC_ARCH_ARM
