package elfcore

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/memmap"
)

const kcorePath = "proc/kcore"

// Errors of Kcore.
var (
	// ErrKcoreUnreadable means that /proc/kcore can't be read at all: the kernel
	// was built without CONFIG_PROC_KCORE, the process lacks CAP_SYS_RAWIO, or
	// the kernel is locked down for confidentiality. The error also wraps the
	// cause.
	ErrKcoreUnreadable = errors.New("can't be read")

	// ErrNotMapped means that /proc/kcore has no segment for a physical address.
	ErrNotMapped = errors.New("not mapped in /proc/kcore")

	// ErrNoDirectMap means that the program headers of /proc/kcore don't tell
	// the virtual addresses of RAM.
	ErrNoDirectMap = errors.New("no program header tells the virtual address of RAM")
)

// Kcore is the running kernel's memory, /proc/kcore (fs/proc/kcore.c).
type Kcore struct {
	Map KernelMap

	// Loads are the PT_LOADs in their order: kernel text, vmalloc space, RAM
	// and more. Phys is ^uint64(0) where the kernel gives no physical address;
	// kernels before 4.11 give 0 in all of them.
	Loads []Load

	r       io.ReaderAt
	ram     []Load // those of the direct map, by Phys
	notes   noteSegment
	closeFn func() error
}

// OpenKcore opens /proc/kcore and reads its program headers. The memory map is
// needed to tell what is what in them. The error wraps ErrKcoreUnreadable if
// the file is missing, may not be opened, or can't be read at offsets.
func OpenKcore(root fs.FS, iomem *memmap.Iomem) (*Kcore, error) {
	f, err := root.Open(kcorePath)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w: %w", kcorePath, ErrKcoreUnreadable, rootError(err))
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		f.Close()
		return nil, fmt.Errorf("/%s: %w: %T of this file system has no ReadAt", kcorePath, ErrKcoreUnreadable, f)
	}
	k, err := NewKcore(r, iomem)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("/%s: %w", kcorePath, err)
	}
	k.closeFn = f.Close
	return k, nil
}

// Close closes the file that OpenKcore opened.
func (k *Kcore) Close() error {
	if k.closeFn == nil {
		return nil
	}
	return k.closeFn()
}

// NewKcore reads the program headers of r, in the format of /proc/kcore, and
// nothing else. See OpenKcore.
func NewKcore(r io.ReaderAt, iomem *memmap.Iomem) (*Kcore, error) {
	k := &Kcore{r: r}
	if err := k.readProgs(); err != nil {
		return nil, err
	}
	if err := k.resolve(iomem); err != nil {
		return nil, err
	}
	return k, nil
}

// readProgs reads the ELF header and program headers, in bounded pieces.
func (k *Kcore) readProgs() error {
	var b [ehdrSize64]byte
	if _, err := k.r.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("%w: ELF header: %w", ErrKcoreUnreadable, noEOF(rootError(err)))
	}
	h, phnum, err := parseEhdr(b[:])
	if err != nil {
		return err
	}
	k.Map = KernelMap{Machine: h.Machine, Class: h.Class, Order: h.Order}
	ehdr, phdr := headerSizes(h.Class)
	first := make([]byte, phdr)
	if _, err := k.r.ReadAt(first, int64(ehdr)); err != nil {
		return fmt.Errorf("program header 0: %w", noEOF(rootError(err)))
	}
	total := trueCount(phnum, ehdr, phdr, decodeProg(first, h.Class, h.Order))
	if total > maxProgs {
		return fmt.Errorf("%d program headers, more than %d", total, maxProgs)
	}
	const batch = 1024
	buf := make([]byte, min(batch, total)*phdr)
	for i := 0; i < total; i += batch {
		n := min(batch, total-i)
		if _, err := k.r.ReadAt(buf[:n*phdr], int64(ehdr+i*phdr)); err != nil {
			return fmt.Errorf("program headers %d to %d of %d: %w", i, i+n-1, total, noEOF(rootError(err)))
		}
		for j := range n {
			k.add(decodeProg(buf[j*phdr:], h.Class, h.Order))
		}
	}
	return nil
}

