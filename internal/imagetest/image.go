package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Banner is what a kernel of the given release holds in its data.
func Banner(release string) []byte {
	return fmt.Appendf(nil, "Linux version %s (root@localhost) (gcc) #1 SMP\n\x00", release)
}

// ARM64 is an arm64 Image.
type ARM64 struct {
	TextOffset uint64
	ImageSize  uint64
	Flags      uint64
	Body       []byte // after the header of 64 bytes
	EFIStub    bool
}

// GoodARM64 returns a little-endian arm64 Image with 4 KiB pages that may lie
// anywhere, of 64 KiB, with a banner of release 6.12.9-gokexec.
func GoodARM64() ARM64 {
	body := Filler(64 << 10)
	copy(body[40<<10:], Banner("6.12.9-gokexec"))
	return ARM64{ImageSize: 0x80000, Flags: 0x0a, Body: body, EFIStub: true}
}

// Bytes returns the file.
func (a ARM64) Bytes() []byte {
	b := imageHeader(a.TextOffset, a.ImageSize, a.Flags, "ARM\x64")
	le.PutUint32(b, 0xfa405a4d) // "MZ@.", ccmp x18, #0, #0xd, pl
	if !a.EFIStub {
		le.PutUint32(b, 0xd503201f) // nop
	}
	le.PutUint32(b[4:], 0x14000000) // b .
	return imageWithBody(b, a.Body, 0xaa64, a.EFIStub)
}

// RISCV is a riscv Image.
type RISCV struct {
	TextOffset uint64
	ImageSize  uint64
	Flags      uint64
	Version    uint32
	Body       []byte
	EFIStub    bool
}

// GoodRISCV returns a riscv64 Image with header version 0.2.
func GoodRISCV() RISCV {
	body := Filler(32 << 10)
	copy(body[20<<10:], Banner("6.12.9-gokexec"))
	return RISCV{TextOffset: 0x200000, ImageSize: 0x40000, Version: 2, Body: body, EFIStub: true}
}

// Bytes returns the file.
func (r RISCV) Bytes() []byte {
	b := imageHeader(r.TextOffset, r.ImageSize, r.Flags, "RSC\x05")
	le.PutUint32(b, 0x106f5a4d) // "MZ"
	if !r.EFIStub {
		le.PutUint32(b, 0x0000006f) // j .
	}
	le.PutUint32(b[32:], r.Version)
	copy(b[0x30:], "RISCV\x00\x00\x00")
	return imageWithBody(b, r.Body, 0x5064, r.EFIStub)
}

// LoongArch returns a loongarch64 PE Image that needs imageSize bytes.
func LoongArch(imageSize uint64, body []byte) []byte {
	b := imageHeader(0x204000, imageSize, 0x200000, "\xcd\x23\x82\x81")
	le.PutUint32(b, 0x5a4d)
	return imageWithBody(b, body, 0x6264, true)
}

func imageHeader(textOffset, imageSize, flags uint64, magic string) []byte {
	b := make([]byte, 64)
	le.PutUint64(b[8:], textOffset)
	le.PutUint64(b[16:], imageSize)
	le.PutUint64(b[24:], flags)
	copy(b[0x38:], magic)
	return b
}

func imageWithBody(head, body []byte, machine uint16, stub bool) []byte {
	if !stub {
		return append(head, body...)
	}
	le.PutUint32(head[0x3c:], 0x40)
	b := make([]byte, 0x1000)
	copy(b, head)
	peHeader(b[0x40:], machine, 0xa0, []peSection{{".text", uint32(len(body)), uint32(len(body)), uint32(len(b))}})
	return append(b, body...)
}

// ARMzImage returns a 32-bit ARM zImage in the given byte order.
func ARMzImage(order binary.ByteOrder, body []byte) []byte {
	b := make([]byte, 0x40)
	order.PutUint32(b[0x24:], 0x016f2818)
	order.PutUint32(b[0x2c:], uint32(len(b)+len(body)))
	order.PutUint32(b[0x30:], 0x04030201)
	return append(b, body...)
}

// S390 returns an s390 image with its S390EP mark.
func S390() []byte {
	b := Filler(0x12000)
	copy(b[0x10008:], "S390EP")
	binary.BigEndian.PutUint64(b[0x10430:], 4096) // max_command_line_size
	return b
}

// UImage returns a legacy image of U-Boot, of type typ (2 is a kernel) and
// compression comp.
func UImage(payload []byte, typ, comp byte) []byte {
	be := binary.BigEndian
	b := make([]byte, 64, 64+len(payload))
	be.PutUint32(b, 0x27051956)
	be.PutUint32(b[12:], uint32(len(payload)))
	be.PutUint32(b[24:], crc32.ChecksumIEEE(payload))
	b[28], b[29], b[30], b[31] = 5, 22, typ, comp // Linux, arm64
	copy(b[32:], "Linux-6.12.9-gokexec")
	be.PutUint32(b[4:], crc32.ChecksumIEEE(b))
	return append(b, payload...)
}

// ELF is an ELF64 kernel.
type ELF struct {
	Order   binary.ByteOrder
	Type    elf.Type
	Machine elf.Machine
	Entry   uint64
	Progs   []elf.Prog64
	Data    []byte // at file offset 0x1000
}

// GoodELF returns a vmlinux for the machine, with 8 KiB of text at physical
// address 0x1000000 and 4 KiB of data after it that take 16 KiB.
func GoodELF(machine elf.Machine, order binary.ByteOrder) ELF {
	data := Filler(12 << 10)
	copy(data[4<<10:], Banner("6.12.9-gokexec"))
	const virt = 0xffffffff80000000
	return ELF{
		Order: order, Type: elf.ET_EXEC, Machine: machine, Entry: 0x1000100, Data: data,
		Progs: []elf.Prog64{
			{Type: uint32(elf.PT_LOAD), Flags: 5, Off: 0x1000, Vaddr: virt + 0x1000000, Paddr: 0x1000000, Filesz: 0x2000, Memsz: 0x2000, Align: 0x200000},
			{Type: uint32(elf.PT_LOAD), Flags: 6, Off: 0x3000, Vaddr: virt + 0x1200000, Paddr: 0x1200000, Filesz: 0x1000, Memsz: 0x4000, Align: 0x200000},
			{Type: uint32(elf.PT_NOTE), Flags: 4, Off: 0x1000, Filesz: 0x40},
		},
	}
}

// Bytes returns the file.
func (e ELF) Bytes() []byte {
	h := elf.Header64{
		Type: uint16(e.Type), Machine: uint16(e.Machine), Version: 1, Entry: e.Entry,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(e.Progs)),
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), 1
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	if e.Order.String() == binary.BigEndian.String() {
		h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	var w bytes.Buffer
	for _, v := range []any{h, e.Progs} {
		if err := binary.Write(&w, e.Order, v); err != nil {
			panic(err) // fixed-size values into memory
		}
	}
	b := make([]byte, 0x1000, 0x1000+len(e.Data))
	copy(b, w.Bytes())
	return append(b, e.Data...)
}
