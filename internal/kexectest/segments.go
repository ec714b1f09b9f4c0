package kexectest

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	pageSize = 4096

	// maxSegments is KEXEC_SEGMENT_MAX.
	maxSegments = 16

	// destinationLimit is KEXEC_DESTINATION_MEMORY_LIMIT of x86_64, with MAXMEM
	// for page tables of four levels.
	destinationLimit = 1<<46 - 1

	// controlPages is what the fake takes of the crash region: the real one takes
	// control code, page tables for a small machine, and a copy of VMCOREINFO.
	controlPages = 24
)

// KexecLoad behaves as kernel/kexec.c, do_kexec_load.
func (k *Kernel) KexecLoad(entry uint64, segments []kexec.Segment, flags kexec.LoadFlags) error {
	return k.fail("kexec_load", k.segmentLoad(entry, segments, flags))
}

func (k *Kernel) segmentLoad(entry uint64, segments []kexec.Segment, flags kexec.LoadFlags) unix.Errno {
	k.Calls++
	crash := flags&kexec.LoadOnCrash != 0
	if errno := k.permitted(crash); errno != 0 {
		return errno
	}
	if k.lockedDown() {
		return unix.EPERM
	}
	known := kexec.LoadOnCrash | kexec.LoadPreserveContext
	if k.HotplugFlag {
		known |= kexec.LoadUpdateElfcorehdr | kexec.LoadHotplugSupport
	}
	if flags&^known != 0 || len(segments) > maxSegments {
		return unix.EINVAL
	}
	if done, errno := k.begin(crash, len(segments) == 0); done {
		return errno
	}
	if errno := k.sane(entry, segments, crash); errno != 0 {
		return errno
	}
	image := &Image{Entry: entry, LoadFlags: flags}
	for _, s := range segments {
		s.Data = slices.Clone(s.Data)
		image.Segments = append(image.Segments, s)
	}
	k.set(crash, image)
	return 0
}

// sane is kimage_alloc_init and sanity_check_segment_list (kernel/kexec.c,
// kernel/kexec_core.c), in their order.
func (k *Kernel) sane(entry uint64, segments []kexec.Segment, crash bool) unix.Errno {
	region, found := k.crashRegion()
	if crash && (!found || !region.ContainsAddr(memmap.PhysAddr(entry))) {
		return unix.EADDRNOTAVAIL
	}
	for _, s := range segments {
		start, end := s.Phys, s.Phys+s.MemSize
		if page := max(k.arch.page, pageSize); start > end || start%page != 0 || end%page != 0 || end >= destinationLimit {
			return unix.EADDRNOTAVAIL
		}
	}
	for i, s := range segments {
		for _, o := range segments[:i] {
			if s.Phys+s.MemSize > o.Phys && s.Phys < o.Phys+o.MemSize {
				return unix.EINVAL
			}
		}
	}
	for _, s := range segments {
		if uint64(len(s.Data)) > s.MemSize {
			return unix.EINVAL
		}
	}
	half, total := k.memTotal()/2, uint64(0)
	for _, s := range segments {
		if s.MemSize > half {
			return unix.EINVAL
		}
		total += s.MemSize
	}
	if total > half {
		return unix.EINVAL
	}
	if k.arch.machine == elf.EM_RISCV && !hasTree(segments) {
		return unix.EINVAL
	}
	if !crash {
		return 0
	}
	for _, s := range segments {
		if s.Phys < uint64(region.Start) || s.Phys+s.MemSize > uint64(region.End) {
			return unix.EADDRNOTAVAIL
		}
	}
	return takeControlPages(region, segments)
}

// hasTree is arch/riscv/kernel/machine_kexec.c, machine_kexec_prepare: a device
// tree must be among the segments.
func hasTree(segments []kexec.Segment) bool {
	return slices.ContainsFunc(segments, func(s kexec.Segment) bool {
		return len(s.Data) >= 4 && binary.BigEndian.Uint32(s.Data) == fdt.Magic
	})
}

// takeControlPages is kimage_alloc_crash_control_pages: first fit, from the
// beginning of the region on, around the segments.
func takeControlPages(region memmap.Range, segments []kexec.Segment) unix.Errno {
	sorted := slices.Clone(segments)
	slices.SortFunc(sorted, func(a, b kexec.Segment) int { return cmp.Compare(a.Phys, b.Phys) })
	at := uint64(region.Start)
	for range controlPages {
		for _, s := range sorted {
			if at+pageSize > s.Phys && at < s.Phys+s.MemSize {
				at = s.Phys + s.MemSize
			}
		}
		if at+pageSize > uint64(region.End) {
			return unix.ENOMEM
		}
		at += pageSize
	}
	return 0
}

// crashRegion is crashk_res: the highest.
func (m *Machine) crashRegion() (memmap.Range, bool) {
	iomem, err := memmap.ReadIomem(os.DirFS(m.Dir))
	if err != nil {
		m.t.Fatal(err)
	}
	regions := iomem.CrashKernel()
	if len(regions) == 0 {
		return memmap.Range{}, false
	}
	return regions[len(regions)-1], true
}

func (m *Machine) memTotal() uint64 {
	iomem, err := memmap.ReadIomem(os.DirFS(m.Dir))
	if err != nil {
		m.t.Fatal(err)
	}
	return iomem.SystemRAM().Size()
}

func (m *Machine) lockedDown() bool {
	b, err := os.ReadFile(filepath.Join(m.Dir, "sys/kernel/security/lockdown"))
	return err == nil && !strings.Contains(string(b), "[none]")
}
