package kcore

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Errors of FindHeader and ReadLoaded.
var (
	// ErrNoCrashKernel means that the machine has no memory for a crash kernel.
	ErrNoCrashKernel = errors.New(`/proc/iomem has no "Crash kernel": no memory is reserved for one`)

	// ErrNoHeader means that the crash region can be read but holds no
	// elfcorehdr: nothing is loaded, or the architecture hides the region.
	ErrNoHeader = errors.New("no elfcorehdr in the crash region")

	// ErrManyHeaders means that the crash region holds several elfcorehdrs, at
	// most one of which is in use. Loading doesn't clear what was there before.
	ErrManyHeaders = errors.New("more than one elfcorehdr in the crash region")
)

const (
	scanChunk = 256 << 10 // bytes of the region read at once

	shortest, longest = 52, 64 // bytes of an ELF header, of the two classes
)

// ReadLoaded returns the elfcorehdr that the running kernel would crash with
// now, and where it is. It only makes sense while a crash kernel is loaded
// (kexec_crash_loaded): an unloaded header stays in memory. A hint is the
// address at which the header was loaded, if that is known, or 0.
//
// It reads /proc/iomem and /proc/kcore and takes no kexec lock. The error wraps
// ErrNoCrashKernel, or one of OpenKcore's or FindHeader's.
func ReadLoaded(root fs.FS, hint memmap.PhysAddr) (*elfcore.Header, memmap.PhysAddr, error) {
	iomem, err := memmap.ReadIomem(root)
	if err != nil {
		return nil, 0, err
	}
	return ReadLoadedIn(root, iomem, hint)
}

// ReadLoadedIn is ReadLoaded with a /proc/iomem that was read already.
func ReadLoadedIn(root fs.FS, iomem *memmap.Iomem, hint memmap.PhysAddr) (*elfcore.Header, memmap.PhysAddr, error) {
	crash := iomem.CrashKernel()
	if len(crash) == 0 {
		return nil, 0, ErrNoCrashKernel
	}
	k, err := OpenKcore(root, iomem)
	if err != nil {
		return nil, 0, err
	}
	defer k.Close()
	// The kernel takes segments in the highest region only.
	return k.FindHeader(crash[len(crash)-1], hint)
}

// FindHeader looks for an elfcorehdr in the crash region: at the hint, if it is
// not 0, and then on every page.
//
// Old headers stay in memory, also on the first page, where kexec_file_load puts
// its own: a kexec_load of another program may leave it alone. So a hint must be
// of the last load, and several headers found without one are ErrManyHeaders.
// The error may also wrap ErrNotMapped if nothing of the region can be read,
// ErrKcoreUnreadable if reading fails, or ErrNoHeader.
func (k *Kcore) FindHeader(crash memmap.Range, hint memmap.PhysAddr) (*elfcore.Header, memmap.PhysAddr, error) {
	if k.Mapped().Intersect(memmap.NewSet(crash)).Empty() {
		return nil, 0, fmt.Errorf("crash region %v: %w", crash, ErrNotMapped)
	}
	if hint != 0 && crash.ContainsAddr(hint) {
		h, err := k.headerAt(crash, hint)
		if err != nil {
			return nil, 0, err
		}
		if h != nil {
			return h, hint, nil
		}
	}
	found, err := k.scan(crash)
	switch {
	case err != nil:
		return nil, 0, err
	case len(found) == 0:
		return nil, 0, fmt.Errorf("%v: %w", crash, ErrNoHeader)
	case len(found) > 1:
		return nil, 0, fmt.Errorf("%v: %w: at %v", crash, ErrManyHeaders, found)
	}
	h, err := k.headerAt(crash, found[0])
	if err == nil && h == nil {
		err = fmt.Errorf("header at %v: %w", found[0], memmap.ErrChanging)
	}
	return h, found[0], err
}

