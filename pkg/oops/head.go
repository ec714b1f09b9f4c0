package oops

import (
	"strconv"
	"strings"
)

// class is what a message says about the kernel's state.
type class uint8

const (
	notice  class = iota // the kernel goes on: a warning, a report of a checker
	hang                 // something is stuck
	trigger              // a crash that was asked for
	fault                // the task dies, or the kernel with it
	dying                // a line of a fault that its first line announced: "Oops: 0000 [#1]"
	final                // panic()
)

// head is the first line about something.
type head struct {
	kind  Kind
	class class
}

// opening is how such a line begins.
type opening struct {
	prefix string
	head
}

// openings: the messages of kernel/, mm/, lib/ and arch/*/{kernel,mm}. Of two that fit the first counts.
var openings = [...]opening{
	{"Kernel panic - not syncing", head{OtherPanic, final}},

	// arch/x86/mm/fault.c
	{"BUG: kernel NULL pointer dereference", head{NullDereference, fault}},
	{"BUG: unable to handle kernel NULL pointer dereference", head{NullDereference, fault}},
	{"BUG: unable to handle page fault", head{PageFault, fault}},
	{"BUG: unable to handle kernel paging request", head{PageFault, fault}},
	{"BUG: unable to handle ", head{PageFault, fault}},
	{"BUG: corrupted page table", head{PageFault, fault}},
	{"Corrupted page table", head{PageFault, fault}},
	// arch/x86/kernel/traps.c, dumpstack.c
	{"general protection fault", head{GeneralProtection, fault}},
	{"maybe for address", head{GeneralProtection, dying}},
	{"BUG: stack guard page was hit", head{StackOverflow, fault}},
	{"BUG: TASK stack guard page was hit", head{StackOverflow, fault}},
	{"BUG: IRQ stack guard page was hit", head{StackOverflow, fault}},
	{"BUG: ENTRY stack guard page was hit", head{StackOverflow, fault}},
	{"kernel stack overflow", head{StackOverflow, fault}},
	{"stack guard page:", head{StackOverflow, fault}},
	{"PANIC: double fault", head{DoubleFault, fault}},
	{"double fault:", head{DoubleFault, fault}},
	{"divide error", head{DivideError, fault}},
	{"divide_error", head{DivideError, fault}},
	{"invalid opcode", head{InvalidOpcode, fault}},
	{"int3:", head{OtherFault, fault}},
	{"stack segment:", head{OtherFault, fault}},
	{"segment not present:", head{OtherFault, fault}},
	{"invalid TSS:", head{OtherFault, fault}},
	{"alignment check:", head{OtherFault, fault}},
	{"bounds:", head{OtherFault, fault}},
	{"simd exception:", head{OtherFault, fault}},
	{"fpu exception:", head{OtherFault, fault}},
	{"trap invalid", head{OtherFault, fault}},
	{"unexpected #NMI", head{OtherFault, fault}},
	{"Missing ENDBR", head{ControlFlow, fault}},
	{"control protection", head{ControlFlow, fault}},
	{"unexpected #CP", head{ControlFlow, fault}},
	{"CFI failure", head{ControlFlow, fault}},
	{"split lock", head{OtherFault, notice}},

	// arm64, riscv, loongarch, s390, arm, mips, powerpc: mm/fault.c, kernel/traps.c
	{"Unable to handle kernel NULL pointer dereference", head{NullDereference, fault}},
	{"Unable to handle kernel pointer dereference", head{PageFault, fault}},
	{"Unable to handle kernel ", head{PageFault, fault}},
	{"BUG: Kernel NULL pointer dereference", head{NullDereference, fault}},
	{"Kernel attempted to ", head{PageFault, fault}},
	{"BUG: Unable to handle kernel ", head{PageFault, fault}},
	{"Unhandled fault: ", head{PageFault, fault}},
	{"Unhandled prefetch abort: ", head{PageFault, fault}},
	{"Insufficient stack space to handle exception", head{StackOverflow, fault}},
	{"Bad mode in ", head{OtherFault, fault}},
	{"SError Interrupt on CPU", head{MachineCheck, fault}},
	{"Oops - BUG", head{Bug, dying}},
	{"Oops - BRK", head{Bug, dying}},
	{"Oops - CFI", head{ControlFlow, fault}},
	{"Oops - BTI", head{ControlFlow, fault}},
	{"Oops - FPAC", head{ControlFlow, fault}},
	{"Oops - Undefined instruction", head{InvalidOpcode, fault}},
	{"Oops - undefined instruction", head{InvalidOpcode, fault}},
	{"Oops - illegal instruction", head{InvalidOpcode, fault}},
	{"Oops - instruction access fault", head{PageFault, fault}},
	{"Oops - load access fault", head{PageFault, fault}},
	{"Oops - store (or AMO) access fault", head{PageFault, fault}},
	{"Oops - ", head{OtherFault, fault}},
	{"synchronous external abort", head{OtherFault, fault}},
	{"synchronous parity", head{MachineCheck, fault}},
	{"Kernel BUG [#", head{Bug, dying}},
	{"Oops [#", head{PageFault, dying}},
	{"Oops[#", head{PageFault, dying}},
	{"Oops: ", head{PageFault, dying}},
	{"ptrace BRK handler", head{OtherFault, fault}},
	{"Unexpected kernel BRK exception", head{OtherFault, fault}},
	{"illegal operation:", head{InvalidOpcode, fault}},
	{"fixpoint divide exception:", head{DivideError, fault}},
	{"monitor event:", head{Bug, dying}},
	{"addressing exception:", head{PageFault, fault}},
	{"specification exception:", head{OtherFault, fault}},
	{"Machine check in kernel mode", head{MachineCheck, fault}},

	// lib/bug.c, lib/list_debug.c, lib/refcount.c, mm/usercopy.c, lib/string_helpers.c
	{"kernel BUG at ", head{Bug, fault}},
	{"Kernel BUG at ", head{Bug, fault}},
	{"list_add corruption", head{ListCorruption, notice}},
	{"list_add double add", head{ListCorruption, notice}},
	{"list_del corruption", head{ListCorruption, notice}},
	{"refcount_t: ", head{Refcount, notice}},
	{"usercopy: ", head{UserCopy, notice}},
	{"detected buffer overflow in ", head{UserCopy, notice}},
	{"memcpy: detected field-spanning", head{UserCopy, notice}},
	{"strnlen: detected buffer overflow", head{UserCopy, notice}},
	{"ODEBUG: ", head{BadObject, notice}},
	{"WARNING: possible ", head{Lockdep, notice}},
	{"WARNING: inconsistent lock state", head{Lockdep, notice}},
	{"WARNING: bad unlock balance", head{Lockdep, notice}},
	{"WARNING: held lock freed", head{Lockdep, notice}},
	{"WARNING: suspicious RCU usage", head{Lockdep, notice}},
	{"WARNING: lock held when returning", head{Lockdep, notice}},
	{"WARNING: Nested lock was not taken", head{Lockdep, notice}},
	{"WARNING: HARDIRQ", head{Lockdep, notice}},
	{"WARNING: SOFTIRQ", head{Lockdep, notice}},
	{"WARNING: ", head{Warning, notice}},
	{"INFO: possible ", head{Lockdep, notice}},
	{"INFO: suspicious RCU usage", head{Lockdep, notice}},
	{"INFO: inconsistent lock state", head{Lockdep, notice}},
	{"INFO: trying to register non-static key", head{Lockdep, notice}},
	{"BUG: Invalid wait context", head{Lockdep, notice}},
	{"BUG: held lock freed", head{Lockdep, notice}},
	{"BUG: bad unlock balance", head{Lockdep, notice}},
	{"BUG: lock held when returning", head{Lockdep, notice}},
	{"BUG: MAX_LOCK", head{Lockdep, notice}},
	{"BUG: MAX_STACK_TRACE_ENTRIES", head{Lockdep, notice}},
	{"BUG: key ", head{Lockdep, notice}},

	// The checkers.
	{"BUG: KASAN: ", head{KASAN, notice}},
	{"BUG: KFENCE: ", head{KFENCE, notice}},
	{"BUG: KMSAN: ", head{KMSAN, notice}},
	{"BUG: KCSAN: ", head{KCSAN, notice}},
	{"UBSAN: ", head{UBSAN, notice}},

	// kernel/watchdog*.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/workqueue.c
	{"BUG: soft lockup", head{SoftLockup, hang}},
	{"BUG: workqueue lockup", head{WorkqueueLockup, hang}},
	{"Watchdog detected hard LOCKUP on cpu", head{HardLockup, hang}},
	{"INFO: rcu_", head{RCUStall, hang}},

	// kernel/sched/core.c, mm/page_alloc.c, kernel/locking/spinlock_debug.c, and the rest
	{"BUG: scheduling while atomic", head{AtomicSleep, notice}},
	{"BUG: sleeping function called from invalid context", head{AtomicSleep, notice}},
	{"BUG: Bad page", head{BadPage, notice}},
	{"BUG: Bad rss-counter", head{BadPage, notice}},
	{"BUG: non-zero pgtables_bytes", head{BadPage, notice}},
	{"BUG: spinlock", head{SpinlockBug, notice}},
	{"BUG: rwlock", head{SpinlockBug, notice}},
	{"BUG: using ", head{OtherBug, notice}}, // ... in preemptible code
	{"BUG: ", head{OtherBug, notice}},

	{"sysrq: Trigger a crash", head{SysRq, trigger}},
	{"sysrq: SysRq : Trigger a crash", head{SysRq, trigger}},
	{"SysRq : Trigger a crash", head{SysRq, trigger}},
	{"Uhhuh. NMI received", head{NMI, notice}},
	{"NMI: PCI system error", head{NMI, notice}},
	{"NMI: IOCK error", head{NMI, notice}},
}

