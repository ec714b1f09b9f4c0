package vm

import (
	"fmt"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Memory that a driver adds on riscv64: a part of RAM that the device tree tells of
// as persistent memory, of which kmem makes System RAM. Debian's kernel has no
// virtio-mem there, and QEMU's machine no DIMMs.
var kmemRange = memmap.Range{Start: 0xa0000000, End: 0xb8000000}

func kmemTree(root *fdt.Node) error {
	cells, err := root.Cells()
	if err != nil {
		return err
	}
	memory := root.Child("memory")
	v, _ := memory.Property("reg")
	rs, err := cells.Ranges(v)
	if err != nil || len(rs) != 1 {
		return fmt.Errorf("memory is %v, %w; want one range", rs, err)
	}
	left := memmap.NewSet(memmap.Range{Start: memmap.PhysAddr(rs[0].Addr), End: memmap.PhysAddr(rs[0].Addr + rs[0].Size)}).Minus(memmap.NewSet(kmemRange))
	v = nil
	for _, r := range left.Ranges() {
		if v, err = cells.Append(v, uint64(r.Start), r.Size()); err != nil {
			return err
		}
	}
	memory.Set("reg", v)
	pmem := root.Make(fmt.Sprintf("pmem@%x", uint64(kmemRange.Start)))
	pmem.SetString("compatible", "pmem-region")
	if v, err = cells.Append(nil, uint64(kmemRange.Start), kmemRange.Size()); err != nil {
		return err
	}
	pmem.Set("reg", v)
	// kmem takes no memory that belongs to no node.
	node := []byte{0, 0, 0, 0}
	for _, n := range append([]*fdt.Node{memory, pmem}, root.Child("cpus").Children...) {
		if n.Name != "cpu-map" {
			n.Set("numa-node-id", node)
		}
	}
	return nil
}

// addKmem does what ndctl and daxctl do: the namespace becomes a devdax device, and
// that becomes System RAM.
func addKmem(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	const dax = "/sys/bus/nd/devices/dax0.0/"
	for _, w := range [][2]string{
		{dax + "uuid", "6f2c1c5e-1d1b-4a39-8d3e-0c6f4a4f7a11"}, {dax + "mode", "ram"}, {dax + "align", "2097152"}, {dax + "namespace", "namespace0.0"},
		{"/sys/bus/nd/drivers/dax_pmem/bind", "dax0.0"}, {"/sys/bus/dax/drivers/kmem/new_id", "dax0.0"},
	} {
		g.WriteFile(w[0], w[1])
	}
}

// Memory comes to riscv64.
func TestVMHotplugRISCV(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Memory, cfg.Tree, cfg.Modules = 1024, kmemTree, []string{"of_pmem", "dax_pmem", "kmem"}
		g := vmlab.Boot(t, cfg)
		archLoad(t, g)
		addKmem(t, g)
		repairInPlace(t, g, waitAdded(t, g, 256<<20).Ranges()...)
	}, "trixie-riscv64")
}
