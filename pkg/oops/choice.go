package oops

import "time"

// together is how long after each other two messages are about the same state of the kernel.
const together = 5 * time.Second

// choose returns the crash: see the package's documentation.
func (s *scan) choose() *crash {
	last := len(s.crashes)
	var end *crash
	for i, c := range s.crashes {
		if c.class == final {
			end, last = c, i
			break
		}
	}
	c := cause(s.crashes[:last], end)
	if c == nil {
		return nil
	}
	c.Fatal = end != nil || c.class >= trigger && !c.ended
	if end != nil && c != end {
		c.Panic = end.Panic
		c.complete(end)
	}
	return c
}

// cause finds what led to the panic, or without one what the log is about.
func cause(before []*crash, end *crash) *crash {
	// An oops that did not end, because it was the last thing, or because another one came.
	for _, c := range before {
		if c.class == fault && !c.ended && c.told() {
			return c
		}
	}
	if end != nil {
		for i := len(before) - 1; i >= 0; i-- {
			if before[i].ledTo(end) {
				return before[first(before, i)]
			}
		}
		if !consequence(end.Panic) {
			return end
		}
	}
	for _, class := range [...]class{trigger, fault} {
		for _, c := range before {
			if c.class == class {
				return c
			}
		}
	}
	if end == nil && len(before) > 0 {
		return before[0]
	}
	return end
}

// ledTo reports whether a panic is about the same thing.
func (c *crash) ledTo(end *crash) bool {
	if c.class == fault && c.told() && (consequence(end.Panic) || end.Kind == InitKilled && (c.PID == 1 || c.PID < 0)) {
		return true
	}
	switch end.Kind {
	case SysRq:
		return c.class == trigger
	case Warning, KASAN, KFENCE, KMSAN, KCSAN, UBSAN: // by panic_on_warn
		return c.class == notice
	case SoftLockup, HardLockup, HungTask, RCUStall, WorkqueueLockup, NMI, MachineCheck, StackOverflow, AtomicSleep:
		return c.Kind == end.Kind
	}
	return false
}

// first returns the first of the tasks that were found to hang together with task i.
func first(before []*crash, i int) int {
	for i > 0 && before[i].Kind == HungTask && before[i-1].Kind == HungTask && before[i].Time-before[i-1].Time < together {
		i--
	}
	return i
}

// told reports whether more than the message is known.
func (c *crash) told() bool { return c.PC != nil || len(c.Frames) > 0 }

// complete adds what only the panic's own lines say.
func (c *crash) complete(end *crash) {
	if len(c.Frames) == 0 {
		c.Frames = end.Frames
		if c.PC == nil {
			c.PC, c.user = end.PC, end.user
		}
	}
	if c.CPU < 0 {
		c.CPU = end.CPU
	}
	if c.PID < 0 {
		c.PID, c.Comm = end.PID, end.Comm
	}
	if c.Taint == "" {
		c.Taint = end.Taint
	}
	if c.Hardware == "" {
		c.Hardware = end.Hardware
	}
	if c.Release == "" {
		c.Release = end.Release
	}
	if len(c.Modules) == 0 {
		c.Modules = end.Modules
	}
}
