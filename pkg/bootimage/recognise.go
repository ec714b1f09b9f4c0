package bootimage

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gokexec/gokexec/internal/decompress"
)

// wrapped is what recognise returns, as an error, for a wrapping.
type wrapped struct {
	name string
	open func(limit int64) (source, error)
	uki  *UKI
}

func (w *wrapped) Error() string { return w.name }

// headSize is enough of a file for every magic number but that of s390.
const headSize = 4096

// recognise parses the kernel in src into img. It returns a *wrapped for a
// wrapping, and for anything else an error that says what it is.
//
// The order matters: a UKI, a zboot program, a bzImage and the Images are all
// PE programs, and since 6.x the bzImage has the same LINUX_PE_MAGIC at 0x38
// as the Image of loongarch and zboot.
func (img *Image) recognise(src source) error {
	h, err := src.head(headSize)
	if err != nil {
		return err
	}
	at := func(off int, magic string) bool {
		return len(h) >= off+len(magic) && string(h[off:off+len(magic)]) == magic
	}

	var pe *peFile
	var peErr error
	if at(0, "MZ") {
		if pe, peErr = parsePE(src); peErr == nil && pe.find(".linux") >= 0 {
			return wrapUKI(src, pe)
		}
		if at(4, "zimg") {
			return wrapZboot(src, h)
		}
	}
	img.src = src
	switch {
	case at(0x202, "HdrS") && at(0x1fe, "\x55\xaa"):
		img.Format = FormatBzImage
		img.BzImage, err = parseBzImage(src)
		if err != nil {
			return err
		}
		img.Machine, img.MemSize = img.BzImage.machine(pe), uint64(img.BzImage.InitSize)
		return nil
	case at(0x38, "ARM\x64"):
		img.Format, img.Machine = FormatARM64, elf.EM_AARCH64
		img.ARM64, err = parseARM64(src, h, pe)
		if err == nil {
			img.MemSize = img.ARM64.ImageSize
		}
		return err
	case at(0x38, "RSC\x05") || at(0x30, "RISCV\x00\x00\x00"):
		img.Format, img.Machine = FormatRISCV, elf.EM_RISCV
		img.RISCV, err = parseRISCV(src, h, pe)
		if err == nil {
			img.MemSize = img.RISCV.ImageSize
		}
		return err
	case pe != nil && at(0x38, linuxPEMagic) && machineOfPE(pe.machine) == elf.EM_LOONGARCH:
		img.Format, img.Machine = FormatLoongArch, elf.EM_LOONGARCH
		img.LoongArch, err = parseLoongArch(src, h, pe)
		if err == nil {
			img.MemSize = img.LoongArch.ImageSize
		}
		return err
	case at(0x24, armMagicLE) || at(0x24, armMagicBE):
		img.Format, img.Machine = FormatARM, elf.EM_ARM
		img.ARM, err = parseARMzImage(src, h)
		return err
	case at(0, elf.ELFMAG):
		img.Format = FormatELF
		if img.ELF, err = parseELF(src); err == nil {
			img.Machine, img.MemSize = img.ELF.Machine, img.ELF.memSize()
		}
		return err
	}
	if ok, err := src.has(s390MagicAt, s390Magic); err != nil {
		return err
	} else if ok {
		img.Format, img.Machine = FormatS390, elf.EM_S390
		img.S390, err = parseS390(src)
		return err
	}
	if w := wrapUImage(src, h); w != nil {
		return w
	}
	if c := decompress.Of(h); c != nil {
		return &wrapped{name: c.Name, open: func(limit int64) (source, error) {
			return unpack(c, src, src.sizeHint(src.size-sizeTrailer), limit)
		}}
	}
	return describe(src, h, pe, peErr)
}

var le = binary.LittleEndian
