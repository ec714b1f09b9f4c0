package report_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/report"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// frames writes the frames of a stack: "name+offset/size [module]", "!" before one that was interrupted, and the end.
func frames(s *report.Stack) string {
	if s == nil {
		return "none"
	}
	var b strings.Builder
	for _, f := range s.Frames {
		if f.Interrupted {
			b.WriteString("!")
		}
		fmt.Fprintf(&b, "%s+%#x/%#x", f.Symbol, f.Offset, f.Size)
		if f.Module != "" {
			fmt.Fprintf(&b, " [%s]", f.Module)
		}
		b.WriteString(", ")
	}
	return b.String() + s.End
}

func TestMake(t *testing.T) {
	for name, k := range map[string]*dumptest.CrashedKernel{
		"6.1": dumptest.NewCrashedKernel(true, true), "6.12": dumptest.NewCrashedKernel(false, true), "7": dumptest.NewCrashedKernel(false, false),
	} {
		t.Run(name, func(t *testing.T) {
			r := report.Make(context.Background(), k.Memory())
			if len(r.Missing) > 0 {
				t.Errorf("missing: %v", r.Missing)
			}
			wantKernel(t, r)
			if r.Kind != "null-dereference" || r.Title != "NULL pointer dereference in crash_null [made]" || r.Message != dumptest.CrashedLog[3] || len(r.Fingerprint) != 16 {
				t.Errorf("%s, %q, %q, %s", r.Kind, r.Title, r.Message, r.Fingerprint)
			}
			wantTasks(t, k, r)
			wantMemory(t, r)
			if want := []report.Module{{Name: "made", Address: report.Address(k.Address("crash_null") - 0x100), Size: 0x3000, State: "live", Taint: "OE", Version: "1.2"}}; !reflect.DeepEqual(r.Modules, want) {
				t.Errorf("modules: %+v; want %+v", r.Modules, want)
			}
			if want := []report.HardwareError{{Kind: "memory", Count: 3, Last: time.Unix(1700000000, 0).UTC()}}; !reflect.DeepEqual(r.HardwareErrors, want) {
				t.Errorf("hardware errors: %+v", r.HardwareErrors)
			}
			if r.ExecFrom != "6.15.0-before" || len(r.LogTail) != len(dumptest.CrashedLog) || r.LogTail[0] != "[   40.000000] "+dumptest.CrashedLog[0] {
				t.Errorf("exec from %q, log %q", r.ExecFrom, r.LogTail)
			}
		})
	}
}

func wantKernel(t *testing.T, r *report.Report) {
	t.Helper()
	want := report.Kernel{Release: "6.16.0-made", Version: "#1 SMP", BuildID: "0123456789abcdef0123456789abcdef01234567", Machine: "x86_64", Cmdline: "console=ttyS0 crashkernel=128M",
		Uptime: dumptest.CrashedClock, Taint: "OE", CPUs: 2, Hardware: "Made up, BIOS 1"}
	if !reflect.DeepEqual(r.Kernel, want) {
		t.Errorf("kernel: %+v; want %+v", r.Kernel, want)
	}
}

