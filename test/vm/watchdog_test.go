package vm

import (
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// A hardware watchdog that the crashed kernel has armed, of 30 s, is fed by the capture from its first
// module on: it waits 40 s for a target that does not come, and then saves all of the memory.
func TestVMWatchdog(t *testing.T) {
	vmlab.NotByDefault(t)
	t.Parallel()
	k := vmlab.GetTestKernel(t, "trixie-cloud") // bookworm-cloud lacks the driver
	cfg := crashMachine(t, k, append(slices.Clone(wholeMemory), "--set", "nvme", "--module", "i6300esb", "--watchdog", "--device-timeout", "40",
		"raw:PARTUUID=00000000-0000-0000-0000-000000000001", "raw:/dev/nvme0n1")...)
	cfg.Args = []string{"-device", "i6300esb", "-action", "watchdog=poweroff"}
	cfg.Modules = []string{"i6300esb"}
	g := vmlab.Boot(t, cfg)
	g.Start("busybox", "sh", "-c", "exec 3>/dev/watchdog0; while echo >&3; do busybox sleep 3; done")
	loadCrash(t, g)
	g.Eventually("the watchdog is armed", func() string {
		if state := strings.TrimSpace(g.ReadFile("/sys/class/watchdog/watchdog0/state")); state != "active" {
			return state
		}
		return ""
	})
	if r := g.Run(gokexec, "check", guestKernel, "--initrd", guestInitrd); !strings.Contains(r.Stdout, "its driver i6300esb is in the initrd") {
		t.Errorf("check: exit code %d; want the armed watchdog and its driver\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	nonce := g.Plant(200)
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
	}
	d := openDump(t, g.VM.Disk(0))
	if d.result.Outcome != capture.Complete {
		t.Errorf("result = %+v; want complete", d.result)
	}
	d.checkNonce(t, nonce)
}
