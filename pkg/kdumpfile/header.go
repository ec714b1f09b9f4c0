package kdumpfile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// The compressed format, diskdump_mod.h and IMPLEMENTATION of makedumpfile. In units of BlockSize:
// the header, the sub header and the notes, the bitmap of the machine's memory, that of the pages in
// the dump; then a descriptor for each such page, then the pages.
const (
	kdumpSignature = "KDUMP   "
	maxVersion     = 6 // header_version
)

// Limits on what a header may say.
const (
	minBlockSize = 1 << 10 // bytes
	maxBlockSize = 1 << 18 // bytes; the largest page of a Linux machine has 256 KiB
	maxPages     = 1 << 40 // 4 PiB in pages of 4 KiB
)

// Bits of the status in the header. Which codec they name is no more than a hint: each page has
// flags of its own.
const (
	statusIncomplete      = 8
	statusExcludedVmemmap = 0x10
)

// Header is what the headers of a compressed dump say.
type Header struct {
	Version   int // header_version, 1 to 6
	Uname     Uname
	Time      time.Time // when the dump was written
	Status    uint32    // DUMP_DH_*: the codec asked for, incomplete, vmemmap excluded
	BlockSize uint32    // bytes, that of a page
	Pages     uint64    // max_mapnr: one more than the highest page frame number
	PhysBase  uint64    // phys_base: where the kernel (x86_64) or the memory (arm) begins
	DumpLevel int       // what was left out: makedumpfile -d
	CPUs      int       // nr_cpus, as far as the writer filled it in

	Split      bool   // this file has the pages from StartPage to before EndPage only
	StartPage  uint64 // page frame number
	EndPage    uint64 // page frame number
	NotesSize  uint64 // bytes
	EraseSize  uint64 // bytes, of the list of what makedumpfile --eppic or its filter erased
	noteOffset uint64
	infoOffset uint64
	infoSize   uint64
	eraseAt    uint64

	platform     vmcore.Platform
	pages32      uint32 // max_mapnr of the header
	subBlocks    uint64
	bitmapBlocks uint64
}

// Uname is what uname(2) returned on the crashed machine.
type Uname struct{ Sysname, Nodename, Release, Version, Machine, Domainname string }

// decodeUname takes apart a struct new_utsname, 6 texts of 65 bytes.
func decodeUname(b []byte) (u Uname) {
	for i, name := range []*string{&u.Sysname, &u.Nodename, &u.Release, &u.Version, &u.Machine, &u.Domainname} {
		text, _, _ := bytes.Cut(b[i*utsField:][:utsField], []byte{0})
		*name = string(text)
	}
	return u
}

// layout is how the writer's compiler laid out the headers; offsets in bytes.
type layout struct {
	word   int // bytes of long
	status int // of disk_dump_header.status; timestamp is before it
	time   int // bytes of a time_t
	align8 int // alignment of a 64-bit integer in the sub header
}

// layouts are those of 64-bit machines, of 32-bit ones, and of 32-bit ones whose time_t has 64 bits. i386
// aligns 64-bit integers to 4 bytes, the others to 8: where the sub header needs it, that is
// found out by sub.
func layouts() []layout {
	return []layout{{8, 424, 8, 8}, {4, 412, 4, 4}, {4, 420, 8, 4}, {4, 424, 8, 8}}
}

const (
	utsOffset   = 12
	utsField    = 65
	headerBytes = 464
)

// parseHeader decodes the headers of the file f.
func parseHeader(f File) (*Header, error) {
	b := make([]byte, headerBytes)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read the header: %w", noEOF(err))
	}
	order, err := headerOrder(b)
	if err != nil {
		return nil, err
	}
	h := &Header{Version: int(order.Uint32(b[8:]))}
	h.Uname = decodeUname(b[utsOffset:])
	// Headers of a 32-bit machine with a 64-bit time may look like those of a 64-bit one.
	all := layouts()
	slices.SortStableFunc(all, func(a, b layout) int {
		odd := func(l layout) int { return platform(h.Uname.Machine, order, l.word).Word ^ l.word }
		return odd(a) - odd(b)
	})
	var first error
	for _, l := range all {
		if err = h.decode(b, order, l); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if err = h.sub(f, order, l); err != nil {
			return nil, err
		}
		h.platform = platform(h.Uname.Machine, order, l.word)
		return h, h.check(f.Size())
	}
	return nil, first
}

