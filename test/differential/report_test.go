package differential

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/oops"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/report"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// vmlinuxEnv names a kernel with debugging information: of dumps of that kernel drgn is asked for the stacks.
const vmlinuxEnv = "GOKEXEC_VMLINUX"

// eachDump runs a test on each dump of GOKEXEC_DUMPS: NAME/vmcore, and the crashes of different kinds in
// kinds/NAME/vmcore.
func eachDump(t *testing.T, test func(t *testing.T, dir string, d kdumpfile.Dump)) {
	t.Helper()
	root := os.Getenv(dumpsEnv)
	if root == "" {
		t.Skip(dumpsEnv + " is not set: reports are NOT compared with anything else")
	}
	var paths []string
	for _, pattern := range []string{"*/vmcore", "kinds/*/vmcore"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Fatalf("%s has no dumps", root)
	}
	for _, path := range paths {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) { test(t, dir, openDumpFile(t, path)) })
	}
}

// symbolsOf reads the symbols; it skips the test where the kernel doesn't tell where they are.
func symbolsOf(t *testing.T, d kdumpfile.Dump) *kallsyms.Table {
	t.Helper()
	r, err := vmcore.NewReader(vmcore.NewCache(d, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	table, err := kallsyms.Read(r)
	if errors.Is(err, kallsyms.ErrNoTable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Every symbol of a dump is one that the kernel had in /proc/kallsyms before the crash, and the other way round.
func TestSymbolsAsTheKernel(t *testing.T) {
	eachDump(t, func(t *testing.T, dir string, d kdumpfile.Dump) {
		file, err := os.Open(filepath.Join(dir, "kallsyms"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("there is no copy of /proc/kallsyms")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		table := symbolsOf(t, d)
		kernel := map[string]int{}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if !strings.Contains(lines.Text(), "[") {
				kernel[lines.Text()]++
			}
		}
		if err := table.All(func(s kallsyms.Symbol) bool {
			kernel[fmt.Sprintf("%016x %c %s", s.Address, s.Type, s.Name)]--
			return true
		}); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(kernel, func(_ string, n int) bool { return n == 0 })
		if len(kernel) > 0 || table.Len() < 10000 {
			t.Errorf("%d symbols; %d differ from the kernel's: %.500v", table.Len(), len(kernel), kernel)
		}
	})
}

// drgnSymbols prints the symbols as drgn reads them out of a dump.
const drgnSymbols = `from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
prog.register_symbol_finder("dump", load_vmlinux_kallsyms(prog), enable_index=0)
for s in prog.symbols():
    print("%x %s" % (s.address, s.name))
`

// drgnStacks prints the tasks, and the frames of each that is on no CPU.
const drgnStacks = `from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_state_to_char
for t in for_each_task(prog):
    print(t.pid.value_(), task_state_to_char(t), "%x" % t.value_(), *("%x" % f.pc for f in (prog.stack_trace(t) if not t.on_cpu else []) if not f.is_inline and f.pc >> 63))
`

// drgn runs a script of drgn on a dump, with DIR/drgn/run.
func drgn(t *testing.T, dump, script string, options ...string) string {
	t.Helper()
	run := filepath.Join(os.Getenv(dumpsEnv), "drgn", "run")
	if _, err := os.Stat(run); err != nil {
		t.Skip("no drgn: ", err)
	}
	file := filepath.Join(t.TempDir(), "script.py")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(run, append(append([]string{"-q", "-c", dump}, options...), file)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("drgn: %v\n%.2000s", err, &stderr)
	}
	return string(out)
}

// drgn finds the same symbols.
func TestSymbolsAsDrgn(t *testing.T) {
	eachDump(t, func(t *testing.T, dir string, d kdumpfile.Dump) {
		table := symbolsOf(t, d)
		theirs := map[string]bool{}
		for line := range strings.Lines(drgn(t, filepath.Join(dir, "vmcore"), drgnSymbols, "--no-default-symbols")) {
			theirs[strings.TrimSpace(line)] = true
		}
		ours := map[string]bool{}
		if err := table.All(func(s kallsyms.Symbol) bool { ours[fmt.Sprintf("%x %s", s.Address, s.Name)] = true; return true }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%d symbols, drgn has %d", len(ours), len(theirs))
		}
		t.Logf("%d symbols", len(ours))
	})
}

// drgn, which has the debugging information, finds the same tasks, states and stacks.
func TestStacksAsDrgn(t *testing.T) {
	vmlinux := os.Getenv(vmlinuxEnv)
	if vmlinux == "" {
		t.Skip(vmlinuxEnv + " is not set: stacks are NOT compared with drgn's")
	}
	eachDump(t, func(t *testing.T, dir string, d kdumpfile.Dump) {
		info, err := d.VMCoreInfo()
		if err != nil || !strings.HasSuffix(vmlinux, info.OSRelease) {
			t.Skip("it is of another kernel")
		}
		var ours []string
		err = report.EachTask(context.Background(), d, func(task report.Task) error {
			line := fmt.Sprintf("%d %s %x", task.PID, task.State, task.Address)
			if task.Stack != nil {
				for _, f := range task.Stack.Frames {
					line += fmt.Sprintf(" %x", f.Address)
				}
			}
			ours = append(ours, line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		theirs := strings.Split(strings.TrimSpace(drgn(t, filepath.Join(dir, "vmcore"), drgnStacks, "-s", vmlinux)), "\n")
		slices.Sort(ours)
		slices.Sort(theirs)
		for _, line := range theirs {
			if !slices.Contains(ours, line) {
				t.Errorf("drgn has the task\n%s\nand we don't", line)
			}
		}
		if len(ours) != len(theirs) {
			t.Errorf("%d tasks, drgn has %d", len(ours), len(theirs))
		}
	})
}

// The stack of each task that sleeps ends in user mode or where it began: the kernel itself started it there.
func TestStacksEnd(t *testing.T) {
	eachDump(t, func(t *testing.T, _ string, d kdumpfile.Dump) {
		symbolsOf(t, d)
		n := 0
		err := report.EachTask(context.Background(), d, func(task report.Task) error {
			if task.Stack == nil {
				return nil
			}
			n++
			if end := task.Stack.End; end != "user mode" && end != "end of stack" || len(task.Stack.Frames) < 2 {
				t.Errorf("the stack of %d (%s) has %d frames and ends with %q", task.PID, task.Name, len(task.Stack.Frames), end)
			}
			return nil
		})
		if err != nil && strings.Contains(err.Error(), "no BTF") {
			t.Skip(err)
		}
		if err != nil || n < 20 {
			t.Errorf("%d tasks, %v", n, err)
		}
	})
}

// What a report says of the crash is what the log says of it: kind, fingerprint, and each frame of which the kernel is
// certain, with offset and size.
func TestReportAsTheLog(t *testing.T) {
	eachDump(t, func(t *testing.T, _ string, d kdumpfile.Dump) {
		r := report.Make(context.Background(), d)
		crash, err := oops.Read(logReader(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != string(crash.Kind) || r.Fingerprint != crash.Fingerprint() || r.Title != crash.Title() {
			t.Errorf("%s, %s, %q; by the log %s, %s, %q", r.Kind, r.Fingerprint, r.Title, crash.Kind, crash.Fingerprint(), crash.Title())
		}
		if len(r.Missing) > 0 {
			t.Logf("missing: %v", r.Missing)
			return
		}
		if r.Kernel.Hardware != crash.Hardware || strings.Trim(crash.Taint, r.Kernel.Taint) != "" || r.Kernel.Release != crash.Release {
			t.Errorf("%+v; the log has %q, %q, %q", r.Kernel, crash.Hardware, crash.Taint, crash.Release)
		}
		if crash.Kind.Where() == oops.InTask {
			if !slices.ContainsFunc(r.Blocked, func(b report.Task) bool { return b.PID == crash.PID && b.Off > 0 && len(b.Stack.Frames) > 2 }) {
				t.Errorf("blocked: %+v; the log has %d (%s)", r.Blocked, crash.PID, crash.Comm)
			}
			return
		}
		if r.Crashed == nil || r.Crashed.Number != crash.CPU || r.Crashed.Task.PID != crash.PID || r.Crashed.Task.Name != crash.Comm {
			t.Fatalf("crashed: %+v; the log has CPU %d, %d (%s)", r.Crashed, crash.CPU, crash.PID, crash.Comm)
		}
		have := r.Crashed.Stack.Frames
		for _, f := range crash.Frames {
			// panic calls some before it lets the CPU leave its registers, and its own place is another then. And arm64 and
			// riscv64 name what lies after a call that never returns.
			if f.Uncertain || f.Offset == 0 || slices.Contains([]string{"dump_stack_lvl", "dump_stack", "dump_backtrace", "show_stack", "vpanic", "panic"}, f.Symbol) {
				continue
			}
			i := slices.IndexFunc(have, func(o report.Frame) bool {
				return o.Symbol == f.Symbol && o.Offset == f.Offset && o.Size == f.Size && o.Module == f.Module
			})
			if i < 0 {
				t.Errorf("the log has %s+%#x/%#x, and the stack after what came before it is %+v", f.Symbol, f.Offset, f.Size, have)
				break
			}
			have = have[i+1:]
		}
	})
}

// logReader gives the log of a dump.
func logReader(t *testing.T, d kdumpfile.Dump) io.Reader {
	t.Helper()
	log, err := printk.Read(d)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := printk.WriteText(&b, log); err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(b.String())
}

// Memory is what /proc/meminfo said some seconds before the crash.
func TestReportAsMeminfo(t *testing.T) {
	eachDump(t, func(t *testing.T, dir string, d kdumpfile.Dump) {
		text, err := os.ReadFile(filepath.Join(dir, "meminfo"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("there is no copy of /proc/meminfo")
		}
		if err != nil {
			t.Fatal(err)
		}
		symbolsOf(t, d)
		r := report.Make(context.Background(), d)
		m := r.Memory
		if m == nil {
			t.Skip(r.Missing)
		}
		want := map[string]uint64{}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 {
				n, err := strconv.ParseUint(f[1], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				want[strings.TrimSuffix(f[0], ":")] = n << 10
			}
		}
		for _, c := range []struct {
			name      string
			got, want uint64
			tolerance float64
		}{
			{"total", m.Total, want["MemTotal"], 0},
			{"free", m.Free, want["MemFree"], 0.02 * float64(m.Total)},
			{"file", m.File, want["Cached"] + want["Buffers"], 0.01 * float64(m.Total)},
			{"shared", m.Shared, want["Shmem"], 0.01 * float64(m.Total)},
			// The program that triggers the crash allocates some.
			{"anonymous", m.Anonymous, want["AnonPages"], 0.01 * float64(m.Total)},
			{"slabs", m.SlabCache + m.SlabKept, want["Slab"], 0.05 * float64(want["Slab"])},
			{"page tables", m.PageTables, want["PageTables"], 256 << 10},
			{"kernel stacks", m.KernelStack, want["KernelStack"], 256 << 10},
			{"hugetlb", m.Huge, want["Hugetlb"], 0},
		} {
			if math.Abs(float64(c.got)-float64(c.want)) > c.tolerance {
				t.Errorf("%s: %d; /proc/meminfo had %d, which is more than %.0f from it", c.name, c.got, c.want, c.tolerance)
			}
		}
		var largest uint64
		for _, s := range m.Slabs {
			largest += s.Size
		}
		if len(m.Slabs) == 0 || largest > m.SlabCache+m.SlabKept || largest < (m.SlabCache+m.SlabKept)/3 {
			t.Errorf("the %d largest slabs have %d bytes, all of them %d", len(m.Slabs), largest, m.SlabCache+m.SlabKept)
		}
		if len(m.Processes) < 3 || m.Processes[0].Resident < 1<<20 || m.Processes[0].Resident > m.Total {
			t.Errorf("processes: %+v", m.Processes)
		}
	})
}

// A dump without the pages that level 31 leaves out has the same report.
func TestReportOfFilteredDump(t *testing.T) {
	eachDump(t, func(t *testing.T, _ string, d kdumpfile.Dump) {
		if _, ok := d.(*kdumpfile.ELF); !ok {
			t.Skip("it is filtered already")
		}
		want, err := json.MarshalIndent(report.Make(context.Background(), d), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		f, err := pagefilter.New(d, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		survey, err := f.Survey(context.Background(), pagefilter.SurveyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "vmcore")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := kdumpfile.WriteCompressed(context.Background(), out, d, kdumpfile.WriteOptions{Filter: f.Selection(pagefilter.MaxLevel, survey)}); err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(report.Make(context.Background(), openDumpFile(t, path)), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("of the filtered dump\n%s\nof all of it\n%s", got, want)
		}
	})
}
