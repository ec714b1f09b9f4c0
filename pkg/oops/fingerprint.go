package oops

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

const (
	// significantFrames is how many frames make a fingerprint.
	significantFrames = 5
	// considered bounds how many certain frames are looked at: a recursion has hundreds.
	considered = 256
)

// Significant returns the names, at most five, of the functions that tell a fault from others, the innermost first:
// certain frames, less those by which the kernel dies, waits, checks its lists or takes a lock, down to the place from
// which the kernel calls whatever there is to do. Suffixes of the compiler are cut off; a function that calls itself
// counts once. A function of a module is NAME@MODULE.
//
// Frames are those of the stack that [Kind.Where] tells, the innermost first, from a log or from a dump; from both the
// result is the same. It is empty for a kind that strikes anywhere.
func Significant(kind Kind, frames []Frame) []string {
	names := telling(kind, frames)
	if kind == StackOverflow {
		if once := cycle(names); once != nil {
			return once[:min(len(once), significantFrames)]
		}
	}
	names = slices.Compact(names)
	if kind.requested() {
		return names[max(0, len(names)-significantFrames):]
	}
	return names[:min(len(names), significantFrames)]
}

// telling returns the names of the certain frames, less those that are skipped, down to a dispatcher.
func telling(kind Kind, frames []Frame) []string {
	if kind.Where() == Nowhere {
		return nil
	}
	frames = afterInterruption(kind, frames)
	var names []string
	certain := 0
	for i := range frames {
		f := &frames[i]
		if f.Uncertain {
			continue
		}
		if certain++; certain > considered {
			break
		}
		name := baseName(f.Symbol)
		if name == "" || neverReturned(frames, i) || skipped(name) {
			continue
		}
		stop := dispatches(name)
		if stop && len(names) > 0 {
			break
		}
		if stop && kind.lockup() {
			continue // an idle CPU, or one between two things to do
		}
		if f.Module != "" {
			name += "@" + f.Module
		}
		if names = append(names, name); stop {
			break
		}
	}
	return names
}

// Fingerprint is 16 hexadecimal digits that are the same for the same fault on other machines, CPUs and kernels: the
// beginning of the SHA-256 of the kind and the names of [Significant], each ended by a newline.
func Fingerprint(kind Kind, frames []Frame) string {
	h := sha256.New()
	h.Write([]byte(string(kind) + "\n"))
	for _, name := range Significant(kind, frames) {
		h.Write([]byte(name + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Title is one line about a crash, without anything that differs from machine to machine, such as "NULL pointer
// dereference in crash_read [crashmodule]".
func Title(kind Kind, frames []Frame) string { return kind.Title() + place(kind, frames) }

// place is the second half of a title: " in crash_read [crashmodule]".
func place(kind Kind, frames []Frame) string {
	names := telling(kind, frames)
	if kind == StackOverflow {
		names = Significant(kind, frames)
	}
	if len(names) == 0 {
		return ""
	}
	name, module, ok := strings.Cut(names[0], "@")
	if ok {
		module = " [" + module + "]"
	}
	return " in " + name + module
}

// Title is [Title] of the crash. What the kernel's checkers have found is in it: "KASAN: slab-out-of-bounds in ...".
func (o *Oops) Title() string {
	switch o.Kind {
	case KASAN, KFENCE, KMSAN, KCSAN, UBSAN:
		found, _, ok := strings.Cut(strings.TrimPrefix(o.Message, "BUG: "), " in ")
		if ok && len(found) < 80 && strings.HasPrefix(found, strings.ToUpper(string(o.Kind))+": ") {
			return found + place(o.Kind, o.Frames)
		}
	}
	return Title(o.Kind, o.Frames)
}

// Fingerprint is [Fingerprint] of the crash.
func (o *Oops) Fingerprint() string { return Fingerprint(o.Kind, o.Frames) }

// lockup reports whether a CPU was interrupted to tell what it does.
func (k Kind) lockup() bool { return k == SoftLockup || k == HardLockup || k == RCUStall }

// requested reports whether it is the request that counts, and not where it was noticed: that something takes too long for
// RCU, or that a path is too deep for the stack. Then the outermost functions are the significant ones.
func (k Kind) requested() bool { return k == RCUStall || k == StackOverflow }

// afterInterruption leaves out what noticed a lockup: an interrupt or NMI on top of what hangs. Where the frames don't
// tell where it came, the kernel's entry does.
func afterInterruption(kind Kind, frames []Frame) []Frame {
	if !kind.lockup() {
		return frames
	}
	for i := range frames {
		if frames[i].Interrupted || i > 0 && !frames[i-1].Uncertain && entry(baseName(frames[i-1].Symbol)) {
			return frames[i:]
		}
	}
	return frames
}

// entry reports whether a function is where interrupts come in (arch/*/kernel/entry*.S).
func entry(name string) bool {
	switch name {
	case "apic_timer_interrupt", "ret_from_intr", "el1_irq", "el1h_64_irq", "__irq_svc", "handle_exception", "end_repeat_nmi", "asm_exc_nmi", "asm_common_interrupt",
		"hardware_interrupt_common_virt", "decrementer_common_virt", "io_int_handler", "ext_int_handler":
		return true
	}
	return strings.HasPrefix(name, "asm_sysvec_")
}

// neverReturned reports whether a frame is the return address of a call that does not return, and that so belongs to
// whatever function comes next.
func neverReturned(frames []Frame, i int) bool {
	return i > 0 && !frames[i].Interrupted && frames[i].Offset == 0 && frames[i].Size > 0
}

// baseName cuts off what compiler and linker append: .constprop.0, .isra.0, .part.0, .cold, .llvm.123, .cfi_jt.
func baseName(symbol string) string {
	if i := strings.IndexByte(symbol, '.'); i > 0 {
		symbol = symbol[:i]
	}
	return strings.TrimPrefix(symbol, "__pfx_")
}

// cycle returns the functions of an endless recursion, nil if there is none. Where in it the stack ended is a matter of
// chance, and so is what was called from it last: they begin with the one whose name sorts first.
func cycle(names []string) []string {
	for start := 0; start < 16; start++ {
		for period := 1; period <= 16 && start+3*period <= len(names); period++ {
			once := names[start : start+period]
			if slices.Equal(once, names[start+period:start+2*period]) && slices.Equal(once, names[start+2*period:start+3*period]) {
				first := slices.Index(once, slices.Min(once))
				return slices.Concat(once[first:], once[:first])
			}
		}
	}
	return nil
}
