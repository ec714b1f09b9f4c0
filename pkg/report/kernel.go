package report

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// utsLength is the length of each string of struct new_utsname (include/uapi/linux/utsname.h).
const utsLength = 65

// kernel fills in what VMCOREINFO says of the kernel, and its name.
func (m *maker) kernel(dump vmcore.Memory) error {
	k := &m.report.Kernel
	k.Machine = machineName(dump.Platform().Machine)
	info, err := dump.VMCoreInfo()
	if err != nil {
		return err
	}
	k.Release = info.OSRelease
	k.BuildID, _ = info.Lookup("BUILD-ID")
	if !info.CrashTime.IsZero() {
		at := info.CrashTime.UTC()
		k.CrashTime = &at
	}
	uts, ok := info.Symbol("init_uts_ns")
	offset, ok2 := info.Offset("uts_namespace.name")
	if !ok || !ok2 {
		return nil
	}
	// sysname, nodename, release, version
	var version [utsLength]byte
	if _, err := dump.ReadVirtAt(version[:], uts+offset+3*utsLength); err != nil {
		return &vmcore.ReadError{What: "init_uts_ns", Err: err}
	}
	k.Version = vmcore.CString(version[:])
	return nil
}

// machineName is uname -m.
func machineName(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86_64"
	case elf.EM_AARCH64:
		return "aarch64"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_PPC64:
		return "ppc64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_LOONGARCH:
		return "loongarch64"
	}
	return m.String()
}
