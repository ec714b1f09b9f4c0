package vm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// A machine with UEFI and ACPI, which has no device tree but what UEFI's stub makes
// for the kernel. A DIMM comes; the header is stale, gokexec hotplug loads anew, and
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
		before := readHeader(t, g, "show", "--loaded").memory()
		if err := g.VM.AddDIMM(t.Context(), "d0", 256); err != nil {
			t.Fatal(err)
		}
		added := waitMore(t, g, before, 256<<20)
		if s := readStatus(t, g); s.Header.Accuracy != "stale" {
			t.Errorf("status with %v added: %+v; want stale", added, s)
		}
		g.Must(gokexec, "hotplug")
		if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
			t.Errorf("status after hotplug: %+v; want accurate", s)
		}
		nonce, err := g.VM.PlantBetween(t.Context(), 50, uint64(added.Start), uint64(added.End))
		if err != nil {
			t.Fatal(err)
		}
		crashSegments(t, g).checkNonce(t, nonce)
		if n := strings.Count(g.VM.Console(), "efi: EFI v"); n != 2 {
			t.Errorf("%d kernels found UEFI; want both", n)
		}
	}, "backports-arm64")
}

// waitMore waits until there is that much more RAM in one range, online, than the
// header knew of.
func waitMore(t *testing.T, g *vmlab.Guest, known memmap.Set, size uint64) memmap.Range {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range iomem.SystemRAM().Minus(memmap.NewSet(iomem.CrashKernel()...)).Minus(known).Ranges() {
			last := fmt.Sprintf("/sys/devices/system/memory/memory%d/state", uint64(r.End-1)>>27)
			if r.Size() >= size && len(g.Glob(last)) == 1 && g.ReadFile(last) == "online\n" {
				return r
			}
		}
	}
	t.Fatalf("no %d bytes were added:\n%s", size, g.ReadFile("/proc/iomem"))
	return memmap.Range{}
}

// An ordinary kexec there, with UEFI's own tables, and its runtime services where
// they were. UEFI tells of the GICv3's tables too.
func TestVMBootArchUEFI(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := bootTwice(t, vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2, Firmware: "uefi"})
		if n := strings.Count(g.VM.Console(), "efi: EFI v"); n != 3 {
			t.Errorf("%d kernels found UEFI; want 3", n)
		}
	}, "backports-arm64")
}
