package report

import "github.com/gokexec/gokexec/pkg/vmcore"

// utsLength is the length of each string of struct new_utsname (include/uapi/linux/utsname.h).
const utsLength = 65

// kernel fills in what VMCOREINFO says of the kernel, and its name.
func (m *maker) kernel(dump vmcore.Memory) error {
	k := &m.report.Kernel
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
	// sysname, nodename, release, version, machine
	var names [5 * utsLength]byte
	if _, err := dump.ReadVirtAt(names[:], uts+offset); err != nil {
		return &vmcore.ReadError{What: "init_uts_ns", Err: err}
	}
	k.Version = vmcore.CString(names[3*utsLength : 4*utsLength])
	k.Machine = vmcore.CString(names[4*utsLength:])
	return nil
}