// trueCount returns the number of program headers of a kcore. The kernel
// stores it in 16 bits whatever it is; but the notes, which the first header
// points to, follow the headers at once.
func trueCount(phnum, ehdr, phdr int, first progHeader) int {
	room := first.off - uint64(ehdr)
	if elf.ProgType(first.typ) != elf.PT_NOTE || first.off < uint64(ehdr) || room%uint64(phdr) != 0 || room > math.MaxInt32 {
		return phnum
	}
	if n := int(room / uint64(phdr)); n > phnum && n&math.MaxUint16 == phnum {
		return n
	}
	return phnum
}

func (k *Kcore) add(p progHeader) {
	switch elf.ProgType(p.typ) {
	case elf.PT_NOTE:
		if p.off <= math.MaxInt64 && p.filesz <= math.MaxInt64-p.off {
			k.notes = noteSegment{int64(p.off), int64(p.filesz)}
		}
	case elf.PT_LOAD:
		if k.Map.Class == elf.ELFCLASS32 && p.paddr == math.MaxUint32 {
			p.paddr = math.MaxUint64
		}
		k.Loads = append(k.Loads, newLoad(p))
	}
}

// readable reports whether the memory of l can be read at its offset.
func (l *Load) readable() bool {
	return l.MemSize > 0 && l.Offset <= math.MaxInt64 && l.FileSize <= math.MaxInt64-l.Offset
}

// ReadPhysAt reads len(b) bytes of RAM at the physical address, through the
// direct map. If part of it isn't mapped, it returns what comes before that,
// and an error that wraps ErrNotMapped.
//
// The kernel gives zeros for memory that it can't read: poisoned or offline
// pages, and, on some architectures, the crash region.
func (k *Kcore) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	n := 0
	for n < len(b) {
		at := addr + memmap.PhysAddr(n)
		l := k.find(at)
		if l == nil || at < addr {
			return n, fmt.Errorf("physical address %v: %w", at, ErrNotMapped)
		}
		skip := uint64(at - l.Phys)
		m := int(min(uint64(len(b)-n), l.FileSize-skip))
		got, err := k.r.ReadAt(b[n:n+m], int64(l.Offset+skip))
		n += got
		if got < m {
			return n, fmt.Errorf("/%s: physical address %v: %w", kcorePath, addr+memmap.PhysAddr(n), noEOF(rootError(err)))
		}
	}
	return n, nil
}

// find returns the segment of the direct map that holds the address, or nil.
func (k *Kcore) find(addr memmap.PhysAddr) *Load {
	i, ok := slices.BinarySearchFunc(k.ram, addr, func(l Load, a memmap.PhysAddr) int { return cmp.Compare(l.Phys, a) })
	if !ok {
		i--
	}
	if i < 0 || uint64(addr-k.ram[i].Phys) >= k.ram[i].FileSize {
		return nil
	}
	return &k.ram[i]
}

// Mapped returns the physical memory that ReadPhysAt can read.
func (k *Kcore) Mapped() memmap.Set {
	rs := make([]memmap.Range, 0, len(k.ram))
	for i := range k.ram {
		rs = append(rs, k.ram[i].physRange())
	}
	return memmap.NewSet(rs...)
}

// VMCoreInfo returns the running kernel's VMCOREINFO, which /proc/kcore has
// among its notes since 4.19. The error wraps ErrNoVMCoreInfo if it is not there.
func (k *Kcore) VMCoreInfo() (*VMCoreInfo, error) {
	f := &File{
		Class: k.Map.Class, Order: k.Map.Order, Machine: k.Map.Machine,
		r: k.r, size: math.MaxInt64,
	}
	if k.notes.size > 0 {
		f.readNotes([]noteSegment{k.notes})
	}
	return f.readVMCoreInfo()
}

// rootError puts the leading slash, which paths in an fs.FS don't have, back
// into the path of a *fs.PathError.
func rootError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !strings.HasPrefix(pe.Path, "/") {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
