//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package kexecsys

import "golang.org/x/sys/unix"

// FileLoadSupported says whether this architecture has kexec_file_load at all.
const FileLoadSupported = true

func kexecFileLoad(kernelFD, initrdFD int, cmdline string, flags int) error {
	return unix.KexecFileLoad(kernelFD, initrdFD, cmdline, flags)
}
