package kcore

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/internal/uname"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// devMemPath is physical memory, for kernels that allow reading it: without
// CONFIG_STRICT_DEVMEM, as is usual on embedded systems, and not locked down.
const devMemPath = "dev/mem"

// ErrNotEnough means that VMCOREINFO doesn't say where memory is mapped.
var ErrNotEnough = errors.New("VMCOREINFO doesn't tell the direct map")

// mapFromNote makes the kernel map from the VMCOREINFO note alone, read through
// /dev/mem, for kernels without /proc/kcore. On x86 that suffices only without KASLR,
// since the note does not contain the address of the direct map.
func mapFromNote(root fs.FS, iomem *memmap.Iomem, note elfcore.NoteRange) (*elfcore.KernelMap, error) {
	f, err := root.Open(devMemPath)
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("/%s: %T of this file system has no ReadAt", devMemPath, f)
	}
	if note.Addr > math.MaxInt64 || note.Size > math.MaxInt64 {
		return nil, fmt.Errorf("/%s: %w", devMemPath, vmcore.ErrNoVMCoreInfo)
	}
	notes, _ := vmcore.ReadNotes(r, binary.LittleEndian, vmcore.Extent{Offset: int64(note.Addr), Size: int64(note.Size)})
	info, err := vmcore.FindVMCoreInfo(notes, r)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", devMemPath, err)
	}
	cmdline, err := sysfs.ReadString(root, "proc/cmdline")
	if err != nil {
		return nil, err
	}
	return mapFromVMCoreInfo(info, iomem, strings.Fields(cmdline))
}

// archOfVMCoreInfo finds the architecture by what only its VMCOREINFO has.
func archOfVMCoreInfo(v *vmcore.VMCoreInfo) (arch, bool) {
	for _, a := range archs {
		if a.fromVMCoreInfo != nil && hasNumbers(v, a.numbers) {
			return a, true
		}
	}
	return arch{}, false
}

func hasNumbers(v *vmcore.VMCoreInfo, names []string) bool {
	for _, name := range names {
		if _, ok := v.Number(name); !ok {
			return false
		}
	}
	return true
}

// mapFromVMCoreInfo finds the mapping of the kernel that has this VMCOREINFO.
func mapFromVMCoreInfo(v *vmcore.VMCoreInfo, iomem *memmap.Iomem, cmdline []string) (*elfcore.KernelMap, error) {
	a, known := archOfVMCoreInfo(v)
	if !known {
		return nil, fmt.Errorf("%w: it is of an architecture whose map is not known", ErrNotEnough)
	}
	m := &elfcore.KernelMap{Machine: a.machine, Class: elf.ELFCLASS64, Order: binary.LittleEndian}
	text, err := a.fromVMCoreInfo(m, v, cmdline)
	if err != nil {
		return nil, err
	}
	if image := iomem.KernelImage(); !image.Empty() {
		m.Text = elfcore.TextLoad(image, uint64(image.Start)+text)
	}
	return m, nil
}

func mapX86(m *elfcore.KernelMap, v *vmcore.VMCoreInfo, cmdline []string) (text uint64, err error) {
	switch kaslr, _ := v.Lookup("KERNELOFFSET"); {
	case !uname.AtLeast(v.OSRelease, 4, 20):
		return 0, fmt.Errorf("%w: it is of Linux %s, older than 4.20", ErrNotEnough, v.OSRelease)
	case strings.Trim(kaslr, "0") != "" || !slices.Contains(cmdline, "nokaslr"):
		return 0, fmt.Errorf("%w: with KASLR its address is random, and only /proc/kcore has it", ErrNotEnough)
	}
	// Documentation/arch/x86/x86_64/mm.rst
	if m.Direct = 0xffff888000000000; number(v, "pgtable_l5_enabled") != 0 {
		m.Direct = 0xff11000000000000
	}
	return vmcore.StartKernelMap - number(v, "phys_base"), nil
}

func mapARM64(m *elfcore.KernelMap, v *vmcore.VMCoreInfo, _ []string) (text uint64, err error) {
	bits := number(v, "VA_BITS")
	if !uname.AtLeast(v.OSRelease, 5, 4) || bits < 36 || bits > 52 {
		return 0, fmt.Errorf("%w: Linux %s (5.4 and later are known) with addresses of %d bits", ErrNotEnough, v.OSRelease, bits)
	}
	m.Direct = -(uint64(1) << bits) - number(v, "PHYS_OFFSET")
	return number(v, "kimage_voffset"), nil
}

func mapRISCV(m *elfcore.KernelMap, v *vmcore.VMCoreInfo, _ []string) (text uint64, err error) {
	m.Direct = number(v, "PAGE_OFFSET") - number(v, "phys_ram_base")
	return number(v, "va_kernel_pa_offset"), nil
}

// number is a number of VMCOREINFO as the kernel has it; 0 if it is not there.
func number(v *vmcore.VMCoreInfo, name string) uint64 {
	n, _ := v.Number(name)
	return uint64(n)
}
