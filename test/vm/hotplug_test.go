package vm

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// hotplugGuest is a machine whose memory is hot-added and hot-removed.
type hotplugGuest struct {
	*vmlab.Guest
	kexec   []string // kexec-tools' kexec, loading the crash kernel by kexec_file_load
	updates bool     // the kernel updates the header
	dimms   int      // there now
	names   int      // given to DIMMs so far; QEMU keeps a removed one's for a while
}

// Each DIMM has one memory block.
const dimmMiB = 128

func hotplugMachine(t *testing.T, k *vmlab.Kernel) *hotplugGuest {
	t.Helper()
	kexec, err := vmlab.GetTestPackage(t, "sid", "kexec-tools").GuestProgram("sbin/kexec")
	if err != nil {
		t.Fatal(err)
	}
	cfg := crashMachine(t, k)
	cfg.MaxMemory, cfg.Cmdline = 8192, "memhp_default_state=online_movable"
	cfg.Files = append(cfg.Files, kexec.Files...)
	h := &hotplugGuest{Guest: vmlab.Boot(t, cfg)}
	h.kexec = append(kexec.Argv, "-p", "-s", guestKernel, "--initrd="+guestInitrd, "--command-line=console=ttyS0 acpi_no_memhotplug")
	found, err := h.VM.Glob(t.Context(), "/sys/devices/system/memory/crash_hotplug")
	h.updates = len(found) > 0
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// hotplugStatus is a part of what status --json prints.
type hotplugStatus struct {
	Header struct {
		Accuracy string
		Reason   string
		Wrong    []struct {
			Kind       string
			Start, End uint64
		} `json:"differences"`
		Foreign bool `json:"loaded_by_another_program"`
	} `json:"elfcorehdr"`
	Last *struct {
		Loaded string `json:"loaded_at"`
		Method string
	} `json:"last_load"`
	Wanted  bool   `json:"wanted"`
	Event   bool   `json:"unattended_event"`
	Problem string `json:"hotplug_problem"`
}

// wantStatus checks accuracy and exit code of status.
func (h *hotplugGuest) wantStatus(when, accuracy string) hotplugStatus {
	h.T.Helper()
	r := h.Run(gokexec, "status", "--json")
	var s hotplugStatus
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		h.T.Fatalf("%s: status --json: %v\n%s%s", when, err, r.Stdout, r.Stderr)
	}
	if code := map[string]int{"accurate": 0, "not loaded": 3, "unknown": 4, "stale": 5}[accuracy]; s.Header.Accuracy != accuracy || r.Code != code {
		h.T.Fatalf("%s: status says %+v, exit code %d; want %s, %d", when, s, r.Code, accuracy, code)
	}
	return s
}

// addDIMM adds memory and waits until the guest uses it.
func (h *hotplugGuest) addDIMM() (id string, at memmap.Range) {
	h.T.Helper()
	id, at = h.startDIMM()
	h.waitDIMM(at)
	return id, at
}

// startDIMM adds memory; QEMU puts DIMMs one after the other from 4 GiB on.
func (h *hotplugGuest) startDIMM() (id string, at memmap.Range) {
	h.T.Helper()
	start := memmap.PhysAddr(4<<30 + h.dimms*dimmMiB<<20)
	h.dimms++
	h.names++
	id = fmt.Sprintf("d%d", h.names)
	if err := h.VM.AddDIMM(h.T.Context(), id, dimmMiB); err != nil {
		h.T.Fatal(err)
	}
	return id, memmap.Range{Start: start, End: start + dimmMiB<<20}
}

func (h *hotplugGuest) waitDIMM(at memmap.Range) {
	h.T.Helper()
	state := fmt.Sprintf("/sys/devices/system/memory/memory%d/state", uint64(at.Start)/(dimmMiB<<20))
	shell(h.Guest, "until [ \"$(busybox cat "+state+" 2>&1)\" = online ]; do busybox usleep 20000; done")
}

