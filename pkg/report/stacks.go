package report

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/unwind"
)

// stackMaker walks stacks and names what is on them.
type stackMaker struct {
	m        *maker
	arch     *unwind.Arch
	unwinder unwind.Unwinder
	err      error // why stacks can't be walked
	text     []unwind.Range
	named    map[uint64]Frame
	frames   int // of all stacks so far
}

// maxText bounds the code of a kernel, in bytes.
const maxText = 1 << 30

// Bounds of the frames whose names are kept, and of those of a report.
const (
	maxNamed  = 4096
	maxFrames = 1 << 14
)

// prepare finds out how the stacks of this kernel are walked.
func (s *stackMaker) prepare(m *maker) {
	s.m, s.named = m, map[uint64]Frame{}
	if m.symbols == nil {
		s.err = m.noTypes
		return
	}
	for _, r := range []struct{ start, end string }{{"_stext", "_etext"}, {"_sinittext", "_einittext"}} {
		if start, size, ok := m.symbols.Range(r.start, r.end); ok && size <= maxText {
			s.text = append(s.text, unwind.Range{Start: start, End: start + size})
		}
	}
	if s.arch, s.err = unwind.ArchOf(m.mem.Platform()); s.err != nil {
		return
	}
	if m.kernel == nil {
		s.err = m.noTypes
		return
	}
	k := &unwind.Kernel{Memory: m.mem, Text: s.text, FunctionStart: s.functionStart}
	for _, l := range m.loaded {
		k.Text = append(k.Text, l.text...)
	}
	s.orcTables(k)
	if f, err := m.field("pt_regs", "stackframe"); err == nil {
		k.StackFrame, k.Meta = f.Offset, m.kernel.Types.Name(f.Type) == "frame_record_meta"
	}
	if start, size, ok := m.symbols.Range("handle_exception", "ret_from_exception_end"); ok {
		k.Entry = unwind.Range{Start: start, End: start + size}
	}
	if start, size, ok := m.symbols.Range("_start", "_stext"); ok {
		k.Boot = unwind.Range{Start: start, End: start + size}
	}
	s.unwinder, s.err = s.arch.New(k)
}

// orcTables fills in the ORC tables, where the kernel has them.
func (s *stackMaker) orcTables(k *unwind.Kernel) {
	ip, size, ok := s.m.symbols.Range("__start_orc_unwind_ip", "__stop_orc_unwind_ip")
	entries, ok2 := s.m.symbols.Symbol("__start_orc_unwind")
	if !ok || !ok2 {
		return
	}
	k.Tables = append(k.Tables, unwind.Table{Text: s.text, IP: ip, Entries: entries, Count: size / 4})
	for _, l := range s.m.loaded {
		if l.orc.Count > 0 {
			k.Tables = append(k.Tables, l.orc)
		}
	}
	_, err := s.m.field("orc_entry", "signal")
	k.SignalBit = err == nil
	for _, name := range strings.Fields(votingFunctions) {
		if addr, ok := s.m.symbols.Symbol(name); ok {
			k.Votes = append(k.Votes, addr)
		}
	}
}

// functionStart returns where the function begins that an address lies in.
func (s *stackMaker) functionStart(addr uint64) (uint64, bool) {
	f := s.name(unwind.Frame{Address: addr})
	return addr - f.Offset, f.Symbol != ""
}

// walk walks a stack.
func (s *stackMaker) walk(from unwind.Registers) *Stack {
	if s.frames > maxFrames {
		return &Stack{End: fmt.Sprintf("left out, as other stacks of the report have %d frames", s.frames)}
	}
	walked := s.unwinder.Walk(from)
	s.frames += len(walked.Frames)
	out := &Stack{End: walked.End, Frames: make([]Frame, 0, len(walked.Frames))}
	for _, f := range walked.Frames {
		out.Frames = append(out.Frames, s.name(f))
	}
	return out
}

