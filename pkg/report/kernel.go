package report

import (
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// utsLength is the length of each string of struct new_utsname (include/uapi/linux/utsname.h).
const utsLength = 65

// info fills in what VMCOREINFO says of the kernel, and its name.
func (m *maker) info() error {
	mem, err := vmcore.NewReader(vmcore.NewCache(m.dump, cacheSize))
	if err != nil {
		return err
	}
	m.mem = mem
	k := &m.report.Kernel
	k.Release = mem.Info.OSRelease
	k.BuildID, _ = mem.Info.Lookup("BUILD-ID")
	if at := clock(mem.Info.CrashTime.Unix()); !mem.Info.CrashTime.IsZero() && !at.IsZero() {
		k.CrashTime = &at
	}
	uts, ok := mem.Info.Symbol("init_uts_ns")
	offset, ok2 := mem.Info.Offset("uts_namespace.name")
	if !ok || !ok2 {
		return nil
	}
	// sysname, nodename, release, version, machine
	var names [5 * utsLength]byte
	if err := mem.Bytes(names[:], uts+offset, "init_uts_ns"); err != nil {
		return err
	}
	k.Version = vmcore.CString(names[3*utsLength : 4*utsLength])
	k.Machine = vmcore.CString(names[4*utsLength:])
	return nil
}

// clock is a time by the kernel's clock, zero where it is garbage: before 1970, or not of four digits.
func clock(sec int64) time.Time {
	if sec < 0 || sec > 253402300799 {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// maxCommandLine bounds the command line, in bytes; no architecture has more (COMMAND_LINE_SIZE).
const maxCommandLine = 4096

// variables fills in what only its symbol table tells of the kernel.
func (m *maker) variables() error {
	k := &m.report.Kernel
	addr, err := m.symbol("saved_command_line")
	if err != nil {
		return err
	}
	if addr, err = m.mem.Ulong(addr, "saved_command_line"); err == nil {
		var line string
		if line, err = m.mem.Text(addr, maxCommandLine, "saved_command_line"); err == nil {
			k.Cmdline = line
		}
	}
	if at, err2 := m.symbol("dump_stack_arch_desc_str"); err2 == nil {
		if text, err2 := m.mem.Text(at, 128, "dump_stack_arch_desc_str"); err2 == nil {
			k.Hardware = text
		}
	}
	if mask, ok := m.number("tainted_mask", 8); ok {
		k.Taint = taintLetters(mask)
	}
	return err
}