func wantTasks(t *testing.T, k *dumptest.CrashedKernel, r *report.Report) {
	t.Helper()
	if r.TaskCount != 4 || r.BlockedCount != 1 || len(r.Blocked) != 1 || r.Crashed == nil || len(r.Others) != 1 {
		t.Fatalf("%d tasks, %d blocked, crashed %+v, others %+v", r.TaskCount, r.BlockedCount, r.Crashed, r.Others)
	}
	culprit := report.Task{PID: 43, TGID: 43, Name: "culprit", State: "R", Address: report.Address(k.Tasks["culprit"])}
	if c := r.Crashed; c.Number != 1 || c.Idle || !reflect.DeepEqual(*c.Task, culprit) {
		t.Errorf("crashed: %+v, %+v", c, c.Task)
	}
	if got, want := frames(r.Crashed.Stack), "crash_null+0x20/0x100 [made], vfs_write+0x20/0x100, entry_SYSCALL_64+0x20/0x100, user mode"; got != want {
		t.Errorf("stack: %s; want %s", got, want)
	}
	if c := r.Others[0]; c.Number != 0 || !c.Idle || c.Task.Name != "swapper/0" || frames(c.Stack) != "default_idle+0x20/0x100, ret_from_fork_asm+0x20/0x100, end of stack" {
		t.Errorf("other: %+v, %s", c, frames(c.Stack))
	}
	b := r.Blocked[0]
	if got, want := frames(b.Stack), "schedule+0x20/0x100, mutex_lock+0x20/0x100, vfs_write+0x20/0x100, entry_SYSCALL_64+0x20/0x100, user mode"; got != want {
		t.Errorf("blocked: %s; want %s", got, want)
	}
	lock := b.WaitsFor
	want := report.Task{PID: 42, TGID: 1, Name: "waiter", State: "D", Address: report.Address(k.Tasks["waiter"]), Off: 10 * time.Second}
	if b.Stack, b.WaitsFor = nil, nil; !reflect.DeepEqual(b, want) {
		t.Errorf("blocked: %+v; want %+v", b, want)
	}
	if want := (report.Lock{Kind: "mutex", Address: report.Address(k.Lock), Symbol: "made_lock", HolderPID: 44, HolderName: "holder"}); lock == nil || *lock != want {
		t.Errorf("waits for %+v; want %+v", lock, want)
	}
}

func wantMemory(t *testing.T, r *report.Report) {
	t.Helper()
	const page = 4096
	m := *r.Memory
	slabs, processes, hints := m.Slabs, m.Processes, m.Hints
	m.Slabs, m.Processes, m.Hints = nil, nil, nil
	want := report.Memory{Total: 10000 * page, Free: 300 * page, Anonymous: 2100 * page, File: 1500 * page, Shared: 400 * page, SlabKept: 4000 * page, SlabCache: 50 * page,
		PageTables: 30 * page, KernelStack: 160 << 10, Huge: 1024 * page, SwapTotal: 100 * page, SwapFree: 2 * page}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("memory: %+v; want %+v", m, want)
	}
	if want := []report.Slab{{"made_cache", 490 * 8 * page, 5000}, {"task_struct", 80 * page, 9000}, {"dentry", 50 * page, 192}}; !reflect.DeepEqual(slabs, want) {
		t.Errorf("slabs: %+v; want %+v", slabs, want)
	}
	if want := []report.Process{{1, "init", 3000 * page, 7 * page}, {43, "culprit", 30 * page, 0}}; !reflect.DeepEqual(processes, want) {
		t.Errorf("processes: %+v; want %+v", processes, want)
	}
	if want := []string{"1.2 MiB were free", "the swap space was full", "15.6 MiB of 39.1 MiB were kernel objects"}; !slices.EqualFunc(hints, want, strings.HasPrefix) {
		t.Errorf("hints: %q; want %q", hints, want)
	}
}

// A lock whose holder has exited says so.
func TestHolderGone(t *testing.T) {
	for _, old := range []bool{false, true} {
		k := dumptest.NewCrashedKernel(old, false)
		tasks := func(name string) uint64 { return k.At(k.Tasks[name], "task_struct.tasks") }
		k.List(tasks("swapper/0"), tasks("init"), tasks("culprit"))
		k.Put(k.At(k.Tasks["holder"], "task_struct.thread_node")+8, 8, 0xdead000000000122) // as list_del_rcu leaves it
		k.Put(k.Order.Uint64(k.Bytes(k.At(k.Tasks["holder"], "task_struct.thread_node"), 8))+8, 8, 0)
		r := report.Make(context.Background(), k.Memory())
		if want := (report.Lock{Kind: "mutex", Address: report.Address(k.Lock), Symbol: "made_lock", HolderGone: true}); len(r.Blocked) != 1 || r.Blocked[0].WaitsFor == nil || *r.Blocked[0].WaitsFor != want {
			t.Errorf("waits for %+v; want %+v", r.Blocked[0].WaitsFor, want)
		}
	}
}

