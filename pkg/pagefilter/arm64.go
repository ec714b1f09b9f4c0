package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// imageSpan is more than a kernel image takes from _stext on, and imageHead than it has before, in bytes.
const (
	imageSpan = 256 << 20
	imageHead = 2 << 20
)

// imageAround is where an image that begins a little before _stext may be.
func imageAround(_ *vmcore.VMCoreInfo, stext uint64) (first, last uint64, ok bool) {
	if stext < imageHead || stext > ^uint64(imageSpan) {
		return 0, 0, false
	}
	return stext - imageHead, stext + imageSpan, true
}

// arm64 has pages of 4, 16 and 64 KiB (arch/arm64/include/asm/sparsemem.h).
var arm64 = arch{
	machine: elf.EM_AARCH64,
	stackAt: 360, // pr_reg.sp of struct elf_prstatus
	sparse: func(v *vmcore.VMCoreInfo) (section, phys uint) {
		switch {
		case v.OSRelease != "" && before(v, 5, 12):
			return 30, 48
		case v.PageSize == 1<<16:
			return 29, 52
		}
		return 27, 48
	},
	image: imageAround,
}

// before reports whether the kernel is older than a version.
func before(v *vmcore.VMCoreInfo, major, minor uint32) bool {
	n, ok := kernelVersion(v.OSRelease)
	return ok && n < kernel(major, minor)
}
