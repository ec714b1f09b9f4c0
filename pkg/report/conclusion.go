package report

import "github.com/gokexec/gokexec/pkg/oops"

// conclude says what happened, by what the log and the stacks tell.
func (m *maker) conclude() {
	r := m.report
	crash := m.findings.crash
	if crash == nil {
		if r.Crashed == nil || r.Crashed.Stack == nil || len(r.Crashed.Stack.Frames) == 0 {
			return
		}
		// Without a log: it did panic.
		crash = &oops.Oops{Kind: oops.OtherPanic}
	}
	r.Kind, r.Message = string(crash.Kind), printable(crash.Message)
	if k := &r.Kernel; k.Taint == "" && k.Hardware == "" && m.symbols == nil {
		k.Taint, k.Hardware = crash.Taint, printable(crash.Hardware)
	}
	frames := m.evidence(crash)
	// The stack in memory has all of it; of the log lines may be lost. Both give the same value.
	if len(oops.Significant(crash.Kind, frames)) == 0 {
		frames = crash.Frames
	}
	m.borrow(crash)
	r.Title = printable(oops.Title(crash.Kind, frames))
	r.Fingerprint = oops.Fingerprint(crash.Kind, frames)
}

// borrow takes from the log what could not be told by the memory.
func (m *maker) borrow(crash *oops.Oops) {
	r := m.report
	if len(r.Modules) == 0 && m.kernel == nil {
		for _, name := range crash.Modules {
			r.Modules = append(r.Modules, Module{Name: printable(name)})
		}
	}
	if r.Crashed != nil || crash.Kind.Where() == oops.InTask || crash.CPU < 0 {
		return
	}
	r.Crashed = &CPU{Number: crash.CPU}
	if crash.PID >= 0 {
		r.Crashed.Task = &Task{PID: crash.PID, Name: printable(crash.Comm)}
		r.Crashed.Idle = crash.PID == 0
	}
	if len(crash.Frames) > 0 {
		r.Crashed.Stack = &Stack{End: "as the log has it"}
	}
	for _, f := range crash.Frames {
		if !f.Uncertain {
			r.Crashed.Stack.Frames = append(r.Crashed.Stack.Frames, Frame{Address: Address(f.Address), Symbol: f.Symbol, Offset: f.Offset, Size: f.Size, Module: f.Module, Interrupted: f.Interrupted})
		}
	}
}

// evidence returns the frames of the stack that tells about a crash of this kind.
func (m *maker) evidence(crash *oops.Oops) []oops.Frame {
	var stack *Stack
	switch crash.Kind.Where() {
	case oops.OnCrashedCPU:
		if m.report.Crashed != nil {
			stack = m.report.Crashed.Stack
		}
	case oops.OnCPU:
		if c := m.cpuOf(crash.CPU); c != nil {
			stack = c.Stack
		}
	case oops.InTask:
		if m.findings.task != nil {
			stack = m.stacks.sleeping(*m.findings.task)
		}
	}
	if stack == nil {
		return nil
	}
	var frames []oops.Frame
	for _, f := range stack.Frames {
		if m.stacks.arch != nil && m.stacks.arch.NamesAddress && f.Offset == f.Size && !f.Interrupted {
			f.Offset = 0 // as in the log, where the name is wrong: neither is to count
		}
		frames = append(frames, oops.Frame{Symbol: f.Symbol, Offset: f.Offset, Size: f.Size, Module: f.Module, Address: uint64(f.Address), Interrupted: f.Interrupted})
	}
	return frames
}
