package vm

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// A crash kernel loaded by segments, on each kernel.
func TestVMCrashSegments(t *testing.T) {
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, crashMachine(t, k))
		t.Log(g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0", "--method", "segments", "--dry-run"))
		loadCrash(t, g, "--method", "segments", "--serial", "ttyS0")
		t.Log(g.Must(gokexec, "elfcorehdr", "show", "--loaded"))
		iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
		if err != nil {
			t.Fatal(err)
		}
		nonce := g.Plant(200)
		low, err := g.VM.PlantAt(0x10000, 0x11000, 0x50000, 0x80000)
		if err != nil {
			t.Fatal(err)
		}
		g.Crash()
		if end := g.WaitEnd(); end.Reason != "guest-reset" {
			t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
		}
		d := openDump(t, g.VM.Disk(0))
		if d.result.Outcome != capture.Complete {
			t.Errorf("result = %+v; want complete", d.result)
		}
		d.checkNonce(t, nonce)
		d.checkNonce(t, low)
		d.checkRanges(t, iomem, true)
	})
}