// A panic leaves the registers that __crash_kexec had, which no unwind table knows.
func TestPanicStack(t *testing.T) {
	k := dumptest.NewCrashedKernel(false, false)
	regs := k.CrashRegisters(1)
	sp := k.Stack("panic", "vfs_write", "entry_SYSCALL_64")
	k.Put(regs+128, 8, k.Address("__crash_kexec")+0x40)
	k.Put(regs+152, 8, sp-0x80)
	r := report.Make(context.Background(), k.Memory())
	if got, want := frames(r.Crashed.Stack), "__crash_kexec+0x40/0x100, panic+0x20/0x100, vfs_write+0x20/0x100, entry_SYSCALL_64+0x20/0x100, user mode"; got != want {
		t.Errorf("stack: %s; want %s", got, want)
	}
}

// An NMI interrupts what a CPU does.
func TestInterruptedStack(t *testing.T) {
	k := dumptest.NewCrashedKernel(false, false)
	regs := k.CrashRegisters(1)
	inner := k.Stack("asm_exc_nmi")
	at := inner + 0x20 // struct pt_regs
	k.Put(at+128, 8, k.Address("vfs_read"))
	k.Put(at+136, 8, 0x10)
	k.Put(at+152, 8, k.Stack("entry_SYSCALL_64")+0x18) // the function has just been called
	k.Put(regs+152, 8, inner)
	r := report.Make(context.Background(), k.Memory())
	if got, want := frames(r.Crashed.Stack), "crash_null+0x20/0x100 [made], asm_exc_nmi+0x20/0x400, !vfs_read+0x0/0x100, entry_SYSCALL_64+0x20/0x100, user mode"; got != want {
		t.Errorf("stack: %s; want %s", got, want)
	}
}

// without is memory that lacks a page.
type without struct {
	vmcore.Memory
	page uint64
}

var errFiltered = fmt.Errorf("page left out by the filter: %w", vmcore.ErrNotInDump)

func (w without) ReadVirtAt(b []byte, addr uint64) (int, error) {
	if addr < w.page+4096 && addr+uint64(len(b)) > w.page {
		n := 0
		if addr < w.page {
			n, _ = w.Memory.ReadVirtAt(b[:w.page-addr], addr)
		}
		return n, errFiltered
	}
	return w.Memory.ReadVirtAt(b, addr)
}

// Whichever page is missing, the parts that need it say so, and the others are as they were.
func TestMissingPage(t *testing.T) {
	k := dumptest.NewCrashedKernel(false, false)
	whole := report.Make(context.Background(), k.Memory())
	blamed := 0
	for page := k.Virt; page < k.Alloc(0, 1); page += 4096 {
		r := report.Make(context.Background(), without{k.Memory(), page})
		if reflect.DeepEqual(r, whole) {
			continue
		}
		said := len(r.Missing) > 0
		for _, m := range r.Missing {
			said = said && (strings.Contains(m.Reason, "left out by the filter") || strings.Contains(m.Reason, "no symbol") || strings.Contains(m.Reason, "no task") || strings.Contains(m.Reason, "is known"))
		}
		for _, c := range append(slices.Clone(r.Others), *cmpCPU(r.Crashed)) {
			said = said || c.Stack != nil && strings.Contains(c.Stack.End, "left out by the filter")
		}
		for _, b := range r.Blocked {
			said = said || strings.Contains(b.Stack.End, "left out by the filter") || b.WaitsFor != nil && b.WaitsFor.HolderPID == 0
		}
		if !said {
			t.Errorf("without the page at %#x: missing %v; %+v", page, r.Missing, r)
		}
		blamed++
	}
	if blamed < 10 {
		t.Errorf("only %d pages matter", blamed)
	}
}

