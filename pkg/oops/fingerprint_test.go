package oops

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// frames makes a stack of names, the innermost first. "name@module" is of a module, "?name" not certain, "!name" interrupted.
func frames(names string) []Frame {
	var all []Frame
	for name := range strings.FieldsSeq(names) {
		f := Frame{Offset: 0x10, Size: 0x20}
		name, f.Uncertain = strings.CutPrefix(name, "?")
		name, f.Interrupted = strings.CutPrefix(name, "!")
		f.Symbol, f.Module, _ = strings.Cut(name, "@")
		all = append(all, f)
	}
	return all
}

func TestSignificant(t *testing.T) {
	for _, test := range []struct {
		kind         Kind
		frames, want string
	}{
		{PageFault, "a b c d e f g", "a b c d e"},
		{PageFault, "a ?x b", "a b"},
		{PageFault, "a.constprop.0 b.isra.0.cold c.part.1 d.llvm.1234567890", "a b c d"},
		{PageFault, "a.part.0 a b b.cold", "a b"},
		{PageFault, "__pfx_a a@m b@m", "a a@m b@m"},
		{PageFault, "memcpy_erms rep_movs_alternative a _raw_spin_lock_irqsave b", "a b"},
		{OtherPanic, "panic __crash_kexec vpanic a b", "a b"},
		{Warning, "vpanic panic check_panic_on_warn __warn.cold report_bug handle_bug exc_invalid_op asm_exc_invalid_op !a b", "a b"},
		{ListCorruption, "__list_del_entry_valid_or_report.cold a b", "a b"},
		{KASAN, "dump_stack_lvl print_report kasan_report __asan_load8 a b", "a b"},
		// A dispatcher ends it, unless it is the first.
		{PageFault, "a call_timer_fn b", "a"},
		{PageFault, "process_one_work worker_thread kthread", "process_one_work"},
		{PageFault, "a __x64_sys_write b", "a"},
		// What hangs is after the interrupt; where the interrupt came, a mark or the entry tells.
		{SoftLockup, "panic watchdog_timer_fn.cold __hrtimer_run_queues asm_sysvec_apic_timer_interrupt !a b do_syscall_64", "a b"},
		{SoftLockup, "panic watchdog_timer_fn.cold x asm_sysvec_apic_timer_interrupt a b", "a b"},
		{SoftLockup, "!a b", "a b"},
		{SoftLockup, "a b", "a b"},
		{HardLockup, "panic nmi_panic x end_repeat_nmi !native_queued_spin_lock_slowpath _raw_spin_lock a", "a"},
		{HungTask, "__schedule schedule schedule_preempt_disabled __mutex_lock.constprop.0 mutex_lock a kthread ret_from_fork", "a"},
		// What asked for it.
		{RCUStall, "!a b c d e f g do_syscall_64", "c d e f g"},
		{StackOverflow, "a b c d e f g do_syscall_64", "c d e f g"},
		// A recursion, wherever it ended.
		{StackOverflow, "leaf x y z x y z x y z x y z end", "x y z"},
		{StackOverflow, "z x y z x y z x y z x y z end", "x y z"},
		{StackOverflow, "leaf " + strings.Repeat("r ", 200) + "s", "r"},
		{SysRq, "panic sysrq_handle_crash __handle_sysrq", ""},
		{NMI, "a b", ""},
		{PageFault, "", ""},
	} {
		if got := Significant(test.kind, frames(test.frames)); !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("Significant(%s, %q) = %q; want %q", test.kind, test.frames, got, test.want)
		}
	}
}

// A return address that is the beginning of the next function has the wrong name.
func TestNeverReturned(t *testing.T) {
	all := frames("panic next a")
	all[1].Offset = 0
	if got := Significant(OtherPanic, all); !slices.Equal(got, []string{"a"}) {
		t.Errorf("Significant = %q; want a alone", got)
	}
	// That a fault happened at the first instruction is another matter.
	all = frames("first a")
	all[0].Offset = 0
	if got := Significant(PageFault, all); !slices.Equal(got, []string{"first", "a"}) {
		t.Errorf("Significant = %q; want first, a", got)
	}
}

// Different faults have different fingerprints, and 16 digits.
func TestFingerprintDiffers(t *testing.T) {
	seen := map[string]string{}
	for _, kind := range []Kind{NullDereference, PageFault, SoftLockup} {
		for _, names := range []string{"", "a", "b", "a b", "b a", "a@m", "ab"} {
			what, p := string(kind)+" "+names, Fingerprint(kind, frames(names))
			if _, err := strconv.ParseUint(p, 16, 64); err != nil || len(p) != 16 {
				t.Errorf("%s: fingerprint %q; want 16 digits", what, p)
			}
			if seen[p] != "" {
				t.Errorf("%q and %q have the same fingerprint", what, seen[p])
			}
			seen[p] = what
		}
	}
}
