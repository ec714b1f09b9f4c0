package memmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// chosenDirs are where the kernel shows /chosen of its device tree.
var chosenDirs = []string{"sys/firmware/devicetree/base/chosen", "proc/device-tree/chosen"}

// readTreeCrash reads the memory of crashkernel= that kernels for powerpc report in
// their device tree (arch/powerpc/kexec/core.c, export_crashk_values), since they
// list no "Crash kernel" in /proc/iomem (arch/powerpc/include/asm/crash_reserve.h,
// arch_add_crash_res_to_iomem). Other machines have no such properties.
func readTreeCrash(root fs.FS) ([]Range, error) {
	for _, dir := range chosenDirs {
		base, err := readCell(root, dir+"/linux,crashkernel-base")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		size, err := readCell(root, dir+"/linux,crashkernel-size")
		if errors.Is(err, fs.ErrNotExist) || err == nil && size == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		r, ok := RangeOf(PhysAddr(base), size)
		if !ok {
			return nil, fmt.Errorf("/%s: crash memory of %#x bytes at %#x reaches beyond 64 bits", dir, size, base)
		}
		return []Range{r}, nil
	}
	return nil, nil
}

// readCell reads a property of one number: big-endian, of 4 or 8 bytes.
func readCell(root fs.FS, name string) (uint64, error) {
	b, err := sysfs.ReadFile(root, name, 4096)
	if err != nil {
		return 0, err
	}
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	case 8:
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("/%s: %d bytes are no number of 4 or 8", name, len(b))
}
