package report

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/oops"
)

// named are the crashes that GOKEXEC_VM_KINDS names, separated by commas: to try some.
func named() []string {
	return strings.FieldsFunc(os.Getenv("GOKEXEC_VM_KINDS"), func(r rune) bool { return r == ',' })
}

// wanted reports whether a crash is made in this run.
func wanted(c crash) bool {
	if only := named(); len(only) > 0 {
		return slices.Contains(only, c.name)
	}
	return os.Getenv("GOKEXEC_VM_REPORT") == "all"
}

// asked skips the test unless it was asked for: a boot for each crash takes long.
func asked(t *testing.T) {
	t.Helper()
	if len(named()) == 0 && os.Getenv("GOKEXEC_VM_REPORT") != "all" {
		t.Skip("not in this run: it needs GOKEXEC_VM_REPORT=all (make vm-report), or GOKEXEC_VM_KINDS")
	}
}

// prints are the fingerprints of the crashes, from the first kernel on.
type prints struct {
	mu     sync.Mutex
	values map[string]string // of crashes, by name
}

// check holds a fingerprint against that of the same crash on other kernels, and against those of other crashes.
func (p *prints) check(t *testing.T, name, value string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.values == nil {
		p.values = map[string]string{}
	}
	if other, ok := p.values[name]; ok && other != value {
		t.Errorf("%s: fingerprint %s; on another kernel it is %s", name, value, other)
	}
	p.values[name] = value
	for other, its := range p.values {
		if its == value && bug(other) != bug(name) {
			t.Errorf("%s and %s have the same fingerprint, %s", name, other, value)
		}
	}
}

// bug is what is the matter: SysRq is the same from wherever it comes.
func bug(name string) string {
	name, _, _ = strings.Cut(name, "-")
	return name
}

// Kernels crash in every way that there is, and their log tells how: kind, title, functions. On each kernel, with another
// number of CPUs and other process numbers, a crash has the same fingerprint, and no two crashes have one.
func TestVMReportKinds(t *testing.T) {
	asked(t)
	var all prints
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		number := slices.Index(vmlab.MatrixNames(), k.Name)
		for _, c := range crashes() {
			if !wanted(c) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				cfg := machine(t, k, c, number == 0 && (c.name == "null" || c.name == "softlockup"))
				cfg.CPUs = 1 + number%3
				log := run(t, cfg, c, 10*number).log
				o := checkLog(t, log, c)
				if c.param != "" && c.kind != oops.HungTask && !slices.Contains(o.Modules, "crashmodule") {
					t.Errorf("modules %q; want crashmodule among them", o.Modules)
				}
				if o.Release != k.Release || o.Hardware == "" || o.CPU < 0 || o.CPU >= cfg.CPUs || o.PID < 0 || o.Comm == "" || o.Time <= 0 {
					t.Errorf("got %+v; want all details", o)
				}
				if c.param != "" && c.kind != oops.HungTask && o.Taint != "OE" {
					t.Errorf("taint %q; want OE, of an unsigned module from outside", o.Taint)
				}
				all.check(t, c.name, o.Fingerprint())
			})
		}
	})
}

// The other architectures: what is the same fault has the same fingerprint there.
func TestVMReportArch(t *testing.T) {
	asked(t)
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		for _, c := range crashes() {
			if !c.possible(k.Arch) || !wanted(c) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				o := checkLog(t, run(t, machine(t, k, c, false), c, 0).log, c)
				if o.Release != k.Release || len(o.Frames) == 0 || o.Hardware == "" || o.CPU < 0 || o.PID < 0 || o.Comm == "" {
					t.Errorf("got %+v; want all details", o)
				}
			})
		}
	}, "trixie-arm64", "trixie-riscv64")
}

// checkLog reads a log, and holds it against what was done.
func checkLog(t *testing.T, log string, c crash) *oops.Oops {
	t.Helper()
	o, err := oops.Read(strings.NewReader(log))
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	names := oops.Significant(o.Kind, o.Frames)
	if o.Kind != c.kind || o.Title() != c.title || !slices.Equal(names, c.significant) {
		t.Errorf("%s, %q, functions %q; want %s, %q, %q\n%s", o.Kind, o.Title(), names, c.kind, c.title, c.significant, tail(log, 150))
	}
	// The stack of the panic itself is what a dump has.
	if _, panicked, ok := strings.Cut(log, "Kernel panic - not syncing: "); ok && o.Kind.Where() == oops.OnCrashedCPU && strings.Contains(strings.ToLower(panicked), "call trace:") {
		by, err := oops.Read(strings.NewReader("Kernel panic - not syncing: " + panicked))
		if err != nil || oops.Fingerprint(o.Kind, by.Frames) != o.Fingerprint() {
			t.Errorf("the stack of the panic gives %+v, %v; want the fingerprint of %q", by, err, names)
		}
	}
	return o
}

func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
