package unwind_test

import (
	"debug/elf"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/unwind"
)

func TestARM64(t *testing.T) {
	const code, stack, frame = 0xffff800080000000, 0xffff800081000000, 296
	for _, meta := range []bool{false, true} {
		w := newWords(elf.EM_AARCH64)
		w.info += "NUMBER(KERNELPACMASK)=0xff7f000000000000\n"
		k := &unwind.Kernel{Memory: w.reader(t), Text: []unwind.Range{{Start: code, End: code + 0x10000}}, StackFrame: frame, Meta: meta}
		const signed = 0x0080ffffffffffff // an authentication code over the bits of the mask
		regs := func(at, pc, fp, pstate uint64) uint64 {
			w.put(at, make([]uint64, 42)...)
			w.put(at+29*8, fp)
			w.put(at+256, pc)
			w.put(at+264, pstate)
			return at + frame
		}
		user := regs(stack+0x800, 0x401000, 0, 0)
		inner := regs(stack+0x200, code+0x300, stack+0x600, 5)
		w.put(stack+0x600, user, (code+0x400)&signed)
		if meta {
			w.put(user+16, 1)
			w.put(inner+16, 2)
		} else {
			w.put(inner, stack+0x600, code+0x300)
		}
		w.put(stack+0x100, inner, code+0x200)
		want(t, fmt.Sprint(meta), walk(t, k, unwind.Registers{PC: code + 0x100, FP: stack + 0x100}),
			fmt.Sprintf("%x c%x !%x c%x user mode", uint64(code+0x100), uint64(code+0x200), uint64(code+0x300), uint64(code+0x400)))
		// A thread of the kernel has registers that say nothing.
		thread := regs(stack+0xa00, 0, 0, 5)
		if meta {
			w.put(thread+16, 1)
		}
		w.put(stack+0x100, thread, code+0x200)
		want(t, "thread", walk(t, k, unwind.Registers{PC: code + 0x100, FP: stack + 0x100}), fmt.Sprintf("%x c%x end of stack", uint64(code+0x100), uint64(code+0x200)))
		for what, record := range map[string][2]uint64{
			"leads to itself": {stack + 0x100, code}, "is not aligned": {stack + 1, code + 0x200}, "where no code is": {user, stack}, "read stack": {0x10, code + 0x200},
		} {
			w.put(stack+0x100, record[0], record[1])
			if got := walk(t, k, unwind.Registers{PC: code + 0x100, FP: stack + 0x100}); !strings.Contains(got, what) {
				t.Errorf("%s: %s", what, got)
			}
		}
	}
}

func TestRISCV(t *testing.T) {
	const code, stack = 0xffffffff80002000, 0xff20000000001000
	w := newWords(elf.EM_RISCV)
	entry := unwind.Range{Start: code + 0x8000, End: code + 0x8100}
	k := &unwind.Kernel{Memory: w.reader(t), Text: []unwind.Range{{Start: code, End: code + 0x10000}}, Entry: entry, Boot: unwind.Range{Start: code - 0x1000, End: code}}
	regs := func(at, pc, ra, fp, status uint64) {
		w.put(at, make([]uint64, 36)...)
		w.put(at, pc, ra)
		w.put(at+64, fp)
		w.put(at+256, status)
	}
	// a function, the entry of an exception, what it interrupted: a leaf that saved no ra, its caller, a system call
	w.put(stack+0x100-16, stack+0x200, code+0x100)
	w.put(stack+0x200-16, 0, entry.Start+0x10)
	regs(stack+0x200, code+0x300, code+0x400, stack+0x500, 0x100)
	w.put(stack+0x500-16, 0x123, stack+0x600)
	w.put(stack+0x600-16, stack+0x700, code+0x500)
	w.put(stack+0x700-16, 0, entry.Start+0x20)
	regs(stack+0x700, 0x401000, 0, 0, 0)
	want(t, "exception", walk(t, k, unwind.Registers{PC: code + 0x10, FP: stack + 0x100}),
		fmt.Sprintf("%x c%x c%x !%x c%x c%x c%x user mode", uint64(code+0x10), uint64(code+0x100), entry.Start+0x10, uint64(code+0x300), uint64(code+0x400), uint64(code+0x500), entry.Start+0x20))
	for what, fp := range map[string]uint64{"end of stack": code + 0x900, "is not aligned": stack + 1, "read stack": 0x10} {
		w.put(stack+0x100-16, fp, code+0x100)
		want(t, what, walk(t, k, unwind.Registers{PC: code + 0x10, FP: stack + 0x100}), fmt.Sprintf("%x c%x ", uint64(code+0x10), uint64(code+0x100)))
		if got := walk(t, k, unwind.Registers{PC: code + 0x10, FP: stack + 0x100}); !strings.Contains(got, what) {
			t.Errorf("%s: %s", what, got)
		}
	}
	w.put(stack+0x100-16, stack+0x100, code-0x10)
	want(t, "itself", walk(t, k, unwind.Registers{PC: code + 0x10, FP: stack + 0x100}), fmt.Sprintf("%x the frame at", uint64(code+0x10)))
	w.put(stack+0x100-16, stack+0x800, code-0x10)
	want(t, "the begin of a CPU", walk(t, k, unwind.Registers{PC: code + 0x10, FP: stack + 0x100}), fmt.Sprintf("%x end of stack", uint64(code+0x10)))
}
