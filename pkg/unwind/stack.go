package unwind

import (
	"debug/elf"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Ends of a walk that went all the way.
const (
	UserMode   = "user mode"
	EndOfStack = "end of stack"
)

// maxFrames bounds a stack.
const maxFrames = 256

// Frame is one call.
type Frame struct {
	Address uint64
	// Call says that Address is where a call returns to: the call itself is before it.
	Call bool
	// Interrupted says that the registers were saved by an exception, an interrupt or an NMI at Address.
	Interrupted bool
}

// Stack is what a walk found, the innermost frame first. End is UserMode, EndOfStack, or says what stopped it.
type Stack struct {
	Frames []Frame
	End    string
}

// whole reports whether the walk went all the way.
func (s *Stack) whole() bool { return s.End == UserMode || s.End == EndOfStack }

// follow takes steps, each of which adds frames or sets End, until the end.
func (s *Stack) follow(step func() error) {
	for s.End == "" {
		if len(s.Frames) >= maxFrames {
			s.End = fmt.Sprintf("more than %d frames", maxFrames)
		} else if err := step(); err != nil {
			s.End = err.Error()
		}
	}
}

// Registers are where a walk begins.
type Registers struct {
	PC, SP, FP uint64 // FP is x86_64's BP, riscv64's s0
	Link       uint64 // ra of riscv64
	// Saved is the address of all registers in the order of struct pt_regs, 0 if there are only these.
	Saved uint64
	// Call says that PC is where a call returns to, as in a task that sleeps.
	Call bool
	// User says that they are those of a program in user mode.
	User bool
}

// Range is a stretch of virtual addresses, of which End is not one.
type Range struct{ Start, End uint64 }

// Has reports whether an address is in it.
func (r Range) Has(addr uint64) bool { return addr >= r.Start && addr < r.End }

// Kernel is what is to be known of a kernel. Tables are for x86_64 only, and what is below for the others.
type Kernel struct {
	Memory *vmcore.Reader
	// Tables are the kernel's own and those of its modules.
	Tables []Table
	// SignalBit says that struct orc_entry has a member of that name (Linux 6.4).
	SignalBit bool
	// Votes are the addresses of some functions written in C, by which the numbers of registers are told.
	Votes []uint64
	// FunctionStart returns where the function begins that an address lies in.
	FunctionStart func(addr uint64) (start uint64, ok bool)

	// Text is where the code of kernel and modules is.
	Text []Range
	// StackFrame is the offset of pt_regs.stackframe on arm64, and Meta says that it is a struct frame_record_meta
	// (Linux 6.13).
	StackFrame uint64
	Meta       bool
	// Entry is the code that saves registers on riscv64: from handle_exception to ret_from_exception_end.
	Entry Range
	// Boot is the code with which a CPU starts on riscv64, from _start to _stext: what it calls has no other caller.
	Boot Range
}

// isText reports whether code of the kernel or of a module is at an address.
func (k *Kernel) isText(addr uint64) bool { return has(k.Text, addr) }

func has(ranges []Range, addr uint64) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.Has(addr) })
}

// word reads a word of a stack.
func (k *Kernel) word(addr uint64) (uint64, error) { return k.Memory.Ulong(addr, "stack") }

// Unwinder walks stacks. It may not be used concurrently.
type Unwinder interface {
	Walk(from Registers) Stack
}

// Arch is an architecture whose stacks can be walked. The offsets, in bytes, are into struct pt_regs and into the
// registers of an NT_PRSTATUS, which begin alike.
type Arch struct {
	Machine elf.Machine
	Size    uint64 // as much of the registers as is needed

	pc, sp, fp uint64
	link       uint64 // 0: none
	// In user mode the register at mode has the bits user of those in mask. Where mask is 0 the registers don't tell, and
	// it is PC that is not in the kernel's half of the addresses.
	mode, mask, user uint64

	// NamesAddress says that in the kernel's log a frame has the name of what is at the address, where it should be of
	// what is before: a call that is the last instruction of a function returns to the next one.
	NamesAddress bool

	unwinder func(*Kernel) (Unwinder, error)
}

// archs has those that are known (arch/*/include/asm/ptrace.h).
var archs = [...]Arch{
	{elf.EM_X86_64, 168, regsIP, regsSP, regsBP, 0, regsCS, 3, 3, false, newORC},
	{elf.EM_AARCH64, 272, arm64PC, 248, arm64FP, 0, arm64PState, arm64Mode, 0, true, newARM64},
	{elf.EM_RISCV, 256, riscvPC, 16, riscvFP, riscvLink, 0, 0, 0, true, newRISCV},
}

// ArchOf returns an architecture. The error says that it isn't known.
func ArchOf(p vmcore.Platform) (*Arch, error) {
	for i := range archs {
		if a := &archs[i]; a.Machine == p.Machine && p.Word == 8 {
			return a, nil
		}
	}
	return nil, fmt.Errorf("stacks of %v with words of %d bytes can't be walked: only those of x86_64, arm64 and riscv64", p.Machine, p.Word)
}

// New returns what walks the stacks of a kernel. The error says what is missing.
func (a *Arch) New(k *Kernel) (Unwinder, error) { return a.unwinder(k) }

// Registers reads saved registers, which must be Size bytes at an address. The error is a *vmcore.ReadError.
func (a *Arch) Registers(m *vmcore.Reader, addr uint64) (Registers, error) {
	var b [272]byte
	if err := m.Bytes(b[:a.Size], addr, "registers"); err != nil {
		return Registers{}, err
	}
	r := Registers{PC: m.Decode(b[a.pc:]), SP: m.Decode(b[a.sp:]), FP: m.Decode(b[a.fp:]), Saved: addr}
	if a.link != 0 {
		r.Link = m.Decode(b[a.link:])
	}
	if r.User = m.Decode(b[a.mode:])&a.mask == a.user; a.mask == 0 {
		r.User = r.PC != 0 && r.PC>>63 == 0
	}
	return r, nil
}