func (h *hotplugGuest) removeDIMM(id string, at memmap.Range) {
	h.T.Helper()
	if err := h.VM.RemoveDIMM(h.T.Context(), id); err != nil {
		h.T.Fatal(err)
	}
	shell(h.Guest, fmt.Sprintf("while busybox grep -qi '%x-' /proc/iomem; do busybox usleep 20000; done", uint64(at.Start)))
}

// Memory is hot-added and hot-removed, also during a load by another program; the header
// follows, by the kernel or by gokexec, and in the dump is what was in the DIMM.
func TestVMHotplugMemory(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		h := hotplugMachine(t, k)
		loadCrash(t, h.Guest)
		first := h.wantStatus("after the load", "accurate")
		h.Must(gokexec, "hotplug")
		if s := h.wantStatus("after nothing", "accurate"); s.Last.Loaded != first.Last.Loaded {
			t.Error("hotplug reloaded although nothing had changed")
		}

		id, at := h.addDIMM()
		h.checkAdded(first, at)
		second := h.wantStatus("after hotplug", "accurate")

		// What the kernel updates at MEM_OFFLINE still lists the memory that goes after it.
		h.removeDIMM(id, at)
		h.dimms--
		gone := h.wantStatus("after the removal", "stale")
		if len(gone.Header.Wrong) != 1 || gone.Header.Wrong[0].Kind != "surplus memory" || gone.Header.Wrong[0].Start != uint64(at.Start) {
			t.Errorf("after the removal: %+v; want the DIMM as surplus", gone.Header.Wrong)
		}
		r := h.Run(gokexec, "hotplug")
		t.Logf("hotplug: exit code %d after %v, %v of CPU time, %d KiB\n%s", r.Code, r.Duration, r.UserTime+r.SysTime, r.MaxRSS>>10, r.Stderr)
		s := h.wantStatus("after hotplug for the removed DIMM", "accurate")
		if s.Last.Loaded == second.Last.Loaded || s.Last.Method != "segments" || s.Event || s.Problem != "" {
			t.Errorf("after hotplug: %+v; want a reload by kexec_load, no open event", s)
		}

		h.seedCase()
		h.otherLoaderCase()
		h.daemonCase()

		_, at = h.addDIMM()
		h.Must(gokexec, "hotplug")
		h.crashWithNonce(uint64(at.End), true) // in all DIMMs
	}, "bookworm-cloud", "trixie-cloud", "backports-cloud")
}

// checkAdded: the kernel has followed by itself, or it can't and gokexec does.
func (h *hotplugGuest) checkAdded(before hotplugStatus, at memmap.Range) {
	h.T.Helper()
	accuracy := "accurate"
	if !h.updates {
		accuracy = "stale"
	}
	s := h.wantStatus("after the DIMM came", accuracy)
	if !h.updates && (len(s.Header.Wrong) != 1 || s.Header.Wrong[0].Kind != "missing memory" || s.Header.Wrong[0].Start != uint64(at.Start) || s.Header.Wrong[0].End != uint64(at.End)) {
		h.T.Errorf("after the DIMM came: %+v; want %v missing", s.Header.Wrong, at)
	}
	h.Must(gokexec, "hotplug")
	s = h.wantStatus("after hotplug", "accurate")
	if reloaded := s.Last.Loaded != before.Last.Loaded; reloaded == h.updates {
		h.T.Errorf("reloaded: %v; want so only where the kernel does not update", reloaded)
	}
}

