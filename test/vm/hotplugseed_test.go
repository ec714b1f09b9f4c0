package vm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// throttledRule is how RHEL's 98-kexec.rules goes about it: it trusts crash_hotplug,
// and else starts a script for each event, one of which reloads. (Theirs is started
// by systemd-run, for which there is setsid here.)
const throttledRule = `SUBSYSTEM=="memory", ATTRS{crash_hotplug}=="1", GOTO="end"
SUBSYSTEM=="memory", ACTION=="online", RUN+="/bin/busybox setsid /bin/throttled"
SUBSYSTEM=="memory", ACTION=="offline", RUN+="/bin/busybox setsid /bin/throttled"
LABEL="end"
`

const throttledScript = `#!/bin/sh
{
	exec 9>/run/throttle
	busybox flock -n 9 || exit 0
	echo >/run/reloading.$$
	busybox sleep 1
	exec 9>&-
	while ! busybox mkdir /run/kdump.lock 2>/dev/null; do busybox usleep 50000; done
	%[1]s -p -u
	/bin/load
	busybox rmdir /run/kdump.lock
	busybox rm /run/reloading.$$
} >/dev/null 2>&1 &
`

// seedWay is a way to keep the header accurate.
type seedWay struct {
	name, rule string
	load       []string
	mayBeStale bool
}

// seedCount is what became of the runs of one way.
type seedCount struct{ runs, dropped, busy, stale, unloaded int }

// The case that gokexec began with: memory comes while a load is under way, the
// kernel drops the update, and says so in its log only. Each run adds a DIMM 60 to
// 600 ms into a load, waits until udev has handled all that came of it, and looks
// whether the header is accurate. GOKEXEC_SEED_RUNS is the number of runs per way;
// the kernels are those that update the header.
func TestVMHotplugSeed(t *testing.T) {
	vmlab.NotByDefault(t)
	runs := 3
	if s := os.Getenv("GOKEXEC_SEED_RUNS"); s != "" {
		var err error
		if runs, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		if k.Name == "bookworm-cloud" {
			t.Skip("not on this kernel: it does not update the header")
		}
		kexec, err := vmlab.GetTestPackage(t, "sid", "kexec-tools").GuestProgram("sbin/kexec")
		if err != nil {
			t.Fatal(err)
		}
		theirs := strings.Join(kexec.Argv, " ")
		files := append(kexec.Files,
			vmlab.File{Path: "/bin/load", Mode: 0o755, Data: []byte("#!/bin/sh\nexec " + theirs + " -p -s " + guestKernel + " --initrd=" + guestInitrd + " --command-line=console=ttyS0\n")},
			vmlab.File{Path: "/bin/throttled", Mode: 0o755, Data: fmt.Appendf(nil, throttledScript, theirs)})
		helper := strings.ReplaceAll(shippedRule(t), `/bin/gokexec hotplug"`, `/bin/gokexec hotplug --reload-command /bin/load"`)
		ways := []seedWay{ // the first is of interest for comparison only
			{"kexec -p -s, the kernel alone", "", []string{"/bin/load"}, true},
			{"kexec -p -s, RHEL's rule", throttledRule, []string{"/bin/load"}, true},
			{"kexec -p -s, gokexec hotplug --reload-command", helper, []string{"/bin/load"}, false},
			{"gokexec load, gokexec hotplug", shippedRule(t), []string{gokexec, "load", "--crash", "--method", "file", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0"}, false},
		}
		table := fmt.Sprintf("%s (%s)\n%-50s %5s %8s %5s %6s %10s\n", k.Name, k.Release, "", "runs", "dropped", "busy", "stale", "not loaded")
		if runs < 20 {
			ways = ways[2:]
		}
		for _, way := range ways {
			c := way.runSeed(t, k, files, runs)
			table += fmt.Sprintf("%-50s %5d %8d %5d %6d %10d\n", way.name, c.runs, c.dropped, c.busy, c.stale, c.unloaded)
			if !way.mayBeStale && c.stale+c.unloaded > 0 {
				t.Errorf("%s: %d of %d runs ended stale, %d without a crash kernel; want none", way.name, c.stale, c.runs, c.unloaded)
			}
			if runs >= 20 && c.dropped == 0 {
				t.Errorf("%s: the kernel dropped no update in %d runs: they prove nothing", way.name, runs)
			}
		}
		t.Log("\n" + table)
	}, "trixie-cloud", "backports-cloud")
}

// bootRuns is for how many runs a machine has DIMM slots.
const bootRuns = 25

func (way *seedWay) runSeed(t *testing.T, k *vmlab.Kernel, files []vmlab.File, runs int) (c seedCount) {
	for c.runs < runs {
		n := min(runs-c.runs, bootRuns)
		t.Run(fmt.Sprintf("%s, %d", way.name, c.runs), func(t *testing.T) {
			u := getUdev(t, way.rule)
			cfg := crashMachine(t, k)
			cfg.MaxMemory, cfg.Cmdline = 8192, "memhp_default_state=online_movable"
			cfg.Files = append(append(cfg.Files, files...), u.files...)
			h := &hotplugGuest{Guest: vmlab.Boot(t, cfg)}
			u.start(h.Guest)
			h.Must(way.load...)
			for range n {
				h.seedRun(u, way, &c)
			}
		})
		if t.Failed() {
			break
		}
	}
	return c
}

func (h *hotplugGuest) seedRun(u *udev, way *seedWay, c *seedCount) {
	h.T.Helper()
	dropped := h.droppedUpdates()
	load := h.Start(way.load...)
	delay := 60*time.Millisecond + rand.N(540*time.Millisecond)
	time.Sleep(delay)
	_, at := h.startDIMM()
	r, err := load.Wait(h.T.Context())
	switch {
	case err == nil && r.Code == 255 && strings.Contains(r.Stderr, "resource busy"):
		c.busy++ // the other way round: it met the kernel at its update
	case err != nil || r.Code != 0:
		h.T.Fatalf("load: %v, %+v", err, r)
	}
	h.waitDIMM(at)
	u.settle(h.Guest)
	shell(h.Guest, "while busybox ls /run/reloading.* >/dev/null 2>&1; do busybox usleep 50000; done")
	c.runs++
	if h.droppedUpdates() > dropped {
		c.dropped++
	}
	switch s := h.Run(gokexec, "status"); s.Code {
	case 0:
	case 3:
		c.unloaded++
	case 5:
		c.stale++
	default:
		h.T.Errorf("status: exit code %d: %s%s", s.Code, s.Stdout, s.Stderr)
	}
}

func (h *hotplugGuest) droppedUpdates() int {
	h.T.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(shell(h.Guest, "busybox dmesg | busybox grep -c 'kexec_trylock() failed' || true")))
	if err != nil {
		h.T.Fatal(err)
	}
	return n
}
