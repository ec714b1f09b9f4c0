package unwind

import "fmt"

// Offsets into struct pt_regs of x86_64 (arch/x86/include/asm/ptrace.h), in bytes.
const (
	regsR13 = 16
	regsBP  = 32
	regsR10 = 56
	regsAX  = 80
	regsDX  = 96
	regsDI  = 112
	regsIP  = 128
	regsCS  = 136
	regsSP  = 152
)

// x86Walk is a walk that is under way.
type x86Walk struct {
	*orc
	pc, sp, bp uint64
	saved      uint64 // address of all registers, 0: they are lost
	exact      bool   // pc is not where a call returns to
	stack      Stack
}

// Walk follows the calls as unwind_next_frame does (arch/x86/kernel/unwind_orc.c).
func (o *orc) Walk(from Registers) Stack {
	w := o.begin(from)
	if from.Call {
		w.run()
		return w.stack
	}
	switch e, err := o.find(from.PC); {
	case err == errNoEntry:
		w.strayed()
	case err == nil && e.kind == frameUndefined:
		if s, ok := o.fromUnmarked(from); ok {
			return s
		}
	}
	w.run()
	return w.stack
}

func (o *orc) begin(from Registers) *x86Walk {
	w := &x86Walk{orc: o, pc: from.PC, sp: from.SP, bp: from.FP, saved: from.Saved, exact: !from.Call}
	w.stack.Frames = []Frame{{Address: from.PC, Call: from.Call}}
	return w
}

// strayed handles a jump to where no code is, as through a pointer to a function that is NULL or garbage: what it was
// called with is still on the stack.
func (w *x86Walk) strayed() {
	back, err := w.word(w.sp)
	if err != nil || !w.isCode(back) {
		return
	}
	w.pc, w.sp, w.exact = back, w.sp+8, false
	w.stack.Frames = append(w.stack.Frames, Frame{Address: back, Call: true})
}

// isCode reports whether there is unwind data for an address.
func (o *orc) isCode(addr uint64) bool { return o.table(addr) != nil }

// run walks until the end.
func (w *x86Walk) run() { w.stack.follow(w.step) }

// step goes to the caller of a frame.
func (w *x86Walk) step() error {
	at := w.pc
	if !w.exact {
		at--
	}
	e, err := w.find(at)
	if err == errNoEntry && !w.exact {
		return w.byFramePointer()
	}
	if err != nil {
		return fmt.Errorf("no unwind data for %#x: %w", w.pc, err)
	}
	switch e.kind {
	case frameEnd:
		w.stack.End = EndOfStack
		return nil
	case frameUndefined:
		return fmt.Errorf("the unwind data for %#x say that nothing is known", w.pc)
	}
	cfa, err := w.frame(e)
	if err != nil {
		return err
	}
	was := *w
	regs := cfa
	switch e.kind {
	case frameCall:
		w.saved = 0
		w.pc, err = w.word(cfa - 8)
		w.sp = cfa
	case framePartial:
		regs = cfa - regsIP
		fallthrough
	default:
		if e.kind == frameRegs {
			w.saved = regs
		}
		if w.pc, err = w.word(regs + regsIP); err == nil {
			w.sp, err = w.word(regs + regsSP)
		}
		if err == nil {
			var cs uint64
			if cs, err = w.word(regs + regsCS); err == nil && cs&3 == 3 {
				w.stack.End = UserMode
				return nil
			}
		}
	}
	if err == nil {
		err = w.base(e, was.pc, cfa)
	}
	if err != nil {
		return err
	}
	w.exact = e.signal
	if w.pc == was.pc && w.sp == was.sp {
		return fmt.Errorf("the frame at %#x leads to itself", w.sp)
	}
	if w.pc == 0 {
		return fmt.Errorf("the return address before %#x is 0", w.sp)
	}
	w.stack.Frames = append(w.stack.Frames, Frame{Address: w.pc, Call: !w.exact, Interrupted: e.kind != frameCall})
	return nil
}

// frame returns the address that an entry counts the frame from: the stack pointer of the caller, or saved registers.
func (w *x86Walk) frame(e entry) (uint64, error) {
	off := uint64(e.spOffset)
	switch e.spReg {
	case sp:
		return w.sp + off, nil
	case bp:
		return w.bp + off, nil
	case spIndirect:
		v, err := w.word(w.sp)
		return v + off, err
	case bpIndirect:
		return w.word(w.bp + off)
	}
	var at uint64
	switch e.spReg {
	case r10:
		at = regsR10
	case r13:
		at = regsR13
	case di:
		at = regsDI
	case dx:
		at = regsDX
	case ax:
		at = regsAX
	default:
		return 0, fmt.Errorf("the unwind data for %#x count from a register that is not known", w.pc)
	}
	if w.saved == 0 {
		return 0, fmt.Errorf("the unwind data for %#x count from a register that was not saved", w.pc)
	}
	v, err := w.word(w.saved + at)
	return v + off, err
}

// base sets the BP of the caller of what is at pc.
func (w *x86Walk) base(e entry, pc, cfa uint64) (err error) {
	switch e.bpReg {
	case undefined:
		if w.saved != 0 {
			w.bp, err = w.word(w.saved + regsBP)
		}
	case prevSP:
		w.bp, err = w.word(cfa + uint64(e.bpOffset))
	case bp:
		w.bp, err = w.word(w.bp + uint64(e.bpOffset))
	default:
		err = fmt.Errorf("the unwind data for %#x count BP from a register that is not known", pc)
	}
	return err
}

// byFramePointer is for code without tables, such as that of BPF programs, which keeps a frame pointer.
func (w *x86Walk) byFramePointer() error {
	noData := fmt.Errorf("no unwind data for %#x: %w", w.pc, errNoEntry)
	next, err := w.word(w.bp)
	if err != nil {
		return noData
	}
	back, err := w.word(w.bp + 8)
	if err != nil || !w.isCode(back) && !w.isText(back) || w.bp < w.sp {
		return noData
	}
	w.sp, w.bp, w.pc, w.saved, w.exact = w.bp+16, next, back, 0, false
	w.stack.Frames = append(w.stack.Frames, Frame{Address: back, Call: true})
	return nil
}
