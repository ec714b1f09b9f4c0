package accuracy

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// State says whether the loaded elfcorehdr is that of the machine as it is.
type State int

// What is known of it.
const (
	Unverified  State = iota // a crash kernel is loaded, or may be, but its header can't be compared
	Accurate                 // a dump would hold all memory, and none that is gone
	Stale                    // it would not
	NotLoaded                // there is no crash kernel
	accuracyEnd              // none
)

// String gives "unknown", "accurate", "stale" or "not loaded".
func (a State) String() string {
	if a < 0 || a >= accuracyEnd {
		return fmt.Sprintf("Accuracy(%d)", int(a))
	}
	return [...]string{"unknown", "accurate", "stale", "not loaded"}[a]
}

// MarshalText gives the same word to JSON.
func (a State) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Verification is the result of comparing the loaded elfcorehdr with one built from the
// machine as it is now.
type Verification struct {
	Accuracy State           `json:"accuracy"`
	Reason   string          `json:"reason,omitempty"` // why it is unknown, or accurate although there is none to compare
	Wrong    []Mismatch      `json:"differences,omitempty"`
	Header   memmap.PhysAddr `json:"elfcorehdr,omitempty"` // where it is

	// Foreign is true if what is loaded is not the load that gokexec has noted:
	// another program has loaded since.
	Foreign bool `json:"loaded_by_another_program,omitempty"`

	// Unchanged is of use where Accuracy is unknown: the machine's memory and
	// CPUs are those that it had at the noted load.
	Unchanged bool `json:"machine_unchanged"`

	// Machine is what the header was compared with; nil: nothing was.
	Machine *kcore.Machine `json:"-"`
}

// Mismatch is one way in which the header is wrong. Start and End are physical
// addresses; End is exclusive, and both are 0 where no range is meant.
type Mismatch struct {
	Kind  string          `json:"kind"`
	Start memmap.PhysAddr `json:"start"`
	End   memmap.PhysAddr `json:"end"`
}

// String gives kind and range.
func (m Mismatch) String() string {
	if m.Start == m.End {
		return m.Kind
	}
	return fmt.Sprintf("%s: %v", m.Kind, memmap.Range{Start: m.Start, End: m.End})
}

// String gives it in one line.
func (t *Verification) String() string {
	switch {
	case t.Accuracy == Stale:
		const most = 8
		var words []string
		for _, w := range t.Wrong[:min(len(t.Wrong), most)] {
			words = append(words, w.String())
		}
		if more := len(t.Wrong) - most; more > 0 {
			words = append(words, fmt.Sprintf("and %d more", more))
		}
		return "stale: " + strings.Join(words, ", ")
	case t.Reason != "":
		return t.Accuracy.String() + ": " + t.Reason
	}
	return t.Accuracy.String()
}

// Verify compares. It reads /proc/iomem, /proc/kcore and /sys and takes no kexec
// lock. What the kernel leaves out by design (the first MiB on x86) is not missing,
// nor are memory blocks and CPUs that are offline, of which a dump has nothing to
// tell: when they come online there is another event. The record in
// stateDir, which may be "", tells where a load by kexec_load has put the header;
// it is believed only while memory looks as that load has left it.
//
// A header that seems stale is compared once more, since memory may be hot-added or hot-removed
// between two reads.
func Verify(root fs.FS, stateDir string) *Verification {
	return Settle(root, stateDir, VerifyMachine(root, stateDir, nil, nil))
}

// Settle compares again while the last result is a header that seems stale. Whose load it
// is was found out for the last one.
func Settle(root fs.FS, stateDir string, last *Verification) *Verification {
	const tries = 4
	for range tries {
		if last.Accuracy != Stale {
			return last
		}
		again := verify(root, stateDir, &last.Foreign, func() (*kcore.Machine, error) { return kcore.RereadMachine(root, last.Machine) })
		if again.String() == last.String() {
			return again
		}
		last = again
	}
	return last
}

// VerifyMachine compares once, with memory and CPUs that were read already; nil: they were
// not. Reading a fingerprint is most of the work, so a caller that knows already whether
// the load is foreign says so.
func VerifyMachine(root fs.FS, stateDir string, m *kcore.Machine, foreign *bool) *Verification {
	return verify(root, stateDir, foreign, func() (*kcore.Machine, error) {
		if m != nil {
			return m, nil
		}
		return kcore.ReadMachine(root)
	})
}

