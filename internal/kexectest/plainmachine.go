package kexectest

import (
	"debug/elf"
	"testing"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// IomemS390 is QEMU's machine s390-ccw-virtio with 768 MiB, Linux 7.3, 128 MiB of crash memory, which is no part of the
// System RAM there.
const IomemS390 = `00000000-2006ffff : System RAM
  00100000-008c1fff : Kernel code
  008c2000-00cd1fff : Kernel data
  00d51000-00e6efff : Kernel bss
20100000-280fffff : Crash kernel
28100000-2fffffff : System RAM
`

// IomemLoongArch is QEMU's machine virt of loongarch64 with UEFI, 2 GiB, Linux 7.2, 512 MiB of crash memory.
const IomemLoongArch = `00000000-0fffffff : System RAM
  00000000-001fffff : Reserved
  00200000-0143ffff : Kernel code
  01440000-01a0ffff : Kernel data
  01a10000-01b3c7ff : Kernel bss
  0fc00000-0fffffff : Reserved
40000000-7fffffff : PCI ECAM
80000000-efffffff : System RAM
  a0000000-bfffffff : Crash kernel
  ed800000-efffffff : Reserved
`

// NewS390Machine is an s390x machine.
func NewS390Machine(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), arch: mapping{machine: elf.EM_S390}}
	m.Write("proc/iomem", IomemS390)
	m.writeCommon()
	m.Write("proc/cpuinfo", "vendor_id       : IBM/S390\n")
	m.WriteCPU(0, 0x2ffe4600)
	m.Write("sys/kernel/vmcoreinfo", "0x2fe5e000 1024\n")
	m.WriteKcore(memmap.Range{Start: 0, End: 0x20070000}, memmap.Range{Start: 0x20100000, End: 0x28100000}, memmap.Range{Start: 0x28100000, End: 0x30000000})
	return m
}

// NewLoongArchMachine is a loongarch64 machine, with pages of 16 KiB.
func NewLoongArchMachine(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), arch: mapping{machine: elf.EM_LOONGARCH, direct: 0x9000000000000000, page: 16 << 10,
		info: "OSRELEASE=6.12.1\nPAGESIZE=16384\n"}}
	m.Write("proc/iomem", IomemLoongArch)
	m.writeCommon()
	m.Write("proc/cpuinfo", "system type\t\t: generic-loongson-machine\nprocessor\t\t: 0\n\n")
	m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n")
	m.WriteCPU(0, 0xeffe4600)
	m.Write("sys/kernel/vmcoreinfo", "0xefe5c000 4024\n")
	m.WriteKcore(memmap.Range{Start: 0, End: 0x10000000}, memmap.Range{Start: 0x80000000, End: 0xf0000000})
	return m
}