// seedCase: DIMMs come while kexec-tools loads, until the kernel has dropped an
// update (kernels without updates drop all of them); then gokexec repairs it, with
// kexec-tools as the loader.
func (h *hotplugGuest) seedCase() {
	h.T.Helper()
	command := strings.Join(h.kexec[:len(h.kexec)-1], " ") + " '" + h.kexec[len(h.kexec)-1] + "'"
	for try := 1; ; try++ {
		load := h.Start(h.kexec...)
		time.Sleep(time.Duration(100*try) * time.Millisecond)
		_, at := h.startDIMM()
		r, err := load.Wait(h.T.Context())
		// The other way round: it met the kernel at its update. kexec does not try again.
		busy := err == nil && r.Code == 255 && strings.Contains(r.Stderr, "resource busy")
		if !busy && (err != nil || r.Code != 0) {
			h.T.Fatalf("kexec -p -s: %v, %+v", err, r)
		}
		h.waitDIMM(at)
		if r := h.Run(gokexec, "status"); r.Code == 5 {
			h.T.Logf("DIMM %v, %d ms into the load, is missing:\n%s", at, 100*try, r.Stdout)
			break
		}
		if try == 8 {
			h.T.Log("no update was dropped in 8 loads")
			return
		}
	}
	dmesg := shell(h.Guest, "busybox dmesg | busybox grep 'kexec_trylock() failed' || true")
	if h.updates && dmesg == "" {
		h.T.Error("the header is stale, but the kernel does not say that it has dropped an update")
	}
	h.Must(gokexec, "hotplug", "--reload-command", command)
	h.wantStatus("after hotplug with kexec-tools", "accurate")
}

// otherLoaderCase: what kexec-tools has loaded is not replaced by what gokexec loaded
// before, and gokexec says that it can't repair it.
func (h *hotplugGuest) otherLoaderCase() {
	h.T.Helper()
	h.Must(h.kexec...)
	if s := h.wantStatus("after kexec-tools loaded", "accurate"); !s.Header.Foreign || s.Last != nil {
		h.T.Errorf("after kexec-tools loaded: %+v; want it seen", s)
	}
	id, at := h.addDIMM()
	if h.updates { // else it is stale by now
		h.removeDIMM(id, at)
		h.dimms--
	}
	r := h.Run(gokexec, "hotplug")
	if r.Code != 5 || !strings.Contains(r.Stderr, "another program has loaded") {
		h.T.Errorf("hotplug after a load by kexec-tools: exit code %d, %s; want 5 and why", r.Code, r.Stderr)
	}
	if s := h.wantStatus("after that", "stale"); s.Problem == "" || !s.Event {
		h.T.Errorf("status after hotplug failed: %+v; want the problem, and the event kept", s)
	}
	if dmesg := shell(h.Guest, "busybox dmesg | busybox tail -n 3"); !strings.Contains(dmesg, "gokexec: ") {
		h.T.Errorf("the kernel's log ends %q; want gokexec's word", dmesg)
	}
	h.lostCase()
}

// lostCase: a reload command that unloads and ends with 0 is not reported as a success,
// and the next check loads what gokexec has loaded last.
func (h *hotplugGuest) lostCase() {
	h.T.Helper()
	unload := strings.Join(h.kexec[:slices.Index(h.kexec, "-p")], " ") + " -p -u"
	r := h.Run(gokexec, "hotplug", "--reload-command", unload)
	if r.Code != 5 || !strings.Contains(r.Stderr, "has loaded nothing") {
		h.T.Errorf("hotplug with a command that only unloads: exit code %d, %s; want 5 and why", r.Code, r.Stderr)
	}
	r = h.Run(gokexec, "status", "--json")
	var s hotplugStatus
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil || r.Code != 5 || s.Header.Accuracy != "not loaded" || !s.Wanted || s.Problem == "" || !s.Event {
		h.T.Errorf("status then: %v, exit code %d, %+v; want nothing loaded, one wanted, the problem and the event kept", err, r.Code, s)
	}
	if dmesg := shell(h.Guest, "busybox dmesg | busybox tail -n 3"); !strings.Contains(dmesg, "gokexec: no crash kernel is loaded, although one is wanted") {
		h.T.Errorf("the kernel's log ends %q; want gokexec's word", dmesg)
	}
	h.Must(gokexec, "hotplug")
	if s := h.wantStatus("after the next look", "accurate"); s.Header.Foreign || s.Last == nil || s.Problem != "" || s.Event {
		h.T.Errorf("after the next look: %+v; want it to be our own, and no problem", s)
	}
}

