package kcore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
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
	Map elfcore.KernelMap

	// Loads are the PT_LOADs in their order: kernel text, vmalloc space, RAM
	// and more. Phys is ^uint64(0) where the kernel gives no physical address;
	// kernels before 4.11 give 0 in all of them.
	Loads []elfcore.Load

	r       io.ReaderAt
	ram     []elfcore.Load // those of the direct map, by Phys
	notes   vmcore.Extent
	closeFn func() error
}

// OpenKcore opens /proc/kcore and reads its program headers. The memory map is
// needed to interpret them. The error wraps ErrKcoreUnreadable if
// the file is missing, may not be opened, or can't be read at offsets.
func OpenKcore(root fs.FS, iomem *memmap.Iomem) (*Kcore, error) {
	f, err := root.Open(kcorePath)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w: %w", kcorePath, ErrKcoreUnreadable, sysfs.Rooted(err))
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
	k := &Kcore{r: liveReader{r}}
	live, err := elfcore.ReadLive(k.r)
	if err != nil {
		return nil, err
	}
	k.Map = elfcore.KernelMap{Machine: live.Machine, Class: live.Class, Order: live.Order}
	k.Loads, k.notes = live.Loads, live.Notes
	if err := k.resolve(iomem); err != nil {
		return nil, err
	}
	return k, nil
}

// readable reports whether the memory of l can be read at its offset.
func readable(l *elfcore.Load) bool {
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
			return n, fmt.Errorf("/%s: physical address %v: %w", kcorePath, addr+memmap.PhysAddr(n), err)
		}
	}
	return n, nil
}

// find returns the segment of the direct map that holds the address, or nil.
func (k *Kcore) find(addr memmap.PhysAddr) *elfcore.Load {
	i, ok := slices.BinarySearchFunc(k.ram, addr, func(l elfcore.Load, a memmap.PhysAddr) int { return cmp.Compare(l.Phys, a) })
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
		rs = append(rs, k.ram[i].PhysRange())
	}
	return memmap.NewSet(rs...)
}

// VMCoreInfo returns the running kernel's VMCOREINFO, which /proc/kcore has
// among its notes since 4.19. The error wraps ErrNoVMCoreInfo if it is not there.
func (k *Kcore) VMCoreInfo() (*vmcore.VMCoreInfo, error) {
	notes, _ := vmcore.ReadNotes(k.r, k.Map.Order, k.notes)
	return vmcore.FindVMCoreInfo(notes, k.r)
}

// liveReader reads /proc/kcore. Its errors wrap ErrKcoreUnreadable.
type liveReader struct{ io.ReaderAt }

func (r liveReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, off)
	if n == len(b) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("%w: %w", ErrKcoreUnreadable, sysfs.Rooted(err))
}
