package kexectest

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/pkg/fdt"
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

// IomemPPC64 is QEMU's machine pseries with 1 GiB, Linux 7.2; 320 MiB of crash memory are told by the device tree only.
const IomemPPC64 = `00000000-3fffffff : System RAM
`

// NewPPC64Machine is a ppc64le machine: a logical partition, with RTAS in the crash memory, and memory that was added to
// the 768 MiB that it has started with.
func NewPPC64Machine(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), arch: mapping{machine: elf.EM_PPC64, direct: 0xc000000000000000,
		text: ^uint64(0), textSize: 1 << 20, textVirt: 0xc008000000000000}} // the vmalloc area, which has no physical address
	m.Write("proc/iomem", IomemPPC64)
	m.writeCommon()
	m.Write("proc/cpuinfo", "processor\t: 0\ncpu\t\t: POWER9 (architected), altivec supported\n\n")
	m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n")
	m.WriteCPU(0, 0x3f6f7800)
	m.WriteCPU(1, 0x3f720800)
	m.Write("sys/kernel/vmcoreinfo", "0x7530000 1024\n")
	m.WriteKcore(memmap.Range{Start: 0, End: 0x40000000})
	m.writeTreeDirectory(PPC64Tree())
	return m
}

// PPC64Tree is the device tree of such a machine.
func PPC64Tree() *fdt.Node {
	be := binary.BigEndian
	cell := func(v uint32) []byte { return be.AppendUint32(nil, v) }
	root := &fdt.Node{}
	root.Set("#address-cells", cell(2))
	root.Set("#size-cells", cell(2))
	root.SetString("compatible", "qemu,pseries")
	chosen := root.Make("chosen")
	chosen.SetString("bootargs", "root=/dev/vda1 crashkernel=320M")
	chosen.SetUint64("linux,kernel-end", 0x2af0000)
	chosen.SetUint64("linux,crashkernel-base", 0x20000000)
	chosen.SetUint64("linux,crashkernel-size", 0x14000000)
	chosen.SetUint64("linux,memory-limit", 0x30000000)
	rtas := root.Make("rtas")
	rtas.Set("linux,rtas-base", cell(0x2ffff000))
	rtas.Set("rtas-size", cell(0x85c))
	memory := root.Make("memory@0")
	memory.SetString("device_type", "memory")
	memory.Set("reg", be.AppendUint64(be.AppendUint64(nil, 0), 0x30000000))
	blocks := root.Make("ibm,dynamic-reconfiguration-memory")
	blocks.SetUint64("ibm,lmb-size", 0x10000000)
	group := func(count uint32, base uint64, flags uint32) []byte {
		return append(be.AppendUint64(cell(count), base), slices.Concat(cell(0x80000003), cell(0), cell(flags))...)
	}
	blocks.Set("ibm,dynamic-memory-v2", slices.Concat(cell(2), group(1, 0x30000000, 8), group(4, 0x40000000, 0)))
	cpus := root.Make("cpus")
	cpu := cpus.Make("PowerPC,POWER9@0")
	cpu.SetString("device_type", "cpu")
	cpu.Set("ibm,ppc-interrupt-server#s", cell(0))
	return root
}

// writeTreeDirectory writes a tree as the kernel shows it in /sys/firmware/devicetree/base.
func (m *Machine) writeTreeDirectory(root *fdt.Node) {
	var write func(dir string, n *fdt.Node)
	write = func(dir string, n *fdt.Node) {
		for _, p := range n.Properties {
			m.Write(dir+"/"+p.Name, string(p.Value))
		}
		for _, c := range n.Children {
			write(dir+"/"+c.Name, c)
		}
	}
	write("sys/firmware/devicetree/base", root)
}