// daemonCase: the daemon hears of DIMMs, and removes what is left of hot-removed ones.
func (h *hotplugGuest) daemonCase() {
	h.T.Helper()
	daemon := h.Start(gokexec, "hotplug", "--daemon")
	shell(h.Guest, "until [ -e /run/gokexec/daemon ]; do busybox usleep 20000; done")
	id, at := h.addDIMM()
	h.waitAccurate("the daemon, DIMM added")
	h.removeDIMM(id, at)
	h.dimms--
	h.waitAccurate("the daemon, DIMM removed")
	if err := daemon.Signal(h.T.Context(), 15); err != nil {
		h.T.Fatal(err)
	}
	r, err := daemon.Wait(h.T.Context())
	if err != nil || r.Code != 0 {
		h.T.Errorf("the daemon ended with %v, %+v; want 0", err, r)
	}
	h.T.Logf("daemon: %v of CPU time, %d KiB\n%s", r.UserTime+r.SysTime, r.MaxRSS>>10, r.Stderr)
	h.wantStatus("after the daemon", "accurate")
}

// waitAccurate gives the daemon time.
func (h *hotplugGuest) waitAccurate(what string) {
	h.T.Helper()
	began := time.Now()
	h.Eventually(what, func() string {
		if r := h.Run(gokexec, "status"); r.Code != 0 {
			return r.Stdout
		}
		return ""
	})
	h.T.Logf("%s: accurate after %v", what, time.Since(began).Round(10*time.Millisecond))
}

// A CPU is added, comes online, and crashes the kernel: its registers are in the
// dump. By kexec_load, gokexec's own header has the CPUs that are there only.
func TestVMHotplugCPU(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := crashMachine(t, k)
		cfg.MaxCPUs, cfg.CPUFlags = 2, []string{"-hypervisor"}
		h := &hotplugGuest{Guest: vmlab.Boot(t, cfg)}
		found, err := h.VM.Glob(t.Context(), "/sys/devices/system/cpu/crash_hotplug")
		if err != nil {
			t.Fatal(err)
		}
		h.updates = len(found) > 0
		loadCrash(t, h.Guest, "--method", "segments")
		before := h.wantStatus("after the load", "accurate")
		if err := h.VM.AddCPU(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		online := "/sys/devices/system/cpu/cpu1/online"
		shell(h.Guest, "until [ -e "+online+" ]; do busybox usleep 20000; done")
		if strings.TrimSpace(h.ReadFile(online)) == "0" {
			h.wantStatus("after the CPU came, offline", "accurate")
			h.WriteFile(online, "1")
		}
		accuracy := "accurate"
		if !h.updates {
			accuracy = "stale"
		}
		h.wantStatus("after the CPU came online", accuracy)
		h.Must(gokexec, "hotplug")
		after := h.wantStatus("after hotplug", "accurate")
		if reloaded := after.Last.Loaded != before.Last.Loaded; reloaded == h.updates {
			t.Errorf("reloaded: %v; want so only where the kernel does not update", reloaded)
		}
		if err := h.VM.Crash(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		h.WaitEnd()
		d := openDump(t, h.VM.Disk(0))
		registers := 0
		for _, n := range d.core.Notes {
			if n.Type == elf.NT_PRSTATUS {
				registers++
			}
		}
		if d.result.Outcome != capture.Complete || registers != 2 {
			t.Errorf("result %+v, registers of %d CPUs; want complete, of 2", d.result, registers)
		}
	}, "bookworm-cloud", "trixie-cloud", "backports-cloud")
}
