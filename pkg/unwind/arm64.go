package unwind

import "fmt"

// Offsets into struct pt_regs of arm64, in bytes, and the mode bits of pstate that are 0 in user mode.
const (
	arm64FP     = 29 * 8
	arm64PC     = 256
	arm64PState = 264
	arm64Mode   = 0xf
)

// Types of a struct frame_record_meta (arch/arm64/include/asm/stacktrace/frame.h).
const (
	metaFinal = 1
	metaRegs  = 2
)

// arm64 walks stacks by frame records: the frame pointer leads to that of the caller, and to where the call returns.
type arm64 struct {
	*Kernel
	pac uint64 // the bits of an address that pointer authentication uses
}

func newARM64(k *Kernel) (Unwinder, error) {
	a := &arm64{Kernel: k}
	if mask, ok := k.Memory.Info.Number("KERNELPACMASK"); ok {
		a.pac = uint64(mask)
	}
	return a, nil
}

// strip takes the authentication code out of an address.
func (a *arm64) strip(addr uint64) uint64 {
	if addr>>55&1 != 0 {
		return addr | a.pac
	}
	return addr &^ a.pac
}

// Walk follows the frame records as kunwind_next does (arch/arm64/kernel/stacktrace.c).
func (a *arm64) Walk(from Registers) Stack {
	s := Stack{Frames: []Frame{{Address: a.strip(from.PC), Call: from.Call}}}
	fp := from.FP
	s.follow(func() error {
		next, frame, end, err := a.step(fp)
		if err != nil || end != "" {
			s.End = end
			return err
		}
		s.Frames = append(s.Frames, frame)
		fp = next
		return nil
	})
	return s
}

// step reads the frame record at fp.
func (a *arm64) step(fp uint64) (next uint64, f Frame, end string, err error) {
	if fp == 0 {
		return 0, f, EndOfStack, nil
	}
	if fp%8 != 0 {
		return 0, f, "", fmt.Errorf("the frame pointer %#x is not aligned", fp)
	}
	next, err = a.word(fp)
	if err != nil {
		return 0, f, "", err
	}
	lr, err := a.word(fp + 8)
	if err != nil {
		return 0, f, "", err
	}
	regs := fp - a.StackFrame
	if next == 0 && lr == 0 {
		return a.boundary(fp, regs)
	}
	f = Frame{Address: a.strip(lr), Call: true}
	if !a.Meta && a.StackFrame != 0 && a.interrupted(regs, next, lr) {
		f.Call, f.Interrupted = false, true
	}
	if next == fp {
		return 0, f, "", fmt.Errorf("the frame at %#x leads to itself", fp)
	}
	if !a.isText(f.Address) {
		return 0, f, "", fmt.Errorf("the frame at %#x leads to %#x, where no code is", fp, f.Address)
	}
	return next, f, "", nil
}

// boundary handles a frame record of zeroes: of saved registers, which since Linux 6.13 a type follows.
func (a *arm64) boundary(fp, regs uint64) (next uint64, f Frame, end string, err error) {
	if a.Meta {
		kind, err := a.Memory.Uint64(fp+16, "frame_record_meta")
		if err != nil {
			return 0, f, "", err
		}
		switch kind {
		case metaRegs:
			pc, err := a.Memory.Ulong(regs+arm64PC, "pt_regs")
			if err == nil {
				next, err = a.Memory.Ulong(regs+arm64FP, "pt_regs")
			}
			return next, Frame{Address: a.strip(pc), Interrupted: true}, "", err
		case metaFinal:
		default:
			return 0, f, "", fmt.Errorf("the frame record at %#x is of type %d, which is not known", fp, kind)
		}
	}
	if a.StackFrame != 0 {
		pstate, err := a.Memory.Uint64(regs+arm64PState, "pt_regs")
		pc, err2 := a.Memory.Ulong(regs+arm64PC, "pt_regs")
		if err == nil && err2 == nil && pstate&arm64Mode == 0 && pc != 0 {
			return 0, f, UserMode, nil
		}
	}
	return 0, f, EndOfStack, nil
}

// interrupted reports whether a frame record is that of the saved registers at regs: it repeats what they hold.
func (a *arm64) interrupted(regs, fp, pc uint64) bool {
	saved, err := a.Memory.Ulong(regs+arm64FP, "pt_regs")
	if err != nil || saved != fp {
		return false
	}
	at, err := a.Memory.Ulong(regs+arm64PC, "pt_regs")
	return err == nil && at == pc
}
