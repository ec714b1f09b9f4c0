package memmap

import (
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
		base, err := sysfs.ReadCell(root, dir+"/linux,crashkernel-base")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		size, err := sysfs.ReadCell(root, dir+"/linux,crashkernel-size")
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
