package memmap

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Resource is one line of /proc/iomem, with the resources that lie in it.
type Resource struct {
	Start    PhysAddr // first byte
	Last     PhysAddr // last byte, inclusive, as printed
	Name     string   // as the kernel or a driver named it; any bytes but a newline
	Children []*Resource
}

// Range returns the resource's addresses as a half-open range. See RangeTo for
// a resource that reaches the last byte of the 64-bit space.
func (r *Resource) Range() Range { return RangeTo(r.Start, r.Last) }

// Iomem is the resource tree of /proc/iomem. The kernel keeps siblings disjoint
// and sorted; but it prints what is nested deeper than MAX_IORES_LEVEL as
// siblings of that level, so deep siblings may contain each other.
type Iomem struct {
	Resources []*Resource

	// Digits is the least number of digits addresses are printed with: 8, or
	// 4 for /proc/ioports, which has the same format. 0 means 8.
	Digits int

	// TreeCrash is the memory of crashkernel= that the device tree tells of, on
	// powerpc, whose kernels list none. Set by ReadIomem.
	TreeCrash []Range

	text []byte // that it was read from; nil if it was not read by ReadIomem
}

// Walk yields every resource with its depth, parents before children, in the
// order in which they are printed. Top level resources have depth 0.
func (m *Iomem) Walk() iter.Seq2[int, *Resource] {
	return func(yield func(int, *Resource) bool) { walk(0, m.Resources, yield) }
}

func walk(depth int, rs []*Resource, yield func(int, *Resource) bool) bool {
	for _, r := range rs {
		if !yield(depth, r) || !walk(depth+1, r.Children, yield) {
			return false
		}
	}
	return true
}

// Named returns the resources of any depth whose name is exactly name, in the
// order in which they are printed.
func (m *Iomem) Named(name string) []*Resource {
	var rs []*Resource
	for _, r := range m.Walk() {
		if r.Name == name {
			rs = append(rs, r)
		}
	}
	return rs
}

// KernelImage is from where to where the running kernel is, its code, data and bss (kernel: the
// architectures' setup.c); empty where that is not told.
func (m *Iomem) KernelImage() Range {
	var image Range
	for _, name := range []string{"Kernel code", "Kernel data", "Kernel bss", "Kernel image"} {
		for _, res := range m.Named(name) {
			r := res.Range()
			if image.Empty() {
				image = r
			}
			image = Range{Start: min(image.Start, r.Start), End: max(image.End, r.End)}
		}
	}
	return image
}

const (
	nameRAM      = "System RAM"
	nameRAMAlias = "System RAM (boot alias)"
	nameCrash    = "Crash kernel"
)

// isRAM reports whether name is that of memory the kernel uses as RAM. Memory
// that a driver added is named "System RAM (DRIVER)", as
// add_memory_driver_managed in mm/memory_hotplug.c demands. The boot alias of
// 32-bit Arm (arch/arm/kernel/setup.c) is a second address of RAM that is
// listed anyway.
func isRAM(name string) bool {
	if name == nameRAM {
		return true
	}
	return strings.HasPrefix(name, nameRAM+" (") && strings.HasSuffix(name, ")") && name != nameRAMAlias
}

// SystemRAM returns all memory that the kernel uses: "System RAM" and the
// memory that drivers added, such as "System RAM (kmem)" and "System RAM
// (virtio_mem)", at any depth. This is what a dump holds, before anything is
// taken out of it.
func (m *Iomem) SystemRAM() Set { return m.set(isRAM) }

// BootRAM returns the memory named "System RAM" alone, at any depth: the memory
// that may be the destination of a kexec segment. Memory that a driver added
// is not there before that driver runs.
func (m *Iomem) BootRAM() Set { return m.set(func(name string) bool { return name == nameRAM }) }

func (m *Iomem) set(match func(name string) bool) Set {
	var rs []Range
	for _, r := range m.Walk() {
		if match(r.Name) {
			rs = append(rs, r.Range())
		}
	}
	return NewSet(rs...)
}

// CrashKernel returns the ranges reserved by crashkernel=, ascending: the low
// one first if there are two. kexec_load takes segments in the highest only.
func (m *Iomem) CrashKernel() []Range {
	var rs []Range
	for _, r := range m.Named(nameCrash) {
		rs = append(rs, r.Range())
	}
	if len(rs) == 0 {
		rs = slices.Clone(m.TreeCrash)
	}
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	return rs
}

// Hidden reports whether every address is zero, as the kernel prints them to
// a reader it doesn't trust. See ErrAddressesHidden.
func (m *Iomem) Hidden() bool {
	for _, r := range m.Walk() {
		if r.Start != 0 || r.Last != 0 {
			return false
		}
	}
	return len(m.Resources) > 0
}
