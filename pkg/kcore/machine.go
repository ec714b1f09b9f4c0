package kcore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Files that ReadMachine reads. The kexec directory is there since 6.19; the
// older names remain as links for some years.
const (
	cpuDir         = "sys/devices/system/cpu"
	vmcoreinfoPath = "sys/kernel/vmcoreinfo"
	cmaPath        = "sys/kernel/kexec/crash_cma_ranges"
	cmaOldPath     = "sys/kernel/kexec_crash_cma_ranges"
)

// defaultNotesSize is the size of a CPU's notes where the kernel doesn't tell
// it: what MAX_NOTE_BYTES was before crash_notes_size came.
const defaultNotesSize = 1024

// ErrNoCrashNotes means that no CPU has crash_notes: the kernel was built
// without CONFIG_CRASH_DUMP, or CONFIG_KEXEC in older ones.
var ErrNoCrashNotes = errors.New("no CPU has crash_notes: the kernel can't dump")

// CPUNotes are the notes of one CPU.
type CPUNotes struct {
	CPU   int // its number in the kernel
	Notes elfcore.NoteRange
}

// Machine is what an elfcorehdr is built from.
type Machine struct {
	Iomem      *memmap.Iomem
	CPUs       []CPUNotes         // of every present CPU, online or not, by number
	VMCoreInfo elfcore.NoteRange  // where the kernel keeps its VMCOREINFO note
	CMA        []memmap.Range     // memory of crashkernel=,cma
	Firmware   []memmap.Range     // riscv: memory that the firmware keeps kernels from
	Runtime    []memmap.Range     // powerpc: memory of the firmware that the kernel calls
	TreeCPUs   []string           // powerpc: nodes of the CPUs that a crash kernel must find in its device tree
	Map        *elfcore.KernelMap // nil if /proc/kcore doesn't tell it; see MapErr
	MapErr     error              // why Map is nil
}

// ReadMachine reads /proc/iomem, the CPUs' crash_notes, vmcoreinfo, the CMA ranges and
// the firmware's memory in /sys, and the program headers of /proc/kcore; or, where there
// is no such file, the VMCOREINFO through /dev/mem. It is no error if neither can be
// read: then MapErr says why, and the caller may know Map from elsewhere.
func ReadMachine(root fs.FS) (*Machine, error) { return RereadMachine(root, nil) }

// RereadMachine is ReadMachine for who has read the machine before, and reads less while its
// memory is as it was then (memmap.RereadIomem). last may be nil.
func RereadMachine(root fs.FS, last *Machine) (*Machine, error) {
	m := new(Machine)
	var before *memmap.Iomem
	if last != nil {
		before = last.Iomem
	}
	var err error
	if m.Iomem, err = memmap.RereadIomem(root, before); err != nil {
		return nil, err
	}
	if m.CPUs, err = readCPUNotes(root); err != nil {
		return nil, err
	}
	if m.VMCoreInfo, err = readVMCoreInfoNote(root); err != nil {
		return nil, err
	}
	if m.CMA, err = readCMA(root); err != nil {
		return nil, err
	}
	if m.Firmware, err = readFirmware(root); err != nil {
		return nil, err
	}
	if m.Runtime, err = readRuntime(root); err != nil {
		return nil, err
	}
	if m.TreeCPUs, err = fs.Glob(root, treeDir+"cpus/*/ibm,ppc-interrupt-server#s"); err != nil {
		return nil, err
	}
	k, err := OpenKcore(root, m.Iomem)
	if errors.Is(err, ErrKcoreUnreadable) {
		fromNote, noteErr := mapFromNote(root, m.Iomem, m.VMCoreInfo)
		if noteErr == nil {
			m.Map = fromNote
			return m, nil
		}
		err = fmt.Errorf("%w; and without it: %w", err, noteErr)
	}
	if err != nil {
		m.MapErr = err
		return m, nil
	}
	defer k.Close()
	m.Map = &k.Map
	return m, nil
}

