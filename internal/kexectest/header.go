package kexectest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	// kcoreContent is where in /proc/kcore physical address 0 is.
	kcoreContent = 1 << 20

	// kcoreSize is that of the file, which is sparse: the memory there is at first
	// can be read.
	kcoreSize = kcoreContent + 1<<30
)

// WritePhys puts data into memory, where /proc/kcore shows it, if it is there.
func (m *Machine) WritePhys(addr uint64, data []byte) {
	m.t.Helper()
	if _, err := os.Stat(filepath.Join(m.Dir, "proc/kcore")); err == nil {
		m.writeKcoreAt(data, kcoreContent+int64(addr-m.arch.ramBase))
	}
}

func (m *Machine) writeKcoreAt(data []byte, offset int64) {
	m.t.Helper()
	path := filepath.Join(m.Dir, "proc/kcore")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt(data, offset)
	if err = errors.Join(err, f.Truncate(kcoreSize)); err != nil {
		m.t.Fatal(err)
	}
}

// HideKcore makes /proc/kcore unreadable, as lockdown=confidentiality does.
func (m *Machine) HideKcore() { m.Remove("proc/kcore") }

// DIMM is 1 GiB that is hot-added above all else.
func DIMM() memmap.Range { return memmap.Range{Start: 4 << 30, End: 5 << 30} }

// AddMemory adds a DIMM above all else, as a range of its own; RemoveMemory
// takes it away. Neither tells the kernel: that is MemoryOnline.
func (m *Machine) AddMemory(r memmap.Range) {
	m.t.Helper()
	m.Write("proc/iomem", m.read("proc/iomem")+iomemLine(r))
	m.rewriteKcore()
}

// RemoveMemory undoes AddMemory.
func (m *Machine) RemoveMemory(r memmap.Range) {
	m.t.Helper()
	m.Write("proc/iomem", strings.Replace(m.read("proc/iomem"), iomemLine(r), "", 1))
	m.rewriteKcore()
}

func iomemLine(r memmap.Range) string {
	return fmt.Sprintf("%08x-%08x : System RAM\n", uint64(r.Start), uint64(r.End)-1)
}

func (m *Machine) read(path string) string {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.Dir, path))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// rewriteKcore gives /proc/kcore the RAM that /proc/iomem has.
func (m *Machine) rewriteKcore() {
	m.t.Helper()
	iomem, err := memmap.ReadIomem(os.DirFS(m.Dir))
	if err != nil {
		m.t.Fatal(err)
	}
	m.WriteKcore(iomem.SystemRAM().Ranges()...)
}

// MemoryOnline is what the kernel does when memory or CPUs have changed: with
// HotplugFlag, and an image it may update, it rewrites the header, unless a load
// holds the lock (kernel/crash_core.c, crash_handle_hotplug_event).
func (k *Kernel) MemoryOnline() {
	k.t.Helper()
	if k.HotplugFlag && !k.Loading && k.Crash != nil && k.headerAt != 0 {
		k.writeHeader(k.headerAt)
	}
}

// writeImage puts into memory what a load leaves there that somebody may read.
func (k *Kernel) writeImage(image *Image) {
	k.t.Helper()
	k.headerAt = 0
	region, found := k.crashRegion()
	if !found {
		return
	}
	if image.Segments == nil {
		// The purgatory and boot_params, which differ for each load, are next to it.
		k.loads++
		k.WritePhys(uint64(region.Start)+headerRoom, fmt.Appendf(nil, "purgatory of load %d", k.loads))
		k.writeHeader(k.fileHeaderAt(region))
		return
	}
	k.WritePhys(uint64(region.Start), make([]byte, pageSize)) // a control page
	for _, s := range image.Segments {
		if s.MemSize > headerRoom {
			continue // nobody looks at the kernel
		}
		k.WritePhys(s.Phys, s.Data)
		if bytes.HasPrefix(s.Data, []byte(elf.ELFMAG)) && image.LoadFlags&kexec.LoadUpdateElfcorehdr != 0 {
			k.headerAt = s.Phys
		}
	}
}

// headerRoom is the segment of the elfcorehdr, in bytes.
const headerRoom = 1 << 20

// writeHeader writes the kernel's own header for the machine as it is now.
func (k *Kernel) writeHeader(at uint64) {
	k.t.Helper()
	k.headerAt = at
	machine, err := kcore.ReadMachine(os.DirFS(k.Dir))
	if err != nil || machine.MapErr != nil {
		return // a machine that tells nothing of itself: a test of that
	}
	machine.Firmware = nil // the kernel does not know of it
	header, err := machine.Header(elfcore.BuildOptions{Exclude: elfcore.LowMiB()})
	if err != nil {
		k.t.Fatal(err)
	}
	b, err := header.AppendBinary(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	k.WritePhys(at, b)
}

// fileHeaderAt is where kexec_file_load puts a header of one page: on x86 as low as
// possible, on arm64 and riscv as high (SZ_64K and PAGE_SIZE are buf_align in their
// machine_kexec_file.c).
func (m *Machine) fileHeaderAt(region memmap.Range) uint64 {
	switch m.arch.machine {
	case elf.EM_AARCH64:
		return (uint64(region.End) - pageSize) &^ (64<<10 - 1)
	case elf.EM_RISCV:
		return uint64(region.End) - pageSize
	}
	return uint64(region.Start)
}