// announce recognises the first line about something, and returns it without the prefix of its subsystem.
func announce(text string) (head, string, bool) {
	for _, prefix := range [...]string{"Internal error: ", "Oops: ", "watchdog: ", "NMI watchdog: ", "rcu: ", "traps: ", "x86/fault: "} {
		rest, ok := strings.CutPrefix(text, prefix)
		// An error code follows "Oops: " in the oldest form; that one is itself an opening.
		if ok && rest != "" && (prefix != "Oops: " || !isDigit(rest[0]) && !strings.HasPrefix(rest, "Kernel access") && !strings.HasPrefix(rest, "Exception in")) {
			text = rest
		}
	}
	// Lockdep, before Linux 4.11: "[ BUG: held lock freed! ]"
	if rest, ok := strings.CutPrefix(text, "[ "); ok && strings.HasSuffix(rest, " ]") {
		text = strings.TrimSuffix(rest, " ]")
	}
	if text == "" {
		return head{}, "", false
	}
	for i := range openings {
		o := &openings[i]
		if o.prefix[0] == text[0] && strings.HasPrefix(text, o.prefix) {
			return o.refine(text), text, !harmless(o.kind, text)
		}
	}
	if h, ok := inner(text); ok {
		return h, text, true
	}
	return head{}, "", false
}

