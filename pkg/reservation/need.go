package reservation

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Part is one of the things that a capture needs memory for.
type Part struct {
	Name  string `json:"name"`
	Bytes uint64 `json:"bytes"`
	Why   string `json:"why,omitempty"`
	Low   bool   `json:"low,omitempty"` // it must be below 4 GiB
}

// What is taken where the machine does not tell.
const (
	usualImage    = 64 << 20 // a distribution's kernel of 2026
	usualPacked   = 6 << 20  // gokexec's own initramfs with drivers and a filesystem
	usualUnpacked = 24 << 20
)

const (
	// perCPU is what another CPU takes: per-CPU memory, kernel threads, and a worker with its compressor.
	perCPU = 4 << 20
	// perDevice is what the kernel keeps of a PCI device without its driver.
	perDevice = 32 << 10
	// physical is for the tables of a real machine's firmware (ACPI, EFI) and what its chipset needs; not
	// measured.
	physical = 32 << 20
	// bounce is the default size of SWIOTLB (kernel/dma/swiotlb.c, IO_TLB_DEFAULT_SIZE).
	bounce = 64 << 20
	// What SMMU takes of a capture kernel: with pages of 64 KiB as Fedora has it (kdump-utils,
	// kdump-lib.sh); not measured.
	smmu, smmu64K = 64 << 20, 384 << 20
)

// pageStructs is struct page, for each page of the crash memory itself (include/linux/mm_types.h).
const pageStructs = 64

// Parts lists what a capture of this machine needs with the reservation that Recommend gives, without its margin.
func (m *Machine) Parts() []Part { return m.parts(m.above()) }

// parts lists the same for crash memory above 4 GiB or below.
func (m *Machine) parts(above bool) []Part {
	rest, row := largestRest(m.Arch)
	image, why := m.Image, "as its header says"
	switch {
	case image == 0 && m.Kernel > 0:
		image, why = m.Kernel+m.Kernel/8, "of the running one, and room to unpack it"
	case image == 0:
		image, why = usualImage, "not known; a usual one"
	}
	packed, unpacked, initrd := m.Packed, m.Unpacked, "as it was made"
	if unpacked == 0 {
		packed, unpacked, initrd = usualPacked, usualUnpacked, "a usual one of gokexec"
	}
	parts := []Part{
		{Name: "kernel", Bytes: image, Why: why},
		{Name: "initramfs", Bytes: packed, Why: initrd},
		{Name: "initramfs, unpacked", Bytes: unpacked, Why: initrd},
		{Name: "drivers, filter, compression", Bytes: rest, Why: fmt.Sprintf("measured with Linux %s", row.Release)},
		{Name: "elfcorehdr", Bytes: max(m.Header, 64<<10), Why: "the ranges and CPUs of the dump"},
		{Name: "kernel's own pages", Bytes: m.Control, Why: "identity mapping of the RAM"},
	}
	add := func(needed bool, p Part) {
		if needed && p.Bytes > 0 {
			parts = append(parts, p)
		}
	}
	more := uint64(max(m.CPUs, 1) - 1)
	add(true, Part{Name: "more CPUs", Bytes: more * perCPU, Why: fmt.Sprintf("%d, of %s each", more, advice.MiB(perCPU))})
	add(true, Part{Name: "per-CPU memory", Bytes: uint64(m.AllCPUs) * m.arch().allCPUs, Why: "of all CPUs that the machine may have: maxcpus= does not bound it"})
	add(true, Part{Name: "PCI devices", Bytes: uint64(m.PCIDevices) * perDevice, Why: fmt.Sprintf("%d, without their drivers", m.PCIDevices)})
	add(!m.Virtual, Part{Name: "firmware and chipset", Bytes: physical, Why: "a physical machine; an estimate"})
	add(m.Page > memmap.PageSize, Part{Name: "larger pages", Bytes: largerPages(m.Page), Why: fmt.Sprintf("each file and slab ends with a part of a page of %s", advice.MiB(m.Page))})
	add(m.SMMU, Part{Name: "SMMU", Bytes: smmuSize(m.Page), Why: "as Fedora has it; not measured"})
	add(m.Encrypted, Part{Name: "bounce buffers", Bytes: bounce, Why: "memory is encrypted, so that all DMA is bounced", Low: true})
	add(above && !m.Encrypted && !m.NoBounce, Part{Name: "bounce buffers", Bytes: bounce, Why: "the crash memory is above 4 GiB, which some devices do not reach", Low: true})
	sum := uint64(0)
	for _, p := range parts {
		sum += p.Bytes
	}
	// Of the crash memory itself: n bytes of it have n/page structures.
	page := max(m.Page, memmap.PageSize)
	return append(parts, Part{Name: "struct pages", Bytes: sum / page * pageStructs, Why: "of the crash memory itself"})
}

// largerPages is what kernels with larger pages need more: Fedora adds 100 MiB with pages of 64 KiB (kdump-utils,
// kdump-lib.sh).
func largerPages(page uint64) uint64 { return (100 << 20) * page / (64 << 10) }

func smmuSize(page uint64) uint64 {
	if page >= 64<<10 {
		return smmu64K
	}
	return smmu
}

// Need is the sum of the parts: with less the capture is expected to fail.
func (m *Machine) Need() uint64 {
	rest, low := sums(m.Parts())
	return rest + low
}

// sums adds up the parts that may be anywhere, and those that must be below 4 GiB.
func sums(parts []Part) (anywhere, low uint64) {
	for _, p := range parts {
		if p.Low {
			low += p.Bytes
		} else {
			anywhere += p.Bytes
		}
	}
	return anywhere, low
}

// above tells whether the reservation has to be above 4 GiB, and can be.
func (m *Machine) above() bool { return !m.fitsLow() && m.knowsHigh() }

// fitsLow tells whether a plain crashkernel= finds room below 4 GiB: what is there is in the way of the firmware, the
// kernel and devices in part, so half of the largest range counts.
func (m *Machine) fitsLow() bool {
	largest := uint64(0)
	for _, r := range m.LowRAM.Ranges() {
		largest = max(largest, r.Size())
	}
	return m.arch().anywhere || m.LowRAM.Empty() || largest/2 >= usualNeed
}

// usualNeed is the most that is looked for below 4 GiB, in bytes: so that fitsLow does not depend on itself.
const usualNeed = 256 << 20
