package plan

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (

	// maxDeviceTree is what arm64 and riscv take (Documentation/arch/arm64/
	// booting.rst; arch/riscv/mm/init.c maps two blocks of 2 MiB), in bytes.
	maxDeviceTree = 2 << 20
)

// staleChosen are properties of /chosen that tell of the kernel before: of its
// memory, its seeds, what its loader handed over (drivers/of/kexec.c,
// of_kexec_alloc_and_setup_fdt; drivers/of/fdt.c). What UEFI tells (linux,uefi-*)
// stays true.
var staleChosen = []string{
	"linux,initrd-start", "linux,initrd-end", "linux,elfcorehdr", "linux,usable-memory-range",
	"kaslr-seed", "rng-seed", "linux,ima-kexec-buffer", "linux,dmcryptkeys", "linux,kho-fdt", "linux,kho-scratch",
	"linux,booted-from-kexec",
}

// deviceTree is the one to hand on, a copy: that in the file, or the machine's.
func deviceTree(host *machine.Host, file *Input) (*fdt.Tree, error) {
	if file != nil {
		if file.Size > maxDeviceTree {
			return nil, &advice.Problem{What: fmt.Sprintf("device tree %s has %d bytes; a kernel takes %d at most", file.Path, file.Size, maxDeviceTree), Hint: "is it a .dtb file?"}
		}
		b, err := file.Bytes()
		if err != nil {
			return nil, err
		}
		t, err := fdt.Parse(b)
		if err != nil {
			return nil, &advice.Problem{What: fmt.Sprintf("device tree %s: %v", file.Path, err), Hint: "give a flattened device tree, a .dtb file", Err: err}
		}
		return t, nil
	}
	if host.DeviceTree == nil {
		err := host.DeviceTreeErr
		return nil, &advice.Problem{What: "the device tree to hand on can't be read: " + unreadText(err, "/"+machine.FDTPath+" was not read"), Hint: machine.ReadHint(err, "give one with --dtb"), Err: err}
	}
	// The Host's own stays as it is, for the next plan.
	b, err := host.DeviceTree.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	return fdt.Parse(b)
}

func unreadText(err error, otherwise string) string {
	if err == nil {
		return otherwise
	}
	return err.Error()
}

// chosen is what a new kernel is told in /chosen.
type chosen struct {
	cmdline    string
	initrd     memmap.Range
	elfcorehdr memmap.Range
	usable     []memmap.Range // the memory of a crash kernel; the first is the largest part
	seed       []byte
}

// apply puts it into the tree, in place of what was told to the kernel before.
func (c *chosen) apply(t *fdt.Tree) error {
	n := t.Root.Make("chosen")
	if start, found := n.Uint("linux,initrd-start"); found {
		// The boot loader may have reserved it (fdt_find_and_del_mem_rsv).
		t.Reserved = slices.DeleteFunc(t.Reserved, func(r fdt.Reservation) bool { return r.Addr == start })
	}
	n.Delete(staleChosen...)
	if c.cmdline == "" {
		n.Delete("bootargs")
	} else {
		n.SetString("bootargs", c.cmdline)
	}
	if !c.initrd.Empty() {
		n.SetUint64("linux,initrd-start", uint64(c.initrd.Start))
		n.SetUint64("linux,initrd-end", uint64(c.initrd.End))
	}
	if !c.elfcorehdr.Empty() {
		if err := c.applyCrash(t.Root, n); err != nil {
			return err
		}
	}
	if len(c.seed) > 0 {
		n.Set("kaslr-seed", c.derived("kaslr-seed")[:8])
		n.Set("rng-seed", c.derived("rng-seed"))
	}
	n.Set("linux,booted-from-kexec", nil)
	return nil
}

// applyCrash tells where the elfcorehdr is and what memory may be used. Both have
// the cells of the root node (drivers/of/fdt.c, early_init_dt_check_for_elfcorehdr
// and early_init_dt_check_for_usable_mem_range). A kernel that takes fewer ranges
// than there are takes the first.
func (c *chosen) applyCrash(root, n *fdt.Node) error {
	setDefaultCells(root)
	cells, err := root.Cells()
	if err != nil {
		return err
	}
	header, err := cells.Append(nil, uint64(c.elfcorehdr.Start), c.elfcorehdr.Size())
	if err != nil {
		return fmt.Errorf("linux,elfcorehdr: %w", err)
	}
	var usable []byte
	for _, r := range c.usable {
		if usable, err = cells.Append(usable, uint64(r.Start), r.Size()); err != nil {
			return fmt.Errorf("linux,usable-memory-range: %w", err)
		}
	}
	n.Set("linux,elfcorehdr", header)
	n.Set("linux,usable-memory-range", usable)
	return nil
}

// setDefaultCells makes numbers of 64 bits possible in a tree that says nothing
// of cells and has nothing that uses them, as one of UEFI's stub may be.
func setDefaultCells(root *fdt.Node) {
	for _, name := range []string{"#address-cells", "#size-cells"} {
		if _, found := root.Property(name); found {
			return
		}
	}
	for _, c := range root.Children {
		if _, found := c.Property("reg"); found {
			return
		}
	}
	root.Set("#address-cells", []byte{0, 0, 0, 2})
	root.Set("#size-cells", []byte{0, 0, 0, 2})
}

// derived makes one of several seeds of the one that there is: who learns one
// learns nothing of the others.
func (c *chosen) derived(name string) []byte {
	sum := sha256.Sum256(append([]byte("gokexec "+name+"\x00"), c.seed...))
	return sum[:]
}

// reservedByTree is the memory that a tree keeps kernels away from: the
// reservation block, and /reserved-memory (Documentation/devicetree/bindings/
// reserved-memory). What a node reserves without an address is anywhere.
func reservedByTree(t *fdt.Tree) memmap.Set {
	if t == nil {
		return memmap.Set{}
	}
	all := slices.Clone(t.Reserved)
	if n := t.Root.Child("reserved-memory"); n != nil {
		cells, err := n.Cells()
		for _, c := range n.Children {
			reg, found := c.Property("reg")
			if !found || err != nil {
				continue
			}
			// One that can't be read reserves nothing, as for the kernel.
			if rs, err := cells.Ranges(reg); err == nil {
				all = append(all, rs...)
			}
		}
	}
	var ranges []memmap.Range
	for _, r := range all {
		start := memmap.PhysAddr(r.Addr &^ (memmap.PageSize - 1))
		if r.Size > 0 && r.Addr < math.MaxUint64-r.Size-memmap.PageSize {
			ranges = append(ranges, memmap.Range{Start: start, End: memmap.PhysAddr(memmap.PageUp(r.Addr + r.Size))})
		}
	}
	return memmap.NewSet(ranges...)
}