// inner recognises messages that begin with a number or a name.
func inner(text string) (head, bool) {
	switch {
	case strings.HasPrefix(text, "INFO: task ") && (strings.Contains(text, " blocked ") || strings.Contains(text, " can't die ")):
		return head{HungTask, hang}, true
	case strings.HasPrefix(text, "CPU ") && strings.Contains(text, " Unable to handle kernel "): // loongarch, mips
		return refineFault(text), true
	case strings.HasPrefix(text, "CPU ") && (strings.Contains(text, " Hard LOCKUP") || strings.Contains(text, "hard LOCKUP")): // powerpc
		return head{HardLockup, hang}, true
	case strings.HasPrefix(text, "mce: [Hardware Error]: CPU ") && strings.Contains(text, ": Machine Check Exception: "):
		return head{MachineCheck, notice}, true
	case strings.Contains(text, "general protection fault: ") && strings.Contains(text, "[#"): // after "segment-related ", or a line without an end
		return head{GeneralProtection, fault}, true
	case strings.HasPrefix(text, "Unhandled ") && strings.Contains(text, " exception on CPU"): // arm64
		return head{OtherFault, fault}, true
	}
	return head{}, false
}

// refine tells kinds apart that begin with the same words.
func (o *opening) refine(text string) head {
	h := o.head
	switch {
	case h.class == final:
		h.kind = panicKind(panicReason(text))
	case h.kind == PageFault && h.class == fault:
		return refineFault(text)
	case h.kind == Warning && strings.Contains(text, "lib/refcount.c"):
		h.kind = Refcount
	case h.kind == Warning && strings.Contains(text, "lib/list_debug.c"):
		h.kind = ListCorruption
	case h.kind == Warning && strings.Contains(text, "lib/debugobjects.c"):
		h.kind = BadObject
	case h.kind == Bug && strings.Contains(text, "lib/list_debug.c"):
		h.kind = ListCorruption
	case h.kind == Bug && strings.Contains(text, "mm/usercopy.c"):
		h.kind = UserCopy
	case h.class == dying && strings.Contains(text, "Kernel stack overflow"):
		h.kind = StackOverflow
	case h.class == dying && strings.HasPrefix(text, "Oops: Exception in kernel mode, sig: 5"):
		h.kind = Bug
	}
	return h
}

// firstPage bounds the addresses of a NULL pointer's members.
const firstPage = 4096