// headerOrder finds the byte order that makes a version of header_version.
func headerOrder(b []byte) (binary.ByteOrder, error) {
	var seen [2]uint32
	for i, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if seen[i] = o.Uint32(b[8:]); seen[i] >= 1 && seen[i] <= maxVersion {
			return o, nil
		}
	}
	return nil, fmt.Errorf("header version is %d; 1 to %d are known", min(seen[0], seen[1]), maxVersion)
}

// decode takes the header apart by one layout. An error says that it makes no sense.
func (h *Header) decode(b []byte, o binary.ByteOrder, l layout) error {
	sec, usec := int64(o.Uint32(b[l.status-8:])), int64(o.Uint32(b[l.status-4:]))
	if l.time == 8 {
		sec, usec = int64(o.Uint64(b[l.status-16:])), int64(o.Uint64(b[l.status-8:]))
	}
	word := func(i int) uint32 { return o.Uint32(b[l.status+4*i:]) }
	blockSize, subBlocks, bitmapBlocks := word(1), word(2), word(3)
	switch {
	case blockSize < minBlockSize || blockSize > maxBlockSize || bits.OnesCount32(blockSize) != 1:
		return fmt.Errorf("block_size is %d, no power of 2 from %d to %d", blockSize, minBlockSize, maxBlockSize)
	case subBlocks == 0 || subBlocks >= 1<<31:
		return fmt.Errorf("sub_hdr_size is %d blocks", int32(subBlocks))
	case bitmapBlocks == 0:
		return errors.New("bitmap_blocks is 0")
	}
	h.Time = time.Unix(sec, usec*1000)
	h.Status, h.BlockSize = word(0), blockSize
	h.subBlocks, h.bitmapBlocks = uint64(subBlocks), uint64(bitmapBlocks)
	h.pages32, h.CPUs = word(4), int(int32(word(9)))
	return nil
}

// sub reads the kdump_sub_header. Its members came with the versions.
func (h *Header) sub(f File, o binary.ByteOrder, l layout) error {
	b := make([]byte, 104)
	if n, err := f.ReadAt(b, int64(h.BlockSize)); n < len(b) {
		return fmt.Errorf("read the sub header: %w", noEOF(err))
	}
	if l.word == 4 {
		// max_mapnr, which version 6 has twice, or the first words of VMCOREINFO tell how
		// 64-bit integers are aligned.
		for _, l.align8 = range []int{4, 8} {
			h.decodeSub(b, o, l)
			if h.Version < 3 || h.Version >= 6 && h.Pages == uint64(h.pages32) ||
				h.Version < 6 && startsVMCoreInfo(f, h.infoOffset, h.infoSize) {
				return nil
			}
		}
		l.align8 = 8
		if m := h.Uname.Machine; len(m) == 4 && m[0] == 'i' && m[2:] == "86" {
			l.align8 = 4
		}
	}
	h.decodeSub(b, o, l)
	return nil
}

// startsVMCoreInfo reports whether there is a VMCOREINFO text.
func startsVMCoreInfo(f File, off, size uint64) bool {
	if off >= uint64(f.Size()) || size > uint64(f.Size())-off {
		return false
	}
	var b [10]byte
	_, err := f.ReadAt(b[:], int64(off))
	return err == nil && string(b[:]) == "OSRELEASE="
}

func (h *Header) decodeSub(b []byte, o binary.ByteOrder, l layout) {
	pos := 0
	long := func() uint64 {
		if l.word == 4 {
			pos += 4
			return uint64(o.Uint32(b[pos-4:]))
		}
		pos = (pos+7)&^7 + 8
		return o.Uint64(b[pos-8:])
	}
	long64 := func() uint64 {
		pos = (pos+l.align8-1)&^(l.align8-1) + 8
		return o.Uint64(b[pos-8:])
	}
	number := func() uint32 {
		pos += 4
		return o.Uint32(b[pos-4:])
	}
	h.PhysBase = long()
	h.DumpLevel = int(int32(number()))
	split, start, end := number(), long(), long()
	h.infoOffset, h.infoSize = long64(), long()
	h.noteOffset, h.NotesSize = long64(), long()
	h.eraseAt, h.EraseSize = long64(), long()
	start64, end64, pages64 := long64(), long64(), long64()
	h.Split = h.Version >= 2 && split != 0
	if h.Pages = uint64(h.pages32); h.Version >= 6 {
		start, end, h.Pages = start64, end64, pages64
	}
	if h.StartPage, h.EndPage = start, end; !h.Split {
		h.StartPage, h.EndPage = 0, h.Pages
	}
	if h.Version < 3 {
		h.infoOffset, h.infoSize = 0, 0
	}
	if h.Version < 4 {
		h.noteOffset, h.NotesSize = 0, 0
	}
	if h.Version < 5 {
		h.eraseAt, h.EraseSize = 0, 0
	}
}

