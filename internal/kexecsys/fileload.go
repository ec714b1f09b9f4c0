//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package kexecsys

import "golang.org/x/sys/unix"

func kexecFileLoad(kernelFD, initrdFD int, cmdline string, flags int) error {
	return unix.KexecFileLoad(kernelFD, initrdFD, cmdline, flags)
}
