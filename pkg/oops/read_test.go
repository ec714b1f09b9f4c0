package oops

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// One fault on three kernels, and another on three architectures.
func TestSameOnAll(t *testing.T) {
	for _, same := range []struct {
		pattern, title string
		significant    []string
	}{
		{"*-null.log", "NULL pointer dereference in crash_null_inner [crashmodule]",
			[]string{"crash_null_inner@crashmodule", "crash_null@crashmodule", "crash_set@crashmodule", "param_attr_store", "module_attr_store"}},
		{"*-sysrq.log", "crash by SysRq", nil},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", same.pattern))
		if err != nil || len(files) < 3 {
			t.Fatalf("%s: %d files, %v", same.pattern, len(files), err)
		}
		prints := map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o, err := Read(strings.NewReader(string(text)))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if o.Title() != same.title || !slices.Equal(Significant(o.Kind, o.Frames), same.significant) {
				t.Errorf("%s: %q, %q; want %q, %q", file, o.Title(), Significant(o.Kind, o.Frames), same.title, same.significant)
			}
			prints[o.Fingerprint()] = true
		}
		if len(prints) != 1 {
			t.Errorf("%s: fingerprints %v; want one", same.pattern, prints)
		}
	}
}

func TestReadNone(t *testing.T) {
	for _, text := range []string{"", "\n", "[    0.000000] Linux version 6.12.1\n[    1.0] WARNING: this is no crash\n"} {
		if o, err := Read(strings.NewReader(text)); !errors.Is(err, ErrNone) {
			t.Errorf("Read(%q) = %+v, %v; want ErrNone", text, o, err)
		}
	}
}

// Recorded in virtual machines that crashed by test/report/crashmodule, by an NMI and by a lack of memory.
func TestRecorded(t *testing.T) {
	prints := map[string]string{}
	for _, want := range []struct {
		name  string
		kind  Kind
		title string
		panic string
		comm  string
	}{
		{"bug", Bug, "kernel BUG in crash_bug [crashmodule]", "", "busybox"},
		{"list", ListCorruption, "list corruption in crash_list [crashmodule]", "", "busybox"},
		{"timer", NullDereference, "NULL pointer dereference in crash_timer_function [crashmodule]", "", "swapper/0"},
		{"work", NullDereference, "NULL pointer dereference in crash_work_function [crashmodule]", "", "kworker/0:0"},
		{"stack", StackOverflow, "stack overflow in crash_recurse [crashmodule]", "", "busybox"},
		{"warn", Warning, "WARNING in crash_warn [crashmodule]", "kernel: panic_on_warn set ...", "busybox"},
		{"softlockup", SoftLockup, "soft lockup in crash_spin [crashmodule]", "softlockup: hung tasks", "busybox"},
		{"hungtask", HungTask, "task hung in crash_wait_for_mutex [crashmodule]", "hung_task: blocked tasks", "crash_waiter"},
		{"oom", OutOfMemory, "out of memory", "Out of memory: compulsory panic_on_oom is enabled", "busybox"},
		{"nmi", NMI, "NMI", "NMI: Not continuing", "exe"},
		{"sysrq-irq", SysRq, "crash by SysRq", "sysrq triggered crash", "swapper/0"},
		{"gp", GeneralProtection, "general protection fault in crash_general_protection [crashmodule]", "", "busybox"},
		{"fault", PageFault, "page fault in crash_page_fault [crashmodule]", "", "busybox"},
		{"opcode", InvalidOpcode, "invalid opcode in crash_invalid_opcode [crashmodule]", "", "busybox"},
		{"call", NullDereference, "NULL pointer dereference in crash_call_nowhere [crashmodule]", "", "busybox"},
	} {
		name := "trixie-cloud-" + want.name + ".log"
		o := read(t, name)
		if o.Kind != want.kind || o.Title() != want.title || o.Panic != want.panic || o.Comm != want.comm || !o.Fatal {
			t.Errorf("%s: %s, %q, %q, %q, fatal %v; want %+v", name, o.Kind, o.Title(), o.Panic, o.Comm, o.Fatal, want)
		}
		if o.CPU != 0 || o.PID < 0 || o.Release != "6.12.118+deb13-cloud-amd64" || !strings.HasPrefix(o.Hardware, "QEMU Standard PC") || o.Time <= 0 || len(o.Frames) == 0 {
			t.Errorf("%s: %+v; want all details", name, o)
		}
		if other, ok := prints[o.Fingerprint()]; ok {
			t.Errorf("%s and %s have the same fingerprint, %s", name, other, o.Fingerprint())
		}
		prints[o.Fingerprint()] = name
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		// A dump has the stack of the panic, not that of the message before it.
		_, after, ok := strings.Cut(string(text), "Kernel panic - not syncing: ")
		if !ok || o.Kind.Where() != OnCrashedCPU {
			continue
		}
		by, err := Read(strings.NewReader("Kernel panic - not syncing: " + after))
		if err != nil || Fingerprint(o.Kind, by.Frames) != o.Fingerprint() {
			t.Errorf("%s: the stack of the panic gives %v, %v; want the same fingerprint", name, by, err)
		}
		// A log that is cut off anywhere after the stack says the same.
		lines := strings.SplitAfter(string(text), "\n")
		short, err := Read(strings.NewReader(strings.Join(lines[:len(lines)-2], "")))
		if err != nil || short.Fingerprint() != o.Fingerprint() {
			t.Errorf("%s: without its end: %v, %v; want the same fingerprint", name, short, err)
		}
	}
}
