package vm

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// lowPages are pages below 640 KiB that neither kernel touches: not the first
// 64 KiB, where firmware and the capture kernel's trampolines are.
var lowPages = []uint64{0x10000, 0x11000, 0x33000, 0x50000, 0x7f000}

// header is the part of gokexec's elfcorehdr report that is looked at.
type header struct {
	Address  uint64                   `json:"address"`
	CPUNotes []struct{ Start uint64 } `json:"cpu_notes"`
	Info     struct{ Start uint64 }   `json:"vmcoreinfo"`
	Loads    []struct {
		Start, End uint64
		Virt       uint64 `json:"virtual_address"`
	} `json:"loads"`
}

func readHeader(t *testing.T, g *vmlab.Guest, args ...string) *header {
	t.Helper()
	h := &header{}
	if err := json.Unmarshal([]byte(g.Must(append([]string{gokexec, "elfcorehdr", "--json"}, args...)...)), h); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *header) memory() memmap.Set {
	var rs []memmap.Range
	for _, l := range h.Loads {
		rs = append(rs, memmap.Range{Start: memmap.PhysAddr(l.Start), End: memmap.PhysAddr(l.End)})
	}
	return memmap.NewSet(rs...)
}

// sameAs compares a header of gokexec's with the kernel's own, which leaves the
// first MiB out and lists CPUs that are not there.
func (h *header) checkAgainstKernels(t *testing.T, own *header) {
	t.Helper()
	low := memmap.NewSet(memmap.Range{End: 1 << 20})
	if got, want := h.memory().Minus(low), own.memory(); !got.Equal(want) {
		t.Errorf("gokexec's header has %v; the kernel's %v", got, want)
	}
	if h.Info != own.Info {
		t.Errorf("VMCOREINFO at %#x; the kernel has it at %#x", h.Info.Start, own.Info.Start)
	}
	theirs := map[uint64]bool{}
	for _, n := range own.CPUNotes {
		theirs[n.Start] = true
	}
	for i, n := range h.CPUNotes {
		if !theirs[n.Start] {
			t.Errorf("CPU notes %d at %#x are not among the kernel's %d", i, n.Start, len(own.CPUNotes))
		}
	}
	// The kernel text mapping comes first in both, then RAM in the direct map.
	if len(h.Loads) == 0 || len(own.Loads) == 0 || h.Loads[0].Start != own.Loads[0].Start || h.Loads[0].Virt != own.Loads[0].Virt {
		t.Errorf("the kernel text is %+v; the kernel says %+v", h.Loads[0], own.Loads[0])
	}
	for _, l := range h.Loads[1:] {
		if delta := own.Loads[1].Virt - own.Loads[1].Start; l.Virt-l.Start != delta {
			t.Errorf("%#x is mapped at %#x; want %#x", l.Start, l.Virt, l.Start+delta)
		}
	}
}

// guestRAM is the memory that a guest says it has, and what the firmware keeps of it.
type guestRAM struct {
	iomem    *memmap.Iomem
	firmware []memmap.Range
}

func readRAM(t *testing.T, g *vmlab.Guest) guestRAM {
	t.Helper()
	iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
	if err != nil {
		t.Fatal(err)
	}
	iomem.TreeCrash = treeCrash(g)
	var firmware []memmap.Range
	for _, name := range g.Glob("/sys/firmware/devicetree/base/reserved-memory/mmode_resv*/reg") {
		b := []byte(g.ReadFile(name))
		r, _ := memmap.RangeOf(memmap.PhysAddr(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]))
		firmware = append(firmware, r)
	}
	return guestRAM{iomem, firmware}
}

// treeCrash is the crash memory of a ppc64le machine, which only the device tree tells, less the firmware in it, which a dump
// has.
func treeCrash(g *vmlab.Guest) []memmap.Range {
	const tree = "/sys/firmware/devicetree/base/"
	if g.VM.Config.Kernel.Arch != "ppc64le" {
		return nil
	}
	number := func(name string) uint64 {
		b := make([]byte, 8)
		text := g.ReadFile(tree + name)
		copy(b[8-len(text):], text)
		return binary.BigEndian.Uint64(b)
	}
	crash, _ := memmap.RangeOf(memmap.PhysAddr(number("chosen/linux,crashkernel-base")), number("chosen/linux,crashkernel-size"))
	rtas, _ := memmap.RangeOf(memmap.PhysAddr(number("rtas/linux,rtas-base")), memmap.PageUp(number("rtas/rtas-size")))
	return memmap.NewSet(crash).Minus(memmap.NewSet(rtas)).Ranges()
}