// refineFault tells by the address whether a pointer was NULL, which not every message does.
func refineFault(text string) head {
	if strings.Contains(text, "NULL pointer dereference") {
		return head{NullDereference, fault}
	}
	for _, before := range [...]string{"address: ", "address ", "paging request at ", " at 0x"} {
		_, after, ok := strings.Cut(text, before)
		if !ok {
			continue
		}
		after = strings.TrimPrefix(after, "0x")
		end := 0
		for end < len(after) && isHex(after[end]) {
			end++
		}
		if n, err := strconv.ParseUint(after[:end], 16, 64); err == nil && n < firstPage {
			return head{NullDereference, fault}
		}
		break
	}
	return head{PageFault, fault}
}

// harmless reports whether a line that begins like a message about the kernel's own state is one about something else,
// which has no stack.
func harmless(kind Kind, text string) bool {
	switch kind {
	case Warning:
		// WARNING: CPU: 0 PID: 1 at FILE:LINE name+0x2d/0x40, and since Linux 6.19 WARNING: FILE:LINE at name+0x2d/0x40, CPU#0: NAME/PID
		return !strings.Contains(text, " at ") || !strings.HasPrefix(text, "WARNING: CPU: ") && !strings.Contains(text, "+0x")
	case BadObject:
		return !strings.Contains(text, "object type")
	}
	return false
}

// panicReason is what panic() was told.
func panicReason(text string) string {
	reason := strings.TrimPrefix(text, "Kernel panic - not syncing")
	return strings.TrimSpace(strings.TrimPrefix(reason, ":"))
}

// panics: what panic() is told, and what that means. Of two that fit the first counts.
var panics = [...]struct {
	prefix string
	kind   Kind
}{
	{"sysrq triggered crash", SysRq},
	{"softlockup: hung tasks", SoftLockup},
	{"Hard LOCKUP", HardLockup},
	{"hung_task: blocked tasks", HungTask},
	{"RCU Stall", RCUStall},
	{"RCU stall", RCUStall},
	{"workqueue: ", WorkqueueLockup},
	{"NMI: Not continuing", NMI},
	{"NMI IOCK error", NMI},
	{"NMI: ", NMI},
	{"nmi_trap", NMI},
	{"Fatal machine check", MachineCheck},
	{"Fatal Machine check", MachineCheck},
	{"Fatal local machine check", MachineCheck},
	{"Machine check", MachineCheck},
	{"machine check", MachineCheck},
	{"Memory error machine check", MachineCheck},
	{"Timeout synchronizing machine check", MachineCheck},
	{"Timeout: Not all CPUs entered broadcast exception handler", MachineCheck},
	{"Unrecoverable machine check", MachineCheck},
	{"Unrecoverable Machine check", MachineCheck},
	{"Processor context corrupt", MachineCheck},
	{"Fatal hardware error", MachineCheck},
	{"Fatal Hardware Error", MachineCheck},
	{"Asynchronous SError", MachineCheck},
	{"Uncorrected hardware", MachineCheck},
	{"UE triggered", MachineCheck},
	{"Out of memory", OutOfMemory},
	{"Out of Memory", OutOfMemory},
	{"out of memory", OutOfMemory},
	{"System is deadlocked on memory", OutOfMemory},
	{"kernel stack overflow", StackOverflow},
	{"Kernel stack overflow", StackOverflow},
	{"stack-protector", StackCorruption},
	{"corrupted stack end", StackOverflow},
	{"Attempted to kill init", InitKilled},
	{"scheduling while atomic", AtomicSleep},
	{"CFI failure", ControlFlow},
	{"panic_on_warn set", Warning},
	{"kernel: panic_on_warn set", Warning},
	{"KASAN: panic_on_warn set", KASAN},
	{"kasan.fault", KASAN},
	{"KFENCE: panic_on_warn set", KFENCE},
	{"kfence.fault", KFENCE},
	{"KMSAN: panic_on_warn set", KMSAN},
	{"kmsan.panic set", KMSAN},
	{"KCSAN: panic_on_warn set", KCSAN},
	{"UBSAN: panic_on_warn set", UBSAN},
	{"sched: panic_on_warn set", AtomicSleep},
}

func panicKind(reason string) Kind {
	for i := range panics {
		if strings.HasPrefix(reason, panics[i].prefix) {
			return panics[i].kind
		}
	}
	return OtherPanic
}

// consequence reports whether a panic only ends an oops.
func consequence(reason string) bool {
	return begins(reason, "Fatal exception", "Aiee, killing interrupt handler", "Attempted to kill the idle task", "Unrecoverable", "Oops", "BUG!",
		"Machine halted", "Kernel mode fault", "panic_on_oops") ||
		strings.HasSuffix(reason, "Fatal exception") // arm64 says what kind before it
}
