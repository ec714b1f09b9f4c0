package plan

import "github.com/gokexec/gokexec/internal/kexecsys"

// The types of the two system calls.
type (
	FileFlags     = kexecsys.FileFlags
	LoadFlags     = kexecsys.LoadFlags
	KernelSegment = kexecsys.Segment
)

// Flags of kexec_file_load (include/uapi/linux/kexec.h).
const (
	FileUnload      = kexecsys.FileUnload
	FileOnCrash     = kexecsys.FileOnCrash
	FileNoInitramfs = kexecsys.FileNoInitramfs
	FileDebug       = kexecsys.FileDebug    // 6.8: segments and command line to the kernel log
	FileNoCMA       = kexecsys.FileNoCMA    // 6.17: don't place segments in CMA
	FileForceDTB    = kexecsys.FileForceDTB // 6.18, x86: hand the boot device tree on
)

// Flags of kexec_load (include/uapi/linux/kexec.h).
const (
	LoadOnCrash          = kexecsys.LoadOnCrash          // into the crash region, for a panic
	LoadUpdateElfcorehdr = kexecsys.LoadUpdateElfcorehdr // 6.6: the kernel may rewrite the elfcorehdr
	LoadHotplugSupport   = kexecsys.LoadHotplugSupport   // 6.10: the same, for every architecture that can
)