// crashSegments crashes a machine whose crash kernel is loaded, and holds the
// dump against what was planted.
func crashSegments(t *testing.T, g *vmlab.Guest) *savedDump {
	t.Helper()
	ram := readRAM(t, g)
	g.WriteFile("/dev/kmsg", "<3>gokexec-test: last words\n")
	nonce := g.Plant(200)
	modules := moduleAddresses(t, g)
	var low *vmlab.Nonce
	if g.VM.Config.Kernel.Arch == "amd64" {
		var err error
		if low, err = g.VM.PlantAt(lowPages...); err != nil {
			t.Fatal(err)
		}
	}
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
	}
	d := openDump(t, g.VM.Disk(0))
	if d.result.Outcome != capture.Complete || len(d.result.Errors) != 0 || d.result.VMCore.IncompletePages != 0 {
		t.Errorf("result = %+v; want complete, without errors", d.result)
	}
	d.checkNonce(t, nonce)
	if low != nil {
		d.checkNonce(t, low)
	}
	d.checkRanges(t, ram.iomem, true, ram.firmware...)
	d.checkModules(t, modules)
	if !strings.Contains(d.log, "gokexec-test: last words") {
		t.Errorf("the log lacks the last words; it ends:\n%s", lastLines(d.log, 15))
	}
	return d
}

// The main job by kexec_load, on each kernel. Before, the same machine loads by
// kexec_file_load, and the header that the kernel makes then is held against
// gokexec's.
func TestVMCrashSegments(t *testing.T) {
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, crashMachine(t, k))
		loadCrash(t, g, "--method", "file")
		own := readHeader(t, g, "show", "--loaded")
		readHeader(t, g, "build").checkAgainstKernels(t, own)

		plan := g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0", "--method", "segments", "--hotplug", "off", "--dry-run")
		t.Log(plan)
		said := g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0", "--method", "segments", "--hotplug", "off")
		if !strings.Contains(said, "by kexec_load") {
			t.Errorf("load --method segments says %q; want that it is by kexec_load", said)
		}
		loaded := readHeader(t, g, "show", "--loaded")
		if low := (memmap.Range{Start: 0x10000, End: 0x80000}); !loaded.memory().Contains(low) || own.memory().Overlaps(low) {
			t.Errorf("the header by kexec_load has %v, the one by kexec_file_load %v; want %v in the first alone", loaded.memory(), own.memory(), low)
		}
		loaded.checkAgainstKernels(t, own)
		crashSegments(t, g)
	})
}

// With --hotplug the kernel writes the header again when a DIMM comes, in the
// segment that was made for it.
func TestVMCrashSegmentsHotplug(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := crashMachine(t, k)
		cfg.MaxMemory, cfg.Cmdline = 4096, "memhp_default_state=online"
		g := vmlab.Boot(t, cfg)
		if found, err := g.VM.Glob(t.Context(), "/sys/kernel/crash_elfcorehdr_size"); err != nil {
			t.Fatal(err)
		} else if len(found) == 0 {
			r := g.Run(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--method", "segments", "--hotplug", "on")
			if r.Code != 1 || !strings.Contains(r.Stderr, "can't update an elfcorehdr") {
				t.Errorf("load --hotplug on on an old kernel: exit code %d, %q; want 1 and why", r.Code, r.Stderr)
			}
			return
		}
		loadCrash(t, g, "--method", "segments", "--hotplug", "on", "--serial", "ttyS0")
		for _, name := range []string{"cpu", "memory"} {
			if got := g.ReadFile("/sys/devices/system/" + name + "/crash_hotplug"); got != "1\n" {
				t.Errorf("%s/crash_hotplug is %q; want 1", name, got)
			}
		}
		before := readHeader(t, g, "show", "--loaded")
		if err := g.VM.AddDIMM(t.Context(), "dimm0", 256); err != nil {
			t.Fatal(err)
		}
		dimm := memmap.Range{Start: 1 << 32, End: 1<<32 + 256<<20}
		waitMore(t, g, before.memory(), dimm.Size())
		g.Eventually("the kernel updates the header", func() string {
			if r := g.Run(gokexec, "status"); r.Code != 0 { // 4 while the kernel writes it
				return r.Stdout
			}
			return ""
		})
		after := readHeader(t, g, "show", "--loaded")
		if after.Address != before.Address || before.memory().Overlaps(dimm) || !after.memory().Contains(dimm) {
			t.Errorf("header before the DIMM: at %#x, %v; after it: at %#x, %v; want the DIMM %v in it, in its place", before.Address, before.memory(), after.Address, after.memory(), dimm)
		}
		nonce, err := g.VM.PlantBetween(t.Context(), 50, uint64(dimm.Start), uint64(dimm.End))
		if err != nil {
			t.Fatal(err)
		}
		g.Crash()
		g.WaitEnd()
		d := openDump(t, g.VM.Disk(0))
		if d.result.Outcome != capture.Complete {
			t.Errorf("result = %+v; want complete", d.result)
		}
		d.checkNonce(t, nonce)
	}, "bookworm-cloud", "trixie-cloud", "backports-cloud")
}
