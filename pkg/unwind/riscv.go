package unwind

import "fmt"

// Offsets into struct pt_regs of riscv64, in bytes, and the bit of its status that is 0 if they are those of user mode.
const (
	riscvPC     = 0
	riscvLink   = 8
	riscvFP     = 64
	riscvStatus = 256
	riscvSPP    = 0x100
)

// riscv walks stacks by frame pointers: before what s0 points to are that of the caller and where the call returns.
type riscv struct{ *Kernel }

func newRISCV(k *Kernel) (Unwinder, error) { return riscv{k}, nil }

// riscvWalk is a walk that is under way.
type riscvWalk struct {
	riscv
	fp    uint64
	link  uint64 // ra, while leaf is set
	leaf  bool   // the function may have saved no ra, since it calls none
	stack Stack
}

// Walk follows the frames as walk_stackframe does (arch/riscv/kernel/stacktrace.c).
func (r riscv) Walk(from Registers) Stack {
	w := &riscvWalk{riscv: r, fp: from.FP, link: from.Link, leaf: from.Saved != 0}
	w.stack.Frames = []Frame{{Address: from.PC, Call: from.Call}}
	w.stack.follow(w.step)
	return w.stack
}

// step goes to the caller of a frame.
func (w *riscvWalk) step() error {
	// A thread of the kernel begins with the address of its function in s0 (copy_thread).
	if w.fp == 0 || w.isText(w.fp) {
		w.stack.End = EndOfStack
		return nil
	}
	if w.fp%8 != 0 {
		return fmt.Errorf("the frame pointer %#x is not aligned", w.fp)
	}
	sp := w.fp
	next, err := w.word(sp - 16)
	if err != nil {
		return err
	}
	back, err := w.word(sp - 8)
	if err != nil {
		return err
	}
	if w.leaf && next%8 != 0 {
		// Only s0 was saved, where others save ra.
		next, back = back, w.link
	}
	w.leaf = false
	if next == sp {
		return fmt.Errorf("the frame at %#x leads to itself", sp)
	}
	w.fp = next
	if back == 0 || w.Boot.Has(back) {
		w.stack.End = EndOfStack
		return nil
	}
	if !w.isText(back) {
		return fmt.Errorf("the frame at %#x leads to %#x, where no code is", sp, back)
	}
	w.stack.Frames = append(w.stack.Frames, Frame{Address: back, Call: true})
	if !w.Entry.Has(back) {
		return nil
	}
	// handle_exception saved the registers on the stack.
	status, err := w.word(sp + riscvStatus)
	if err != nil {
		return err
	}
	if status&riscvSPP == 0 {
		w.stack.End = UserMode
		return nil
	}
	pc, err := w.word(sp + riscvPC)
	if err == nil {
		w.link, err = w.word(sp + riscvLink)
	}
	if err == nil {
		w.fp, err = w.word(sp + riscvFP)
	}
	if err == nil {
		w.leaf = true
		w.stack.Frames = append(w.stack.Frames, Frame{Address: pc, Interrupted: true})
	}
	return err
}
