package kexectest

import (
	"debug/elf"
	"fmt"
	"testing"

	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// IomemARM64 is QEMU's machine virt with 512 MiB, Linux 6.12, 128 MiB of crash
// memory.
const IomemARM64 = `09000000-09000fff : pl011@9000000
10000000-3efeffff : pcie@10000000
40000000-5fffffff : System RAM
  40200000-41a9ffff : Kernel code
  41aa0000-41cbffff : reserved
  41cc0000-4206ffff : Kernel data
  48000000-4a616fff : reserved
  4a800000-4a8fffff : reserved
  53600000-5b5fffff : Crash kernel
  5b600000-5fdfffff : reserved
  5ff0a000-5fffffff : reserved
4010000000-401fffffff : PCI ECAM
`

// IomemRISCV is the same of riscv64.
const IomemRISCV = `10000000-100000ff : serial
30000000-3fffffff : PCI ECAM
80000000-9fffffff : System RAM
  80000000-8007ffff : Reserved
  80200000-80201fff : Reserved
  80202000-8206a337 : Kernel image
    80202000-80c76977 : Kernel code
    81200000-81bfffff : Kernel rodata
    81e00000-81fb8dff : Kernel data
    81fb9000-8206a337 : Kernel bss
  8206a338-821fffff : Reserved
  95400000-9d3fffff : Crash kernel
  9d400000-9fe01fff : Reserved
400000000-7ffffffff : pci@30000000
`

// VABits choose between the page tables of arm64.
type VABits int

// The sizes of the virtual address space.
const (
	VA48 VABits = 48
	VA52 VABits = 52
)

// NewARM64Machine is an arm64 machine with a device tree, with pages of that size
// in bytes.
func NewARM64Machine(t testing.TB, page uint64, va VABits) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), arch: mapping{machine: elf.EM_AARCH64, direct: -(uint64(1) << va) - 0x40000000, ramBase: 0x40000000, page: page,
		info: fmt.Sprintf("OSRELEASE=6.12.1\nPAGESIZE=%d\nNUMBER(VA_BITS)=%d\nNUMBER(kimage_voffset)=0xffff80003fe00000\n", page, va)}}
	m.Write("proc/iomem", IomemARM64)
	m.writeCommon()
	m.Write("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd sha2\n\n")
	m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n")
	m.Write("sys/class/tty/ttyAMA0/iomem_base", "0x9000000\n")
	m.Write("sys/class/tty/ttyAMA0/type", "32\n")
	m.Write("sys/class/tty/ttyAMA0/io_type", "2\n")
	m.WriteCPU(0, 0x5fee1c00)
	m.Write("sys/kernel/vmcoreinfo", fmt.Sprintf("0x4a9da000 %x\n", page+36))
	m.WriteKcore(memmap.Range{Start: 0x40000000, End: 0x60000000})
	m.WriteTree(virtTree("memory@40000000", 0x40000000, 0x20000000))
	return m
}

// NewRISCVMachine is the same of riscv64, with firmware that marks its memory as
// old versions do.
func NewRISCVMachine(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), arch: mapping{machine: elf.EM_RISCV, direct: 0xff60000000000000 - 0x80000000, ramBase: 0x80000000,
		info: "OSRELEASE=6.12.1\nPAGESIZE=4096\nNUMBER(va_kernel_pa_offset)=0xfffffffeffe00000\n"}}
	m.Write("proc/iomem", IomemRISCV)
	m.writeCommon()
	m.Write("proc/cpuinfo", "processor\t: 0\nhart\t\t: 0\n\n")
	m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n")
	m.WriteCPU(0, 0x9ffe4600)
	m.Write("sys/kernel/vmcoreinfo", "0x9fe5e000 1024\n")
	m.WriteKcore(memmap.Range{Start: 0x80000000, End: 0xa0000000})
	tree := virtTree("memory@80000000", 0x80000000, 0x20000000)
	reserved := tree.Root.Make("reserved-memory")
	for _, n := range []string{"#address-cells", "#size-cells"} {
		reserved.Set(n, []byte{0, 0, 0, 2})
		m.Write("sys/firmware/devicetree/base/reserved-memory/"+n, "\x00\x00\x00\x02")
	}
	reg, _ := fdt.Cells{Addr: 2, Size: 2}.Append(nil, 0x80000000, 0x80000)
	reserved.Make("mmode_resv0@80000000").Set("reg", reg)
	m.Write("sys/firmware/devicetree/base/reserved-memory/mmode_resv0@80000000/reg", string(reg))
	m.WriteTree(tree)
	return m
}

// WriteTree writes /sys/firmware/fdt.
func (m *Machine) WriteTree(tree *fdt.Tree) {
	m.t.Helper()
	b, err := tree.AppendBinary(nil)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Write("sys/firmware/fdt", string(b))
}

// virtTree is a device tree as a boot loader leaves it: with an initrd, and seeds
// of which the kernel has wiped one.
func virtTree(memory string, start, size uint64) *fdt.Tree {
	root := &fdt.Node{}
	root.Set("#address-cells", []byte{0, 0, 0, 2})
	root.Set("#size-cells", []byte{0, 0, 0, 2})
	root.SetString("compatible", "linux,dummy-virt")
	n := root.Make(memory)
	n.SetString("device_type", "memory")
	reg, _ := fdt.Cells{Addr: 2, Size: 2}.Append(nil, start, size)
	n.Set("reg", reg)
	chosen := root.Make("chosen")
	chosen.SetString("bootargs", "root=/dev/vda1 crashkernel=128M")
	chosen.SetString("stdout-path", "/pl011@9000000")
	chosen.SetUint64("linux,initrd-start", start+0x8000000)
	chosen.SetUint64("linux,initrd-end", start+0x8400000)
	chosen.SetUint64("kaslr-seed", 0)
	return &fdt.Tree{Root: root, Reserved: []fdt.Reservation{{Addr: start + 0x8000000, Size: 0x400000}}}
}
