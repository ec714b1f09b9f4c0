package plan

import (
	"encoding/binary"
	"fmt"

	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// ppc64Told is what a kernel is told by the device tree (arch/powerpc/kexec/file_load_64.c, setup_new_fdt_ppc64).
type ppc64Told struct {
	cmdline  string
	initrd   memmap.Range
	usable   memmap.Set // the memory of a crash kernel; empty: all
	firmware memmap.Set
	reserved []memmap.Range
}

func (c *ppc64Told) reserve(rs ...memmap.Range) { c.reserved = append(c.reserved, rs...) }

// ppc64Stale are properties of /chosen, beside staleChosen, that tell of the kernel before. linux,memory-limit would
// have the next kernel not see the memory that was added since this one started (arch/powerpc/kernel/prom.c).
var ppc64Stale = []string{"linux,htab-base", "linux,htab-size", "linux,kernel-end", "linux,crashkernel-base", "linux,crashkernel-size", "linux,memory-limit"}

// blob makes the tree, with slack bytes into which the running kernel can add CPUs.
func (c *ppc64Told) blob(t *fdt.Tree, slack int) ([]byte, error) {
	if err := (&chosen{cmdline: c.cmdline, initrd: c.initrd}).apply(t); err != nil {
		return nil, err
	}
	t.Root.Make("chosen").Delete(ppc64Stale...)
	if !c.usable.Empty() {
		if err := c.limit(t.Root); err != nil {
			return nil, err
		}
	}
	t.Reserved = nil
	add := func(r memmap.Range) {
		t.Reserved = append(t.Reserved, fdt.Reservation{Addr: uint64(r.Start), Size: r.Size()})
	}
	for _, r := range c.reserved {
		add(r)
	}
	for _, r := range c.firmware.Ranges() {
		add(r)
	}
	b, err := t.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	b = append(b, make([]byte, slack)...)
	const totalSize = 4 // of struct fdt_header
	binary.BigEndian.PutUint32(b[totalSize:], uint32(len(b)))
	return b, nil
}

// limit tells a crash kernel what memory it may use.
func (c *ppc64Told) limit(root *fdt.Node) error {
	cells, err := root.Cells()
	if err != nil {
		return err
	}
	for _, n := range root.Children {
		if !isMemory(n) {
			continue
		}
		reg, _ := n.Property("reg")
		ranges, err := cells.Ranges(reg)
		if err != nil {
			return fmt.Errorf("%s: reg: %w", n.Name, err)
		}
		var usable []byte
		for _, r := range ranges {
			for _, part := range c.within(r.Addr, r.Size) {
				if usable, err = cells.Append(usable, uint64(part.Start), part.Size()); err != nil {
					return fmt.Errorf("%s: %w", n.Name, err)
				}
			}
		}
		if usable == nil { // none of it
			usable, _ = cells.Append(nil, 0, 0)
		}
		n.Set("linux,usable-memory", usable)
	}
	return c.limitBlocks(root)
}

// within is the usable memory in a range.
func (c *ppc64Told) within(addr, size uint64) []memmap.Range {
	r, ok := memmap.RangeOf(memmap.PhysAddr(addr), size)
	if !ok {
		return nil
	}
	return c.usable.Intersect(memmap.NewSet(r)).Ranges()
}

// limitBlocks does it for the blocks that can be added and removed: for each a number of ranges, and these.
func (c *ppc64Told) limitBlocks(root *fdt.Node) error {
	n := root.Child("ibm,dynamic-reconfiguration-memory")
	if n == nil {
		return nil
	}
	blocks, err := ppc64Blocks(n)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	var usable []byte
	be := binary.BigEndian
	for _, b := range blocks {
		parts := c.within(b.Addr, b.Size)
		usable = be.AppendUint64(usable, uint64(len(parts)))
		for _, part := range parts {
			usable = be.AppendUint64(be.AppendUint64(usable, uint64(part.Start)), part.Size())
		}
	}
	n.Set("linux,drconf-usable-memory", usable)
	return nil
}

// maxBlocks bounds how many blocks of memory a tree may have: 16 TiB in the smallest, of 16 MiB.
const maxBlocks = 1 << 20

// ppc64Blocks lists the blocks of memory (PAPR, ibm,dynamic-memory and ibm,dynamic-memory-v2; arch/powerpc/mm/drmem.c).
func ppc64Blocks(n *fdt.Node) ([]fdt.Reservation, error) {
	size, found := n.Uint("ibm,lmb-size")
	if !found || size == 0 {
		return nil, fmt.Errorf("ibm,lmb-size is missing or 0")
	}
	const (
		entry   = 24 // bytes of both forms
		head    = 4
		baseV1  = 0 // before it nothing, behind it four words
		countV2 = 0 // a number of blocks, then the base of the first, then three words
		baseV2  = 4
	)
	be := binary.BigEndian
	v, grouped := n.Property("ibm,dynamic-memory-v2")
	if !grouped {
		if v, found = n.Property("ibm,dynamic-memory"); !found {
			return nil, fmt.Errorf("neither ibm,dynamic-memory nor ibm,dynamic-memory-v2 is there")
		}
	}
	if len(v) < head || uint64(len(v)-head) != entry*uint64(be.Uint32(v)) {
		return nil, fmt.Errorf("ibm,dynamic-memory of %d bytes is not a number and so many entries of %d", len(v), entry)
	}
	var blocks []fdt.Reservation
	for b := v[head:]; len(b) > 0; b = b[entry:] {
		base, count := be.Uint64(b[baseV1:]), uint32(1)
		if grouped {
			base, count = be.Uint64(b[baseV2:]), be.Uint32(b[countV2:])
		}
		if uint64(count) > maxBlocks-uint64(len(blocks)) {
			return nil, fmt.Errorf("more than %d blocks of memory", maxBlocks)
		}
		for i := range uint64(count) {
			blocks = append(blocks, fdt.Reservation{Addr: base + i*size, Size: size})
		}
	}
	return blocks, nil
}

// isMemory tells memory nodes apart.
func isMemory(n *fdt.Node) bool {
	v, _ := n.Property("device_type")
	return string(v) == "memory\x00"
}

// ppc64Top is the end of the memory that is accessible without translation: of the first memory node.
func ppc64Top(root *fdt.Node) memmap.PhysAddr {
	cells, err := root.Cells()
	if err != nil {
		return 0
	}
	for _, n := range root.Children {
		if !isMemory(n) {
			continue
		}
		reg, _ := n.Property("reg")
		if ranges, err := cells.Ranges(reg); err == nil && len(ranges) > 0 && ranges[0].Addr == 0 {
			return memmap.PhysAddr(ranges[0].Size)
		}
	}
	return 0
}

// ppc64Firmware is the memory of the firmware that Linux goes on using: RTAS, OPAL, the tables of PCI bridges (TCE), and
// what it has reserved (arch/powerpc/kexec/ranges.c).
func ppc64Firmware(root *fdt.Node) memmap.Set {
	var rs []memmap.Range
	add := func(n *fdt.Node, base, size string) {
		if n == nil {
			return
		}
		start, found := n.Uint(base)
		bytes, sized := n.Uint(size)
		if r, ok := memmap.RangeOf(memmap.PhysAddr(start), bytes); found && sized && ok && !r.Empty() {
			rs = append(rs, r)
		}
	}
	add(root.Child("rtas"), "linux,rtas-base", "rtas-size")
	add(root.Child("ibm,opal"), "opal-base-address", "opal-runtime-size")
	var walk func(n *fdt.Node)
	walk = func(n *fdt.Node) {
		add(n, "linux,tce-base", "linux,tce-size")
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(root)
	if v, found := root.Property("reserved-ranges"); found {
		cells := fdt.Cells{Addr: 2, Size: 2}
		ranges, _ := cells.Ranges(v) // a damaged one reserves nothing, as for the kernel
		for _, r := range ranges {
			if r, ok := memmap.RangeOf(memmap.PhysAddr(r.Addr), r.Size); ok && !r.Empty() {
				rs = append(rs, r)
			}
		}
	}
	return memmap.NewSet(rs...)
}

// ppc64Slack is the room for the CPUs that may be added, in bytes (arch/powerpc/kexec/file_load_64.c,
// cpu_node_size): the running kernel adds them to the tree in its place.
func (p *Plan) ppc64Slack(host *machine.Host, root *fdt.Node) int {
	if !p.Hotplug {
		return 0
	}
	const spare = 4 << 10
	cpus := root.Child("cpus")
	if cpus == nil {
		return spare
	}
	largest, threads, present := 0, 1, 0
	for _, n := range cpus.Children {
		servers, found := n.Property("ibm,ppc-interrupt-server#s")
		if !found {
			continue
		}
		present++
		if b, err := (&fdt.Tree{Root: n}).AppendBinary(nil); err == nil {
			largest, threads = max(largest, len(b)), max(threads, len(servers)/4)
		}
	}
	cores := (len(host.Dump.CPUs) + threads - 1) / threads // possible ones
	return spare + max(0, cores-present)*largest
}
