package bootimage

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// TestOpenRefuses: the message and the sentinel for what is no kernel, or no
// whole one.
func TestOpenRefuses(t *testing.T) {
	bz, arm64 := imagetest.GoodBzImage().Bytes(), imagetest.GoodARM64().Bytes()
	gz := imagetest.Compress(t, "gzip", arm64)
	vmlinux := func(change func(*imagetest.ELF)) []byte {
		e := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
		change(&e)
		return e.Bytes()
	}
	badUImage := imagetest.UImage(arm64, 2, 0)
	badUImage[len(badUImage)-1] ^= 1
	cpio := []byte("07070100000000000081A4000000000000000000000001")
	linux := imagetest.Section{Name: ".linux", Data: bz}
	tests := []struct {
		name    string
		file    []byte
		want    error
		message string // part of it
	}{
		{"empty", nil, ErrNotKernel, "not a Linux kernel image: the file is empty"},
		{"script", []byte("#!/bin/sh\nexit 0\n"), ErrNotKernel, "a script"},
		{"text", []byte("menuentry 'Debian' {\n}\n"), ErrNotKernel, "a text file"},
		{"zeroes", make([]byte, 8192), ErrNotKernel, "it begins with 4096 zero bytes"},
		{"cpio", cpio, ErrNotKernel, "a cpio archive (an initramfs)"},
		{"initrd.gz", imagetest.Compress(t, "gzip", cpio), ErrNotKernel, "in gzip: not a Linux kernel image: a cpio archive (an initramfs)"},
		{"initrd.zst", imagetest.Compress(t, "zstd", cpio), ErrNotKernel, "in zstd: not a Linux kernel image: a cpio archive"},
		{"data", imagetest.Filler(300), ErrNotKernel, "unknown data, it begins with 63 4d 1f 2b"},
		{"device tree", []byte("\xd0\x0d\xfe\xed\x00\x00"), ErrNotKernel, "a device tree blob or a U-Boot FIT image"},
		{"boot sector", append(make([]byte, 510), 0x55, 0xaa), ErrNotKernel, "a boot sector"},
		{"EFI program", imagetest.PE(0x8664, imagetest.Section{Name: ".text", Data: []byte{0xc3}}), ErrNotKernel, "a PE program (EFI application) without a .linux section"},
		{"half a PE header", imagetest.PE(0x8664)[:0x50], ErrNotKernel, "it begins like a PE program, but PE header: truncated"},
		{"ELF module", vmlinux(func(e *imagetest.ELF) { e.Type = elf.ET_REL }), ErrNotKernel, "an ELF relocatable object (a kernel module or .o file) for x86_64"},
		{"vmcore", vmlinux(func(e *imagetest.ELF) { e.Type = elf.ET_CORE }), ErrNotKernel, "an ELF core dump (a vmcore) for x86_64"},
		{"ELF program", vmlinux(func(e *imagetest.ELF) { e.Progs[2].Type = uint32(elf.PT_INTERP) }), ErrNotKernel, "an ELF program for x86_64 (it has a PT_INTERP)"},
		{"static ELF program", vmlinux(func(e *imagetest.ELF) { e.Progs[0].Vaddr, e.Progs[1].Vaddr = 0x400000, 0x600000 }), ErrNotKernel, "an ELF program for x86_64 (its addresses are all below 0x8000000000000000)"},
		{"shared library", vmlinux(func(e *imagetest.ELF) { e.Type, e.Progs[0].Vaddr, e.Progs[1].Vaddr = elf.ET_DYN, 0, 0x200000 }), ErrNotKernel, "an ELF program or shared library"},
		{"static ELF program for s390", vmlinux(func(e *imagetest.ELF) { e.Machine, e.Progs[2].Type = elf.EM_S390, uint32(elf.PT_PHDR) }), ErrNotKernel, "an ELF program for s390x (it has a PT_PHDR)"},
		{"ELF without PT_LOAD", vmlinux(func(e *imagetest.ELF) { e.Progs = e.Progs[2:] }), ErrNotKernel, "an ELF file without a PT_LOAD"},
		{"ELF without headers", vmlinux(func(e *imagetest.ELF) { e.Progs = nil }), ErrNotKernel, "an ELF file without program headers"},
		{"uImage of a ramdisk", imagetest.UImage(cpio, 3, 0), ErrNotKernel, "a U-Boot image (uImage) of type 3, a kernel has 2"},
		{"uImage, damaged", badUImage, ErrCorrupt, "uimage: corrupt: data checksum is"},
		{"five wrappings", imagetest.Compress(t, "gzip", imagetest.Compress(t, "gzip", imagetest.Compress(t, "gzip", imagetest.Compress(t, "gzip", gz)))), ErrNotKernel, "gzip inside 4 wrappings; at most 4 are unwrapped"},
		{"uki in uki", imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: imagetest.PE(0x8664, linux)}), ErrNotKernel, "a UKI inside a UKI"},
		{"uki, empty .linux", imagetest.PE(0x8664, imagetest.Section{Name: ".linux"}), ErrNotKernel, "section .linux is empty"},
		{"uki of text", imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: []byte("hello")}), ErrNotKernel, "in uki: not a Linux kernel image: a text file"},
		{"uki, cut", imagetest.PE(0x8664, linux)[:4096], ErrTruncated, "section .linux has"},
		{"bzImage, cut", bz[:len(bz)-1], ErrTruncated, "bzImage: truncated: 69631 bytes, the header says 69632 (setup 4096 and kernel 65536)"},
		{"bzImage, cut in the header", bz[:0x220], ErrTruncated, "the setup_header ends at 620"},
		{"arm64 Image, cut", arm64[:len(arm64)-1], ErrTruncated, "PE section .text has 0x10000 bytes at offset 0x1000"},
		{"vmlinux, cut", vmlinux(func(*imagetest.ELF) {})[:0x3800], ErrTruncated, "PT_LOAD 1 has 0x1000 bytes at offset 0x3000"},
		{"ARM zImage, cut", imagetest.ARMzImage(binary.LittleEndian, make([]byte, 64))[:100], ErrTruncated, "100 bytes, the header says 128"},
		{"Image.gz, cut", gz[:len(gz)/2], ErrTruncated, "gzip: truncated: the compressed data ends early"},
		{"Image.gz, damaged", damaged(gz), ErrCorrupt, "gzip: corrupt: "},
		{"zboot, cut", imagetest.Zboot(gz, "gzip", 0)[:1000], ErrTruncated, "zboot: truncated: 1000 bytes, the payload ends at"},
		{"zboot, unknown codec", imagetest.Zboot(gz, "brotli", 0), nil, `zboot: compression "brotli" is unknown`},
		{"zboot, wrong codec", imagetest.Zboot(gz, "zstd", 0), ErrCorrupt, "zboot(zstd): corrupt: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := openBytes(tt.file)
			if err == nil {
				t.Fatalf("Open = %v; want an error with %q", img, tt.message)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Open = %v; want it to wrap %q", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Open = %q; want it to contain %q", err, tt.message)
			}
		})
	}
}

// damaged returns b with one bit in its middle changed.
func damaged(b []byte) []byte {
	b = append([]byte(nil), b...)
	b[len(b)/2] ^= 0x10
	return b
}

// TestOpenRefusesItself: the test program is a static or dynamic ELF program of
// this machine, and no kernel.
func TestOpenRefusesItself(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if img, err := Open(f, st.Size()); !errors.Is(err, ErrNotKernel) {
		t.Errorf("Open(%s) = %v, %v; want ErrNotKernel", path, img, err)
	}
}
