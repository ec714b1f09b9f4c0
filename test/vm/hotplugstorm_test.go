package vm

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// A DIMM of a storm has eight memory blocks.
const stormMiB = 1024

// toggling makes events in the guest as long as /run/storm is there: blocks and a
// CPU go offline and come back. The clock jumps by decades.
const toggling = `
while [ -e /run/storm ]; do
	for n in 33 36; do
		block=/sys/devices/system/memory/memory$n
		[ -e $block/state ] || continue
		{ echo offline >$block/state && echo online_movable >$block/state; } 2>/dev/null || true
	done
	cpu=/sys/devices/system/cpu/cpu1/online
	[ -e $cpu ] && { echo 0 >$cpu; echo 1 >$cpu; } 2>/dev/null || true
	busybox date -s @946684800 >/dev/null
	busybox usleep 100000
	busybox date -s @1893456000 >/dev/null
done
for n in 32 33 34 35 36 37 38 39; do
	block=/sys/devices/system/memory/memory$n
	[ ! -e $block/state ] || until echo online_movable >$block/state 2>/dev/null || busybox grep -q online $block/state; do busybox usleep 20000; done
done
[ ! -e /sys/devices/system/cpu/cpu1/online ] || echo 1 >/sys/devices/system/cpu/cpu1/online`

// loading is another program that loads, unloads, and reads what takes the
// kernel's lock. It ends with something loaded.
const loading = `
load() { gokexec load --crash %[1]s --initrd %[2]s --append console=ttyS0 --method $1 --wait 1m >/dev/null || echo "load: $?"; }
for method in segments file; do
	load $method
	for i in 1 2 3 4 5; do busybox cat /sys/devices/system/memory/crash_hotplug 2>/dev/null || true; done
	gokexec unload --crash --wait 1m >/dev/null || echo "unload: $?"
done
load %[3]s`

// storm makes events of all kinds at once, while a program loads, and wants
// the header to be accurate when all is over.
func (h *hotplugGuest) storm(what, method string, newCPU int) {
	h.T.Helper()
	began := time.Now()
	ctx := h.T.Context()
	h.WriteFile("/run/storm", "")
	toggle := h.Start("busybox", "sh", "-c", toggling)
	load := h.Start("busybox", "sh", "-c", fmt.Sprintf(loading, guestKernel, guestInitrd, method))
	check := func(err error) {
		h.T.Helper()
		if err != nil {
			h.T.Fatalf("%s: %v", what, err)
		}
	}
	h.names++
	first := fmt.Sprintf("s%d", h.names)
	h.names++
	second := fmt.Sprintf("s%d", h.names)
	check(h.VM.AddDIMM(ctx, first, stormMiB))
	check(h.VM.AddDIMM(ctx, second, stormMiB))
	if newCPU > 0 {
		check(h.VM.AddCPU(ctx, newCPU))
	}
	h.waitRAM(2)
	check(h.VM.RemoveDIMM(ctx, second))
	// The guest may refuse, while a block goes offline by other means.
	h.waitRAMOr(1, func() { _ = h.VM.RemoveDIMM(ctx, second) }) // it may be gone just now
	shell(h.Guest, "busybox rm /run/storm")
	for _, p := range []*vmlab.Process{toggle, load} {
		if r, err := p.Wait(ctx); err != nil || r.Code != 0 || strings.Contains(r.Stdout, "load") {
			h.T.Errorf("%s: %v, exit code %d: %s%s", what, err, r.Code, r.Stdout, r.Stderr)
		}
	}
	check(h.VM.RemoveDIMM(ctx, first))
	h.waitRAMOr(0, func() { _ = h.VM.RemoveDIMM(ctx, first) })
	over := time.Now()
	h.waitSettled(what)
	h.T.Logf("%s: a storm of %v; accurate %v after it", what, over.Sub(began).Round(time.Millisecond), time.Since(over).Round(time.Millisecond))
}

// waitRAM waits until that many DIMMs are in the memory map.
func (h *hotplugGuest) waitRAM(dimms int) { h.waitRAMOr(dimms, func() {}) }

func (h *hotplugGuest) waitRAMOr(dimms int, again func()) {
	h.T.Helper()
	try := 0
	h.Eventually("DIMMs", func() string {
		got := strings.TrimSpace(shell(h.Guest, "busybox grep -ciE '^ *1?[0-9a-f]{9}-[0-9a-f]{9} : System RAM' /proc/iomem || true"))
		if got == fmt.Sprint(dimms) {
			return ""
		}
		if try++; try%10 == 0 {
			again()
		}
		return fmt.Sprintf("the guest has %s; want %d", got, dimms)
	})
}

