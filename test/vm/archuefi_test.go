package vm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// A machine with UEFI and ACPI, which has no device tree but what UEFI's stub makes
// for the kernel. A DIMM is hot-added; the header is stale, gokexec hotplug loads again, and
// the DIMM is in the dump.
func TestVMCrashArchUEFI(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		// In less, UEFI and KASLR together leave no room for the crash region on some boots.
		cfg.Firmware, cfg.Memory, cfg.MaxMemory = "uefi", 768, 4096
		g := vmlab.Boot(t, cfg)
		if len(g.Glob("/sys/firmware/acpi/tables/DSDT")) == 0 || len(g.Glob("/sys/firmware/devicetree/base/memory*")) != 0 {
			t.Fatal("the machine has no ACPI, or a device tree of its own; the test would prove nothing")
		}
		archLoad(t, g)
		crashWithDIMM(t, g, 256)
		if n := strings.Count(g.VM.Console(), "efi: EFI v"); n != 2 {
			t.Errorf("%d kernels found UEFI; want both", n)
		}
	}, "backports-arm64")
}

// waitMore waits until there is that much more RAM in one range, online, than the
// header knew of.
func waitMore(t *testing.T, g *vmlab.Guest, known memmap.Set, size uint64) (more memmap.Range) {
	t.Helper()
	block, err := strconv.ParseUint(strings.TrimSpace(g.ReadFile("/sys/devices/system/memory/block_size_bytes")), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	g.Eventually("memory is added", func() string {
		text := g.ReadFile("/proc/iomem")
		iomem, err := memmap.ParseIomem(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range iomem.SystemRAM().Minus(memmap.NewSet(iomem.CrashKernel()...)).Minus(known).Ranges() {
			last := fmt.Sprintf("/sys/devices/system/memory/memory%d/state", uint64(r.End-1)/block)
			if r.Size() >= size && len(g.Glob(last)) == 1 && g.ReadFile(last) == "online\n" {
				more = r
				return ""
			}
		}
		return fmt.Sprintf("no %d bytes:\n%s", size, text)
	})
	return more
}

// An ordinary kexec there, with UEFI's own tables, and its runtime services where
// they were. UEFI describes the GICv3's tables too.
func TestVMBootArchUEFI(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := bootTwice(t, vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2, Firmware: "uefi"})
		if n := strings.Count(g.VM.Console(), "efi: EFI v"); n != 3 {
			t.Errorf("%d kernels found UEFI; want 3", n)
		}
	}, "backports-arm64")
}