func cmpCPU(c *report.CPU) *report.CPU {
	if c == nil {
		return new(report.CPU)
	}
	return c
}

// A kernel that doesn't tell where its symbols are has a report of what its log says.
func TestLogOnly(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "5.10.0-made")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 5, SizeBits: 12})
	for _, line := range dumptest.CrashedLog {
		r.Add(dumptest.Entry{Time: 40e9, Text: []byte(line)}, dumptest.Finalized)
	}
	r.Store()
	got := report.Make(context.Background(), m.Memory())
	want := report.Make(context.Background(), dumptest.NewCrashedKernel(false, false).Memory())
	if got.Fingerprint != want.Fingerprint || got.Title != want.Title || got.Kernel.Cmdline != want.Kernel.Cmdline || got.Kernel.Hardware != want.Kernel.Hardware {
		t.Errorf("%+v", got)
	}
	if c := got.Crashed; c == nil || c.Number != 1 || c.Task.PID != 43 || frames(c.Stack) != "!crash_null+0x20/0x100 [made], vfs_write+0x20/0x100, entry_SYSCALL_64+0x20/0x100, as the log has it" {
		t.Errorf("crashed: %+v, %s", got.Crashed, frames(got.Crashed.Stack))
	}
	if len(got.Missing) < 5 || !slices.ContainsFunc(got.Modules, func(m report.Module) bool { return m.Name == "made" }) {
		t.Errorf("missing %v, modules %v", got.Missing, got.Modules)
	}
}

func TestThirtyTwoBits(t *testing.T) {
	r := report.Make(context.Background(), dumptest.NewImage(dumptest.Archs[2], "6.12.0").Memory())
	if !slices.ContainsFunc(r.Missing, func(m report.Missing) bool {
		return m.Part == "tasks" && m.Reason == "it is a kernel of 32 bits: of those only the log is read"
	}) {
		t.Errorf("missing: %v", r.Missing)
	}
}

func TestNoVMCoreInfo(t *testing.T) {
	r := report.Make(context.Background(), nothing{dumptest.NewImage(dumptest.Archs[0], "").Memory()})
	if len(r.Missing) < 5 || r.Title != "" || r.Crashed != nil {
		t.Errorf("%+v", r)
	}
}

type nothing struct{ vmcore.Memory }

func (nothing) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return nil, vmcore.ErrNoVMCoreInfo }

// When the time is over, what there is not is missing.
func TestTimeOver(t *testing.T) {
	k := dumptest.NewCrashedKernel(false, false)
	ctx, cancel := context.WithTimeout(context.Background(), -1)
	defer cancel()
	r := report.Make(ctx, k.Memory())
	if len(r.Missing) < 8 || r.Missing[0].Reason != "the time for the report was over" {
		t.Errorf("missing: %v", r.Missing)
	}
	if err := report.EachTask(ctx, k.Memory(), func(report.Task) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("EachTask() = %v", err)
	}
}

func TestEachTask(t *testing.T) {
	k := dumptest.NewCrashedKernel(false, false)
	got := map[string]string{}
	if err := report.EachTask(context.Background(), k.Memory(), func(task report.Task) error {
		got[task.Name+" "+task.State] = frames(task.Stack)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"init S": "schedule+0x20/0x100, vfs_read+0x20/0x100, entry_SYSCALL_64+0x20/0x100, user mode", "culprit R": "none",
		"waiter D": "schedule+0x20/0x100, mutex_lock+0x20/0x100, vfs_write+0x20/0x100, entry_SYSCALL_64+0x20/0x100, user mode",
		"holder I": "schedule+0x20/0x100, kthread+0x20/0x100, ret_from_fork_asm+0x20/0x100, end of stack",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	stop, calls := errors.New("enough"), 0
	if err := report.EachTask(context.Background(), k.Memory(), func(report.Task) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("EachTask() = %v after %d tasks", err, calls)
	}
}