// FindFileHeader returns where the kexec_file_load that came last has put its header,
// or 0 if there is none at such a place: on x86 at the beginning of the crash region,
// which is filled from below, on arm64 and riscv as high as it fits (arch/x86/kernel/
// crash.c, crash_load_segments; arch/arm64/kernel/machine_kexec_file.c; arch/riscv/
// kernel/machine_kexec_file.c). The error is one of reading /proc/kcore.
func (k *Kcore) FindFileHeader(crash memmap.Range) (memmap.PhysAddr, error) {
	// How far down from the end a header of the most memory ranges can begin.
	const deepest = 1 << 20
	align := archOf(k.Map.Machine).fileHeaderAlign
	if align == 0 {
		h, err := k.headerAt(crash, crash.Start)
		if err != nil || h == nil {
			return 0, err
		}
		return crash.Start, nil
	}
	for at := (crash.End - headerAlign) &^ (align - 1); at >= crash.Start && crash.End-at <= deepest; at -= align {
		if h, err := k.headerAt(crash, at); err != nil || h != nil {
			return at, err
		}
	}
	return 0, nil
}

// scan returns the addresses of all headers in the region. It reads all of it,
// since a read of a few bytes per page takes the kernel longer: 28 s against
// 2 s for 256 MiB on an emulated arm64.
func (k *Kcore) scan(crash memmap.Range) ([]memmap.PhysAddr, error) {
	var found []memmap.PhysAddr
	buf := make([]byte, scanChunk)
	for _, r := range k.Mapped().Intersect(memmap.NewSet(crash)).Ranges() {
		r.Start += -r.Start & (headerAlign - 1)
		for r.Start < r.End {
			b := buf[:min(uint64(len(buf)), r.Size())]
			if err := k.read(b, r.Start); err != nil {
				return nil, err
			}
			for off := 0; off < len(b); off += headerAlign {
				if !k.likely(b[off:]) {
					continue
				}
				addr := r.Start + memmap.PhysAddr(off)
				h, err := k.headerAt(crash, addr)
				if err != nil {
					return nil, err
				}
				if h != nil {
					found = append(found, addr)
				}
			}
			r.Start += memmap.PhysAddr(len(b))
		}
	}
	return found, nil
}

// likely reports whether b begins as a header of this machine does. Headers of
// either class can be loaded.
func (k *Kcore) likely(b []byte) bool {
	return len(b) >= shortest && bytes.HasPrefix(b, []byte(elf.ELFMAG)) &&
		elf.Data(b[elf.EI_DATA]) == elfcore.DataEncoding(k.Map.Order) &&
		elf.Type(k.Map.Order.Uint16(b[16:])) == elf.ET_CORE &&
		elf.Machine(k.Map.Order.Uint16(b[18:])) == k.Map.Machine
}

// headerAt returns the header at addr, or nil if there is none. The kernel may
// be rewriting it (arch_crash_handle_hotplug_event), so two reads must agree.
func (k *Kcore) headerAt(crash memmap.Range, addr memmap.PhysAddr) (*elfcore.Header, error) {
	const tries = 8
	var last []byte
	for range tries {
		b, err := k.headerBytes(crash, addr)
		if err != nil || b == nil {
			return nil, err
		}
		if !bytes.Equal(b, last) {
			last = b
			continue
		}
		h, err := elfcore.ParseHeader(b)
		if err != nil {
			return nil, nil // not a header, whatever it looked like
		}
		return h, nil
	}
	return nil, fmt.Errorf("header at %v: %w", addr, memmap.ErrChanging)
}

// headerBytes returns the ELF header and program headers at addr, or nil if
// there is nothing like that.
func (k *Kcore) headerBytes(crash memmap.Range, addr memmap.PhysAddr) ([]byte, error) {
	room := memmap.Range{Start: addr, End: crash.End}.Size()
	b := make([]byte, min(longest, room))
	if err := k.read(b, addr); err != nil {
		return nil, ignoreUnmapped(err)
	}
	if !k.likely(b) {
		return nil, nil
	}
	size, err := elfcore.HeaderSize(b) // at most 4 MiB
	if err != nil || uint64(size) > room {
		return nil, nil
	}
	b = make([]byte, size)
	if err := k.read(b, addr); err != nil {
		return nil, ignoreUnmapped(err)
	}
	return b, nil
}

func ignoreUnmapped(err error) error {
	if errors.Is(err, ErrNotMapped) {
		return nil
	}
	return err
}

// read fills b from the physical address.
func (k *Kcore) read(b []byte, addr memmap.PhysAddr) error {
	_, err := k.ReadPhysAt(b, addr)
	return err
}