// waitSettled: at the end the header is accurate, and nothing is left to do.
func (h *hotplugGuest) waitSettled(what string) {
	h.T.Helper()
	h.waitAccurate(what)
	h.Eventually(what, func() string {
		if h.wantStatus(what, "accurate").Event {
			return "an event is left that no process has handled"
		}
		return ""
	})
	if s := h.wantStatus(what, "accurate"); s.Problem != "" {
		h.T.Errorf("%s: status tells of %q", what, s.Problem)
	}
}

// Bursts of hot-added and hot-removed memory and CPUs, with Debian's udev and our rule, and
// with the daemon, while another program loads by either method and unloads: at the
// end the header is accurate, and the dump has what was in the last DIMM.
// GOKEXEC_VM_STORMS=full has more of them.
func TestVMHotplugStorm(t *testing.T) {
	full := os.Getenv("GOKEXEC_VM_STORMS") == "full"
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		u := getUdev(t, shippedRule(t))
		cfg := crashMachine(t, k)
		cfg.MaxMemory, cfg.Cmdline = 8192, "memhp_default_state=online_movable"
		cfg.CPUs, cfg.MaxCPUs = 2, 4
		cfg.Files = append(cfg.Files, u.files...)
		h := &hotplugGuest{Guest: vmlab.Boot(t, cfg)}
		loadCrash(t, h.Guest)
		u.start(h.Guest)
		h.storm("udev, file", "file", 2)
		if full {
			h.storm("udev, segments", "segments", 0)
		}
		u.settle(h.Guest)

		daemon := h.Start(gokexec, "hotplug", "--daemon")
		shell(h.Guest, "until [ -e /run/gokexec/daemon ]; do busybox usleep 20000; done")
		h.storm("daemon, segments", "segments", 3)
		if full {
			h.storm("daemon, file", "file", 0)
		}
		if err := daemon.Signal(t.Context(), 15); err != nil {
			t.Fatal(err)
		}
		r, err := daemon.Wait(t.Context())
		if err != nil || r.Code != 0 {
			t.Errorf("the daemon ended with %v, %+v; want 0", err, r)
		}
		t.Logf("daemon: %v of CPU time, %d KiB\n%s", r.UserTime+r.SysTime, r.MaxRSS>>10, r.Stderr)

		// The rule starts processes again. Of two blocks: all of it will be in the dump.
		h.names++
		if err := h.VM.AddDIMM(t.Context(), fmt.Sprintf("s%d", h.names), 256); err != nil {
			t.Fatal(err)
		}
		h.waitRAM(1)
		h.waitOnline(32, 34)
		h.waitSettled("udev, the last DIMM")
		h.crashWithNonce(5<<30, true)
	}, "bookworm-cloud", "trixie-cloud", "backports-cloud") // trixie-generic is trixie-cloud's kernel
}

// waitOnline waits for memory blocks from first up to, not including, end.
func (h *hotplugGuest) waitOnline(first, end int) {
	h.T.Helper()
	for n := first; n < end; n++ {
		shell(h.Guest, fmt.Sprintf("until [ \"$(busybox cat /sys/devices/system/memory/memory%d/state 2>&1)\" = online ]; do busybox usleep 20000; done", n))
	}
}

// crashWithNonce crashes with a nonce in the memory from 4 GiB to end, and looks for it
// in the dump.
func (h *hotplugGuest) crashWithNonce(end uint64, want bool) {
	h.T.Helper()
	t := h.T.(*testing.T)
	nonce, err := h.VM.PlantBetween(t.Context(), 50, 4<<30, end)
	if err != nil {
		t.Fatal(err)
	}
	h.Crash()
	h.WaitEnd()
	d := openDump(t, h.VM.Disk(0))
	if d.result.Outcome != capture.Complete {
		t.Errorf("result = %+v; want complete", d.result)
	}
	if want {
		d.checkNonce(t, nonce)
		return
	}
	disk, err := os.Open(h.VM.Disk(0))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if count, err := nonce.CountIn(disk); err != nil || count != 0 {
		t.Errorf("the dump has %d pages of the memory that nobody reloaded for, %v: then the other tests prove nothing", count, err)
	}
}

// Where the kernel does not update the header, and nobody reloads, memory that was
// added is missing from the dump. This is what the others are held against.
func TestVMHotplugControl(t *testing.T) {
	t.Parallel()
	if !slices.Contains(vmlab.MatrixNames(), "bookworm-cloud") {
		return // the kernels of today update it
	}
	h := hotplugMachine(t, vmlab.GetTestKernel(t, "bookworm-cloud"))
	loadCrash(t, h.Guest)
	h.addDIMM()
	h.crashWithNonce(5<<30, false)
}