// readCPUNotes reads crash_notes and crash_notes_size of every CPU that has
// them (drivers/base/cpu.c, crash_notes_show). Numbers may have gaps; a CPU
// that is removed meanwhile is left out.
func readCPUNotes(root fs.FS) ([]CPUNotes, error) {
	dirs, err := fs.ReadDir(root, cpuDir)
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	var cpus []CPUNotes
	for _, d := range dirs {
		digits, ok := strings.CutPrefix(d.Name(), "cpu")
		n, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			continue // cpufreq, cpuidle and so on
		}
		notes, err := readCrashNotes(root, cpuDir+"/"+d.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		cpus = append(cpus, CPUNotes{int(n), notes})
	}
	if len(cpus) == 0 {
		return nil, fmt.Errorf("/%s: %w", cpuDir, ErrNoCrashNotes)
	}
	slices.SortFunc(cpus, func(a, b CPUNotes) int { return cmp.Compare(a.CPU, b.CPU) })
	return cpus, nil
}

func readCrashNotes(root fs.FS, dir string) (elfcore.NoteRange, error) {
	addr, err := sysfs.ReadUint(root, dir+"/crash_notes", 16, 64)
	if err != nil {
		return elfcore.NoteRange{}, err
	}
	size, err := sysfs.ReadUint(root, dir+"/crash_notes_size", 10, 32)
	if errors.Is(err, fs.ErrNotExist) {
		size, err = defaultNotesSize, nil
	}
	return elfcore.NoteRange{Addr: memmap.PhysAddr(addr), Size: size}, err
}

// readVMCoreInfoNote reads /sys/kernel/vmcoreinfo (kernel/ksysfs.c,
// vmcoreinfo_show): address and size, both hexadecimal. Only the address has
// 0x, and in old kernels neither has.
func readVMCoreInfoNote(root fs.FS) (elfcore.NoteRange, error) {
	text, err := sysfs.ReadString(root, vmcoreinfoPath)
	if err != nil {
		return elfcore.NoteRange{}, err
	}
	a, s, ok := strings.Cut(text, " ")
	addr, err1 := strconv.ParseUint(strings.TrimPrefix(a, "0x"), 16, 64)
	size, err2 := strconv.ParseUint(s, 16, 32)
	if !ok || err1 != nil || err2 != nil || size == 0 {
		return elfcore.NoteRange{}, fmt.Errorf("/%s: %.200q is not an address and a size", vmcoreinfoPath, text)
	}
	return elfcore.NoteRange{Addr: memmap.PhysAddr(addr), Size: size}, nil
}

// readCMA reads the ranges of crashkernel=,cma (kernel/kexec_core.c,
// crash_cma_ranges_show), per line first and last address. Kernels without
// the file have no such ranges.
func readCMA(root fs.FS) ([]memmap.Range, error) {
	path := cmaPath
	text, err := sysfs.ReadString(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		path = cmaOldPath
		text, err = sysfs.ReadString(root, path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rs []memmap.Range
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		a, b, ok := strings.Cut(line, "-")
		start, err1 := strconv.ParseUint(a, 16, 64)
		last, err2 := strconv.ParseUint(b, 16, 64)
		if !ok || err1 != nil || err2 != nil || last < start {
			return nil, fmt.Errorf("/%s: %.200q is not a range", path, line)
		}
		rs = append(rs, memmap.RangeTo(memmap.PhysAddr(start), memmap.PhysAddr(last)))
	}
	return rs, nil
}

// Excluded returns the memory that a dump must not contain: the crash kernel's, high and
// low, less the firmware of powerpc in it; that of crashkernel=,cma; memory of the firmware of riscv, which no kernel can read;
// and on x86 the aperture of the GART, in which reads fail.
func (m *Machine) Excluded() memmap.Set {
	rs := append(append(m.Iomem.CrashKernel(), m.CMA...), m.Firmware...)
	if m.Map == nil || archOf(m.Map.Machine).gart {
		for _, r := range m.Iomem.Named("GART") {
			rs = append(rs, r.Range())
		}
	}
	return memmap.NewSet(rs...).Minus(memmap.NewSet(m.Runtime...))
}

// Header returns the elfcorehdr of the machine: see elfcore.Build. It excludes Excluded
// as well as opt.Exclude. The error wraps MapErr if the machine has no Map.
func (m *Machine) Header(opt elfcore.BuildOptions) (*elfcore.Header, error) {
	if m.Map == nil {
		return nil, fmt.Errorf("build elfcorehdr: virtual addresses of memory not known: %w", m.MapErr)
	}
	in := &elfcore.Inputs{Map: m.Map, VMCoreInfo: m.VMCoreInfo, RAM: m.Iomem.SystemRAM().Minus(m.Excluded())}
	for _, c := range m.CPUs {
		in.CPUNotes = append(in.CPUNotes, c.Notes)
	}
	return elfcore.Build(in, opt)
}
