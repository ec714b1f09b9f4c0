package kcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const reservedMemoryDir = "sys/firmware/devicetree/base/reserved-memory"

// maxProperty bounds a property of the device tree, in bytes.
const maxProperty = 4096

// readFirmware reads the memory that the firmware of a riscv machine lives in, and
// that no kernel can read: OpenSBI protects it (PMP) and says so in nodes of
// these names (lib/utils/fdt/fdt_fixup.c, fdt_reserved_memory_fixup). Old versions
// don't mark it no-map, and then the kernel counts it as RAM.
func readFirmware(root fs.FS) ([]memmap.Range, error) {
	names, err := fs.Glob(root, reservedMemoryDir+"/mmode_resv*/reg")
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var words [2]int // 32-bit words in an address, in a size
	for i, name := range []string{"/#address-cells", "/#size-cells"} {
		b, err := sysfs.ReadFile(root, reservedMemoryDir+name, maxProperty)
		if err != nil {
			return nil, err
		}
		if len(b) != 4 || binary.BigEndian.Uint32(b) < 1 || binary.BigEndian.Uint32(b) > 2 {
			return nil, fmt.Errorf("/%s%s: %x is neither 1 nor 2", reservedMemoryDir, name, b)
		}
		words[i] = int(binary.BigEndian.Uint32(b))
	}
	var rs []memmap.Range
	for _, name := range names {
		b, err := sysfs.ReadFile(root, name, maxProperty)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(b) != 4*(words[0]+words[1]) {
			return nil, fmt.Errorf("/%s: %d bytes are no address and size of %d words", name, len(b), words[0]+words[1])
		}
		reg, err := fdt.Cells{Addr: words[0], Size: words[1]}.Ranges(b)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
		r, ok := memmap.RangeOf(memmap.PhysAddr(reg[0].Addr), reg[0].Size)
		if !ok {
			return nil, fmt.Errorf("/%s: %#x bytes at %#x reach beyond 64 bits", name, reg[0].Size, reg[0].Addr)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

const treeDir = "sys/firmware/devicetree/base/"

// readRuntime reads where the firmware of a powerpc machine lives that the kernel calls while it runs, RTAS or OPAL. It may
// lie in the crash memory, and belongs to a dump all the same (arch/powerpc/kexec/ranges.c, get_crash_memory_ranges).
func readRuntime(root fs.FS) ([]memmap.Range, error) {
	var rs []memmap.Range
	for _, names := range [][2]string{{"rtas/linux,rtas-base", "rtas/rtas-size"}, {"ibm,opal/opal-base-address", "ibm,opal/opal-runtime-size"}} {
		base, err := sysfs.ReadCell(root, treeDir+names[0])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		size, err := sysfs.ReadCell(root, treeDir+names[1])
		if err != nil {
			return nil, err
		}
		r, ok := memmap.RangeOf(memmap.PhysAddr(base), memmap.PageUp(size))
		if !ok {
			return nil, fmt.Errorf("/%s%s: %#x bytes at %#x reach beyond 64 bits", treeDir, names[0], size, base)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// FirmwareRAM is the part of Firmware that the kernel counts as RAM. The kernel puts it
// into its own headers (arch/riscv/kernel/machine_kexec_file.c, prepare_elf_headers), and
// then each read of it fails in the capture kernel.
func (m *Machine) FirmwareRAM() memmap.Set {
	return memmap.NewSet(m.Firmware...).Intersect(m.Iomem.SystemRAM())
}
