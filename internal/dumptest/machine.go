package dumptest

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Machine is a made-up machine of which only the memory exists that was written: a kernel image with
// VMCOREINFO, page tables, and a struct page for each page frame (pages.go). It is the Memory of a
// dump, of any size.
type Machine struct {
	Paging
	Kernel Kernel
	Ranges []memmap.Range // the machine's memory, ascending

	// Fill makes the struct page of a page frame that was never changed, zeroed before. The
	// default is a page of the kernel.
	Fill func(pfn uint64, page []byte)
	// Hidden is memory of which reading fails.
	Hidden memmap.Range
	// TablesAt is the physical address where Map makes the next page table; 0 is somewhere in the kernel image.
	TablesAt uint64

	mem     map[uint64]*[4096]byte
	info    strings.Builder
	next    uint64 // physical address where alloc goes on
	root    uint64 // physical address of the top page table
	array   memmap.Range
	zone    uint64 // physical address of the zone with the free pages
	parsed  func() (*vmcore.VMCoreInfo, error)
	mapping func() *vmcore.AddressSpace
	scratch sync.Pool // *[4096]byte
}

// imageBytes is how large the kernel image and what it allocates at boot are, in bytes.
const imageBytes = 64 << 20

// NewMachine returns a machine whose memory begins where a machine of the architecture has the kernel:
// size bytes of it, and the further ranges.
func NewMachine(p Paging, k Kernel, size uint64, more ...memmap.Range) *Machine {
	m := &Machine{Paging: p, Kernel: k, mem: map[uint64]*[4096]byte{}}
	m.Ranges = append([]memmap.Range{{Start: memmap.PhysAddr(p.RAM), End: memmap.PhysAddr(p.RAM + size)}}, more...)
	m.Fill = func(_ uint64, page []byte) { k.kernelPage(page) }
	m.scratch.New = func() any { return new([4096]byte) }
	m.Renew()
	m.next = p.ImagePhys + 1<<20
	m.Line("OSRELEASE=%s", k.Release)
	m.Line("PAGESIZE=%d", 1<<p.Page)
	m.Symbol("_stext", p.ImageVirt)
	m.root = m.Alloc(1<<p.Page, 1<<p.Page)
	p.describe(m)
	m.Map(p.ImageVirt&^(1<<p.Page-1), p.ImagePhys&^(1<<p.Page-1), imageBytes)
	m.Map(p.Direct, p.RAM, min(size, 1<<34))
	m.addPages()
	m.addZone()
	return m
}

// Renew forgets what was read of VMCOREINFO and the page tables.
func (m *Machine) Renew() {
	m.parsed = sync.OnceValues(func() (*vmcore.VMCoreInfo, error) { return vmcore.ParseVMCoreInfo([]byte(m.info.String())) })
	m.mapping = sync.OnceValue(func() *vmcore.AddressSpace {
		v, _ := m.parsed()
		return vmcore.NewAddressSpace(m.Platform(), v, m, vmcore.Hints{})
	})
}

// Line appends a line to VMCOREINFO, before the machine is first read.
func (m *Machine) Line(format string, args ...any) { fmt.Fprintf(&m.info, format+"\n", args...) }

// Symbol appends a SYMBOL line.
func (m *Machine) Symbol(name string, addr uint64) { m.Line("SYMBOL(%s)=%x", name, addr) }

// Edit changes the text of VMCOREINFO.
func (m *Machine) Edit(change func(text string) string) {
	text := change(m.info.String())
	m.info.Reset()
	m.info.WriteString(text)
}

// Alloc reserves n bytes in the image and returns their physical address.
func (m *Machine) Alloc(n, align uint64) uint64 {
	at := (m.next + align - 1) &^ (align - 1)
	m.next = at + n
	if m.next > m.ImagePhys+imageBytes {
		// Virt is the virtual address of memory of the kernel image.
	}
	return at
}

// Virt is the virtual address of memory of the kernel image.
func (m *Machine) Virt(phys uint64) uint64 { return phys - m.ImagePhys + m.ImageVirt }

// page returns 4 KiB of memory that can be written.
func (m *Machine) page(phys uint64) *[4096]byte {
	p := m.mem[phys>>12]
	if p == nil {
		p = new([4096]byte)
		m.generate(p[:], phys&^4095)
		m.mem[phys>>12] = p
	}
	return p
}

// generate fills a whole page that was never written.
func (m *Machine) generate(b []byte, phys uint64) {
	clear(b)
	if !m.array.ContainsAddr(memmap.PhysAddr(phys)) {
		return
	}
	first := (phys - uint64(m.array.Start)) / pageStruct
	for i := range uint64(len(b) / pageStruct) {
		m.Fill(m.RAM>>m.Page+first+i, b[i*pageStruct:][:pageStruct])
	}
}

// Put stores an integer of size bytes at a physical address.
func (m *Machine) Put(phys uint64, size int, v uint64) {
	b := m.page(phys)[phys&4095:][:size]
	switch size {
	case 1:
		b[0] = byte(v)
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// Get reads 8 bytes.
func (m *Machine) Get(phys uint64) uint64 {
	return binary.LittleEndian.Uint64(m.page(phys)[phys&4095:])
}

// Platform is that of the architecture.
func (m *Machine) Platform() vmcore.Platform {
	return vmcore.Platform{Machine: m.Machine, Order: binary.LittleEndian, Word: 8}
}

// VMCoreInfo parses what was written so far.
func (m *Machine) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return m.parsed() }

// ReadPhysAt reads memory; what was never written is zero.
func (m *Machine) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	for n := 0; n < len(b); {
		a := uint64(addr) + uint64(n)
		if !m.has(a) {
			return n, fmt.Errorf("physical address %#x: %w", a, vmcore.ErrNotInDump)
		}
		to := b[n:min(len(b), n+int(4096-a&4095))]
		switch p := m.mem[a>>12]; {
		case p != nil:
			copy(to, p[a&4095:])
		case len(to) == 4096:
			m.generate(to, a)
		default:
			page := m.scratch.Get().(*[4096]byte)
			m.generate(page[:], a&^4095)
			copy(to, page[a&4095:])
			m.scratch.Put(page)
		}
		n += len(to)
	}
	return len(b), nil
}

func (m *Machine) has(a uint64) bool {
	if m.Hidden.ContainsAddr(memmap.PhysAddr(a)) {
		return false
	}
	if m.array.ContainsAddr(memmap.PhysAddr(a)) {
		return true // also where Ranges are small and far apart
	}
	for _, r := range m.Ranges {
		if r.ContainsAddr(memmap.PhysAddr(a)) {
			return true
		}
	}
	return false
}

// ReadVirtAt reads memory by the machine's own page tables.
func (m *Machine) ReadVirtAt(b []byte, addr uint64) (int, error) {
	return m.mapping().ReadVirtAt(b, addr)
}

// NextMemory returns the next of Ranges.
func (m *Machine) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	for _, r := range m.Ranges {
		if r.End > addr {
			return memmap.Range{Start: max(r.Start, addr), End: r.End}, nil
		}
	}
	return memmap.Range{}, io.EOF
}
