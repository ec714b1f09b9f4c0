package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// SmallBzImage is a kernel that fits the fake machine of kexectest.
func SmallBzImage() BzImage {
	z := GoodBzImage()
	z.CmdlineSize = 2047
	z.InitSize = 40 << 20
	z.KernelAlignment = 2 << 20
	z.PrefAddress = 16 << 20
	return z
}

// SmallARM64 is an Image for arm64, changed by change unless that is nil.
func SmallARM64(change func(*ARM64)) []byte {
	a := ARM64{ImageSize: 0x470000, Flags: 0xa, Body: bytes.Repeat([]byte("kernel"), 10000)}
	if change != nil {
		change(&a)
	}
	return a.Bytes()
}

// SmallRISCV is an Image for riscv64.
func SmallRISCV() []byte {
	return RISCV{TextOffset: 0x200000, ImageSize: 0x46b000, Version: 2, Body: bytes.Repeat([]byte("kernel"), 10000)}.Bytes()
}

// VmlinuxOf is a vmlinux of which objcopy would make the image.
func VmlinuxOf(machine elf.Machine, image []byte, more ...elf.Prog64) []byte {
	e := GoodELF(machine, binary.LittleEndian)
	const virt, half = 0xffff800080000000, 0x4000
	e.Data = image
	e.Entry = virt
	e.Progs = append([]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: 5, Off: 0x1000, Vaddr: virt, Paddr: virt, Filesz: half, Memsz: half, Align: 0x10000},
		{Type: uint32(elf.PT_LOAD), Flags: 6, Off: 0x1000 + half, Vaddr: virt + half, Paddr: virt + half, Filesz: uint64(len(image)) - half, Memsz: 0x470000 - half, Align: 0x1000},
	}, more...)
	return e.Bytes()
}

// SmallVmlinux is an x86_64 vmlinux with a per-CPU part, whose virtual addresses
// begin at 0, and bss.
func SmallVmlinux() []byte {
	e := GoodELF(elf.EM_X86_64, binary.LittleEndian)
	e.Entry = 0x1000040
	copy(e.Data[0x2000:], "per-CPU\x00")
	copy(e.Data[0x2800:], "init")
	e.Progs = []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: 5, Off: 0x1000, Vaddr: 0xffffffff81000000, Paddr: 0x1000000, Filesz: 0x2000, Memsz: 0x2000, Align: 0x200000},
		{Type: uint32(elf.PT_LOAD), Flags: 6, Off: 0x3000, Vaddr: 0, Paddr: 0x1200000, Filesz: 0x800, Memsz: 0x1000, Align: 0x200000},
		{Type: uint32(elf.PT_LOAD), Flags: 7, Off: 0x3800, Vaddr: 0xffffffff81201000, Paddr: 0x1201000, Filesz: 0x800, Memsz: 0x300000, Align: 0x1000},
	}
	return e.Bytes()
}

// Initramfs is an initramfs with files of 4 bytes.
func Initramfs(names ...string) []byte { return Cpio(4, names...) }

// SmallPPC64 is a vmlinux for ppc64le that runs where it is loaded.
func SmallPPC64() []byte {
	e := GoodELF(elf.EM_PPC64, binary.LittleEndian)
	const virt, size = 0xc000000000000000, 0x20000
	e.Entry, e.Data = virt, Filler(size)
	copy(e.Data[0x5c:], "0nur") // __run_at_load
	copy(e.Data[0x8000:], Banner("6.12.9-gokexec"))
	e.Progs = []elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: 7, Off: 0x1000, Vaddr: virt, Filesz: size, Memsz: 0x300000, Align: 0x10000}}
	return e.Bytes()
}
