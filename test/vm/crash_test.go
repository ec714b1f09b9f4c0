package vm

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// harmful is what a first kernel may have on its command line, and a capture with it
// would not live: most of the crash memory goes into huge pages, and any trouble is a
// panic.
const harmful = "hugepages=48 sysctl.vm.nr_hugepages=48 sysctl/vm/nr_overcommit_hugepages=9 hung_task_panic=1 sysctl.kernel.hung_task_panic=1 softlockup_panic=1 nmi_watchdog=panic " +
	"unknown_nmi_panic oops=panic sysctl.kernel.panic_on_oops=1 sysctl.kernel.panic_on_warn=1 sysctl.vm.min_free_kbytes=65536 transparent_hugepage=always " +
	"log_buf_len=16M ignition.firstboot rd.break systemd.unit=rescue.target panic=0 rcupdate.rcu_cpu_stall_timeout=300 " +
	`dyndbg="func no_such_function +p` // whose quote is never closed

// The main job, on each kernel: load by kexec_file_load, with the running kernel's
// command line less what harms, panic, capture with gokexec as init, and on the host
// the memory and the log are what they were.
func TestVMCrashFileLoad(t *testing.T) {
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		machine := crashMachine(t, k)
		machine.Cmdline, machine.Memory = harmful, 768 // much of which is taken by that
		g := vmlab.Boot(t, machine)
		loadCrash(t, g, "--reuse-cmdline")
		g.WriteFile("/dev/kmsg", "<3>gokexec-test: last words\n")
		nonce, planted := g.Plant(200), plant(g)
		iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
		if err != nil {
			t.Fatal(err)
		}
		dmesg := g.Must(gokexec, "version")
		t.Log(dmesg)
		g.Crash()
		if end := g.WaitEnd(); end.Reason != "guest-reset" {
			t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
		}
		d := openDump(t, g.VM.Disk(0))
		if d.result.Outcome != capture.Complete || d.Incomplete || len(d.result.Errors) != 0 || d.result.VMCore.IncompletePages != 0 {
			t.Errorf("result = %+v; want complete, without errors", d.result)
		}
		if d.result.KernelRelease != k.Release || d.result.Memory.PeakRSSBytes == 0 || d.result.Durations.TotalSeconds <= 0 {
			t.Errorf("result = %+v; want release %s, memory and times", d.result, k.Release)
		}
		t.Logf("saved %d MB in %.1f s, peak memory %d MB, least available %d MB", d.result.VMCore.SizeBytes/1e6, d.result.Durations.TotalSeconds,
			d.result.Memory.PeakRSSBytes/1e6, d.result.Memory.MinMemAvailableBytes/1e6)
		d.checkNonce(t, nonce)
		planted.checkWhole(t, d.dump)
		d.checkRanges(t, iomem, false)
		d.checkOracles(t, nonce)
		for _, line := range []string{"gokexec-test: last words", "Linux version " + k.Release, "Kernel panic - not syncing: sysrq triggered crash"} {
			if !strings.Contains(d.log, line) {
				t.Errorf("the log lacks %q; it ends:\n%s", line, lastLines(d.log, 15))
			}
		}
	})
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