func verify(root fs.FS, stateDir string, foreign *bool, read func() (*kcore.Machine, error)) *Verification {
	unverified := func(format string, args ...any) *Verification {
		return &Verification{Reason: fmt.Sprintf(format, args...)}
	}
	switch loaded := machine.CrashLoaded(root); {
	case loaded == nil:
		return unverified("the kernel does not say whether a crash kernel is loaded")
	case !*loaded:
		return &Verification{Accuracy: NotLoaded}
	}
	m, err := read()
	if err != nil {
		return unverified("the machine can't be read: %v", err)
	}
	t := &Verification{Machine: m}
	var hint memmap.PhysAddr
	placed, updated := false, false // by us, at the hint; by the kernel, since
	if state, err := record.Read(stateDir); stateDir != "" && err == nil {
		t.Unchanged = state.Generation != "" && state.Generation == machine.GenerationOf(m)
		if foreign == nil {
			other := !matchesMemory(state.Memory, root, m.Iomem)
			foreign = &other
		}
		if t.Foreign = *foreign; !t.Foreign {
			hint, placed = state.Elfcorehdr, state.Method == plan.Segments && state.Elfcorehdr != 0
			updated = state.Updated
		}
	}
	if archOf(m).OwnHeader {
		t.Accuracy, t.Reason = Accurate, "the capture kernel makes its header of the memory that it finds"
		return t
	}
	loaded, at, err := kcore.ReadLoadedIn(root, m.Iomem, hint)
	if err != nil {
		t.Reason = reasonOf(err)
		return t
	}
	if placed && at != hint {
		// Before 6.4 arm64 unmaps what is loaded (arch_kexec_protect_crashkres), and
		// /proc/kcore shows zeros; what was loaded before is still to be seen.
		t.Reason = fmt.Sprintf("the kernel does not show the header at %v, where it was loaded; the one at %v is of an earlier load", hint, at)
		return t
	}
	t.Header = at
	wanted, err := m.Header(elfcore.BuildOptions{})
	if err != nil {
		t.Reason = fmt.Sprintf("there is nothing to compare it with: %v", err)
		return t
	}
	t.Wrong = mismatches(root, m, loaded, wanted)
	if len(t.Wrong) == 0 && archOf(m).LiveTree && placed && !updated && !t.Unchanged {
		// Its CPUs are all that is left; a crash on one that the tree lacks hangs (arch/powerpc/kernel/prom.c,
		// early_init_dt_scan_cpus).
		t.Wrong = append(t.Wrong, Mismatch{Kind: "CPUs that the crash kernel's device tree lacks"})
	}
	t.Accuracy = Accurate
	if len(t.Wrong) > 0 {
		t.Accuracy = Stale
	}
	return t
}

// archOf is the architecture by /proc/kcore; where that can't be read, the one that this program runs on.
func archOf(m *kcore.Machine) machine.Arch {
	if m.Map != nil {
		return machine.ArchOf(m.Map.Machine)
	}
	native, _ := machine.NativeArch() // one that is not known has no trait
	return native
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, kcore.ErrManyHeaders):
		return "several loads have left a header, and it is not known which is in use: " + err.Error()
	case errors.Is(err, kcore.ErrNoHeader), errors.Is(err, kcore.ErrNotMapped):
		return "the kernel does not show the crash memory: " + err.Error()
	}
	return "the loaded header can't be read: " + err.Error()
}

// mismatches are the differences that matter.
func mismatches(root fs.FS, m *kcore.Machine, loaded, wanted *elfcore.Header) []Mismatch {
	// By design the kernel's own headers have the firmware's memory on riscv, and lack
	// the first MiB on x86.
	ignore := m.FirmwareRAM()
	if machine.ArchOf(wanted.Machine).LowMiB {
		ignore = elfcore.LowMiB()
	}
	var wrong []Mismatch
	for _, d := range elfcore.Diff(loaded, wanted, ignore) {
		ranges := []memmap.Range{d.Range}
		memory := d.Kind == elfcore.MissingMemory || d.Kind == elfcore.SurplusMemory
		if memory && d.Range.Size() < memmap.PageSize {
			continue // dumps have whole pages
		}
		switch {
		case d.Kind == elfcore.MovedMemory && uint64(d.Range.End) <= machine.ArchOf(wanted.Machine).BackedUp:
			continue // a copy of it is in the crash memory
		case d.Kind == elfcore.MissingMemory:
			ranges = onlineParts(root, d.Range)
		case d.Kind == elfcore.MissingCPUNotes && offlineCPU(root, m, d.Range.Start):
			continue
		}
		for _, r := range ranges {
			wrong = append(wrong, Mismatch{d.Kind.String(), r.Start, r.End})
		}
	}
	return wrong
}

// offlineCPU tells whether the notes at that address are those of a CPU that does
// not run (Documentation/ABI/testing/sysfs-devices-system-cpu). One that can't be
// taken offline has no such file.
func offlineCPU(root fs.FS, m *kcore.Machine, notes memmap.PhysAddr) bool {
	for _, c := range m.CPUs {
		if c.Notes.Addr == notes {
			return machine.ReadText(root, fmt.Sprintf("sys/devices/system/cpu/cpu%d/online", c.CPU)) == "0"
		}
	}
	return false
}

const memoryDir = "sys/devices/system/memory/"

// onlineParts leaves out the memory blocks that are there but offline
// (Documentation/admin-guide/mm/memory-hotplug.rst).
func onlineParts(root fs.FS, r memmap.Range) []memmap.Range {
	size, err := strconv.ParseUint(strings.TrimSpace(machine.ReadText(root, memoryDir+"block_size_bytes")), 16, 63)
	if err != nil || size == 0 || size&(size-1) != 0 || r.Size()/size > 1<<20 {
		return []memmap.Range{r}
	}
	var offline []memmap.Range
	for n := uint64(r.Start) / size; n <= uint64(r.End-1)/size; n++ {
		if machine.ReadText(root, fmt.Sprintf("%smemory%d/state", memoryDir, n)) == "offline" {
			block, _ := memmap.RangeOf(memmap.PhysAddr(n*size), size)
			offline = append(offline, block)
		}
	}
	return memmap.NewSet(r).Minus(memmap.NewSet(offline...)).Ranges()
}