// check compares the numbers with each other and with the size of the file.
func (h *Header) check(size int64) error {
	if h.Pages == 0 || h.Pages > maxPages {
		return fmt.Errorf("max_mapnr is %d, not in 1 to %d", h.Pages, uint64(maxPages))
	}
	if h.Split && (h.StartPage > h.EndPage || h.EndPage > h.Pages) {
		return fmt.Errorf("split from page %#x to %#x of %#x", h.StartPage, h.EndPage, h.Pages)
	}
	if need := (h.Pages + 7) / 8; h.bitmapBlocks*uint64(h.BlockSize) < need {
		return fmt.Errorf("bitmaps of %d blocks of %d bytes are too small for %d pages", h.bitmapBlocks, h.BlockSize, h.Pages)
	}
	// A part without pages ends with the bits of the last ones.
	if end := h.bitmapOffset() + (h.Pages+7)/8; end > uint64(size) {
		return fmt.Errorf("%d bytes long, its bitmaps end at %d: %w", size, end, errCut())
	}
	return nil
}

// descOffset is where the page descriptors begin. The counts of blocks have 32 bits, so
// it doesn't overflow.
func (h *Header) descOffset() uint64 {
	return (1 + h.subBlocks + h.bitmapBlocks) * uint64(h.BlockSize)
}

// memoryOffset is where the bitmap of the machine's memory begins, if there is one.
func (h *Header) memoryOffset() uint64 { return (1 + h.subBlocks) * uint64(h.BlockSize) }

// bitmapOffset is where the bitmap of the pages in the dump begins. It is the second of two, unless
// there is room for one only.
func (h *Header) bitmapOffset() uint64 {
	off := h.memoryOffset()
	if h.twoBitmaps() {
		off += h.bitmapBlocks * uint64(h.BlockSize) / 2
	}
	return off
}

func (h *Header) twoBitmaps() bool {
	bs := uint64(h.BlockSize)
	return h.bitmapBlocks >= (((h.Pages+7)/8+bs-1)/bs)*2
}

// platform makes a Platform of what uname -m says; QEMU writes S390X. The Machine is EM_NONE for a name
// that isn't known.
func platform(machine string, o binary.ByteOrder, word int) vmcore.Platform {
	machine = strings.ToLower(machine)
	p := vmcore.Platform{Order: o, Word: word}
	x86 := elf.EM_X86_64
	if word == 4 {
		x86 = elf.EM_386 // QEMU gives a guest without long mode the other's name
	}
	for _, m := range []struct {
		prefix  string
		machine elf.Machine
		word    int // 0: as the headers
	}{
		{"x86_64", x86, 0}, {"i3", elf.EM_386, 4}, {"i4", elf.EM_386, 4}, {"i5", elf.EM_386, 4}, {"i6", elf.EM_386, 4},
		{"aarch64", elf.EM_AARCH64, 8}, {"arm64", elf.EM_AARCH64, 8}, {"arm", elf.EM_ARM, 4},
		{"ppc64", elf.EM_PPC64, 8}, {"ppc", elf.EM_PPC, 4}, {"riscv", elf.EM_RISCV, 0}, {"loongarch", elf.EM_LOONGARCH, 0},
		{"s390x", elf.EM_S390, 8}, {"s390", elf.EM_S390, 4}, {"mips64", elf.EM_MIPS, 8}, {"mips", elf.EM_MIPS, 4},
		{"sparc64", elf.EM_SPARCV9, 8}, {"ia64", elf.EM_IA_64, 8}, {"alpha", elf.EM_ALPHA, 8},
	} {
		if !strings.HasPrefix(machine, m.prefix) {
			continue
		}
		p.Machine = m.machine
		if m.word != 0 {
			p.Word = m.word
		}
		break
	}
	return p
}

// machineOf tells a 64-bit machine by what its kernel exports, where the header names none: QEMU
// calls arm64 "Unknown". (arch/*/kernel/vmcore_info.c)
func machineOf(info *vmcore.VMCoreInfo) elf.Machine {
	for _, m := range []struct {
		key     string
		machine elf.Machine
	}{
		{"NUMBER(kimage_voffset)", elf.EM_AARCH64}, {"NUMBER(phys_base)", elf.EM_X86_64},
		{"NUMBER(va_kernel_pa_offset)", elf.EM_RISCV}, {"SYMBOL(lowcore_ptr)", elf.EM_S390},
	} {
		if _, ok := info.Lookup(m.key); ok {
			return m.machine
		}
	}
	return elf.EM_NONE
}