// name finds the symbol of a frame. A call may be the last instruction of a function, so what it returns to need not
// be in there.
func (s *stackMaker) name(f unwind.Frame) Frame {
	at := f.Address
	if f.Call {
		at--
	}
	out, ok := s.named[at]
	if !ok {
		out = s.lookup(at)
		if len(s.named) < maxNamed {
			s.named[at] = out
		}
	}
	if f.Call && out.Symbol != "" {
		out.Offset++
	}
	out.Address, out.Interrupted = Address(f.Address), f.Interrupted
	return out
}

// lookup finds the symbol of an address.
func (s *stackMaker) lookup(at uint64) Frame {
	for _, r := range s.text {
		if r.Has(at) {
			sym, size, err := s.m.symbols.Lookup(at)
			if err != nil {
				return Frame{}
			}
			return Frame{Symbol: sym.Name, Offset: at - sym.Address, Size: size}
		}
	}
	for i := range s.m.loaded {
		l := &s.m.loaded[i]
		for _, r := range l.text {
			if r.Has(at) {
				sym, size, err := l.symbols.Lookup(s.m.mem, at, r.Start, r.End)
				if err != nil {
					return Frame{Module: l.name}
				}
				return Frame{Symbol: sym.Name, Offset: at - sym.Address, Size: size, Module: l.name}
			}
		}
	}
	return Frame{}
}

// symbolOf names an address of data, as name+0x10, and the module after it; "" if no symbol is near.
func (s *stackMaker) symbolOf(addr uint64) string {
	sym, size, err := s.m.symbols.Lookup(addr)
	module := ""
	for i := range s.m.loaded {
		l := &s.m.loaded[i]
		for _, r := range l.memory {
			if r.Has(addr) {
				sym, size, err = l.symbols.Lookup(s.m.mem, addr, r.Start, r.End)
				module = " [" + l.name + "]"
			}
		}
	}
	switch {
	case err != nil || size == 0 || addr-sym.Address >= size || size > 1<<20:
		return ""
	case addr == sym.Address:
		return sym.Name + module
	}
	return fmt.Sprintf("%s+%#x%s", sym.Name, addr-sym.Address, module)
}

// sleeping walks the stack of a task that is on no CPU.
func (s *stackMaker) sleeping(task object.Object) *Stack {
	if s.err != nil {
		return &Stack{End: s.err.Error()}
	}
	from, err := s.switched(task)
	if err != nil {
		return &Stack{End: err.Error()}
	}
	return s.walk(from)
}

// switched returns the registers with which a task goes on when it is given a CPU.
func (s *stackMaker) switched(task object.Object) (r unwind.Registers, err error) {
	read := func(v *uint64, path string) {
		if err == nil {
			*v, err = task.Uint(path)
		}
	}
	r.Call = true
	switch {
	case task.Has("thread.cpu_context"): // arm64
		read(&r.PC, "thread.cpu_context.pc")
		read(&r.FP, "thread.cpu_context.fp")
		read(&r.SP, "thread.cpu_context.sp")
		return r, err
	case task.Has("thread.ra"): // riscv64
		read(&r.PC, "thread.ra")
		read(&r.SP, "thread.sp")
		if err == nil {
			r.FP, err = element(task, "thread.s", 0, "")
		}
		return r, err
	}
	frame, err := s.m.kernel.At("inactive_task_frame", 0)
	if err != nil {
		return r, errors.New("how this kernel keeps the registers of sleeping tasks is not known")
	}
	// x86_64: struct inactive_task_frame is on the stack (arch/x86/include/asm/switch_to.h).
	size := frame.Field.Size
	if frame.Address, err = task.Uint("thread.sp"); err != nil {
		return r, err
	}
	r.SP = frame.Address + size
	if r.FP, err = frame.Uint("bp"); err == nil {
		r.PC, err = frame.Uint("ret_addr")
	}
	for _, name := range []string{"ret_from_fork_asm", "ret_from_fork"} {
		if addr, ok := s.m.symbols.Symbol(name); ok {
			// A task that has not run yet: nothing called this.
			r.Call = r.PC != addr
			break
		}
	}
	return r, err
}

// element reads a number in an element of an array.
func element(o object.Object, array string, i uint64, path string) (uint64, error) {
	a, err := o.Index(array, i)
	if err != nil {
		return 0, err
	}
	return a.Uint(path)
}
