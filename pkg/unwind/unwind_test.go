package unwind_test

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/unwind"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// words is memory of a 64-bit machine: what was never stored isn't there.
type words struct {
	machine elf.Machine
	bytes   map[uint64]byte
	info    string
}

func newWords(m elf.Machine) *words {
	return &words{machine: m, bytes: map[uint64]byte{}, info: "OSRELEASE=6.12\n"}
}

func (w *words) Platform() vmcore.Platform {
	return vmcore.Platform{Machine: w.machine, Order: binary.LittleEndian, Word: 8}
}

func (w *words) VMCoreInfo() (*vmcore.VMCoreInfo, error) {
	return vmcore.ParseVMCoreInfo([]byte(w.info))
}

func (w *words) ReadVirtAt(b []byte, addr uint64) (int, error) {
	for i := range b {
		c, ok := w.bytes[addr+uint64(i)]
		if !ok {
			return i, vmcore.ErrNotInDump
		}
		b[i] = c
	}
	return len(b), nil
}

func (w *words) put(addr uint64, values ...uint64) {
	for i, v := range values {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		w.raw(addr+8*uint64(i), b[:]...)
	}
}

func (w *words) raw(addr uint64, b ...byte) {
	for i, c := range b {
		w.bytes[addr+uint64(i)] = c
	}
}

func (w *words) reader(t testing.TB) *vmcore.Reader {
	t.Helper()
	r, err := vmcore.NewReader(w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// walk makes an unwinder and walks.
func walk(t testing.TB, k *unwind.Kernel, from unwind.Registers) string {
	t.Helper()
	a, err := unwind.ArchOf(k.Memory.Platform())
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.New(k)
	if err != nil {
		t.Fatal(err)
	}
	return written(u.Walk(from))
}

// written is a stack as text: c for a return address, ! for what was interrupted.
func written(s unwind.Stack) string {
	var b strings.Builder
	for _, f := range s.Frames {
		if f.Interrupted {
			b.WriteByte('!')
		}
		if f.Call {
			b.WriteByte('c')
		}
		fmt.Fprintf(&b, "%x ", f.Address)
	}
	return b.String() + s.End
}

// want compares a stack, of whose end only the begin is given.
func want(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: %s; want %s", what, got, want)
	}
}

const text = 0xffffffff81000000

// Numbers of registers in ORC entries, of the old and the new kind.
type numbers struct{ sp, bp, r10, prevSP, spIndirect, bpIndirect byte }

var oldNumbers, newNumbers = numbers{5, 4, 6, 1, 9, 8}, numbers{3, 4, 6, 8, 9, 10}

// orcKernel is an x86_64 kernel: entries are its table, of one function each 0x100 bytes.
func orcKernel(t testing.TB, w *words, signal bool, entries ...[6]byte) *unwind.Kernel {
	const ip, table = text + 0x100000, text + 0x200000
	for i, e := range entries {
		at := ip + 4*uint64(i)
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(text+0x100*uint64(i)-at))
		w.raw(at, b[:]...)
		w.raw(table+6*uint64(i), e[:]...)
	}
	return &unwind.Kernel{Memory: w.reader(t), SignalBit: signal, Votes: []uint64{text},
		Tables:        []unwind.Table{{Text: []unwind.Range{{Start: text, End: text + 0x100*uint64(len(entries))}}, IP: ip, Entries: table, Count: uint64(len(entries))}},
		FunctionStart: func(addr uint64) (uint64, bool) { return addr &^ 0xff, addr >= text }}
}

// orc is an entry; the flags are those of the kind of table.
func orc(sp int, spReg byte, bp int, bpReg, flags byte) (e [6]byte) {
	binary.LittleEndian.PutUint16(e[0:], uint16(sp))
	binary.LittleEndian.PutUint16(e[2:], uint16(bp))
	e[4], e[5] = spReg|bpReg<<4, flags
	return e
}

func TestORC(t *testing.T) {
	for _, c := range []struct {
		name                           string
		signal                         bool
		n                              numbers
		call, regs, partial, end, none byte
	}{
		{"6.1", false, oldNumbers, 0, 1, 2, 4, 0}, {"6.12", true, oldNumbers, 2, 3 | 8, 4 | 8, 1, 0}, {"7.1", true, newNumbers, 2, 3 | 8, 4 | 8, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, n := newWords(elf.EM_X86_64), c.n
			k := orcKernel(t, w, c.signal,
				orc(8, n.sp, 0, 0, c.call),           // 0: a function that begins
				orc(0x20, n.sp, 0, 0, c.call),        // 1: with a frame
				orc(16, n.bp, -16, n.prevSP, c.call), // 2: with a frame pointer
				orc(8, n.spIndirect, 0, 0, c.call),   // 3: on another stack, to which a pointer leads
				orc(0, n.sp, 0, 0, c.regs),           // 4: saved registers
				orc(0, n.sp, 0, 0, c.partial),        // 5: those that the CPU saves
				orc(0, 0, 0, 0, c.end),               // 6: the begin of a stack
				orc(0, 0, 0, 0, c.none),              // 7: nothing is known
				orc(0, n.r10, 0, 0, c.call),          // 8: counted from a register
				orc(-8, n.bpIndirect, 0, 0, c.call),  // 9
				orc(16, n.bp, 0, n.bp, c.call),       // 10
				orc(0x20, n.sp, 0, n.r10, c.call),    // 11: BP of a register that BP isn't counted from
			)
			f := func(i uint64) uint64 { return text + 0x100*i + 0x50 }
			const stack, other = 0xffffc90000001000, 0xffffc90000008000
			regs := func(at, pc, cs, sp, bp uint64) {
				w.put(at, make([]uint64, 21)...)
				w.put(at+128, pc)
				w.put(at+136, cs)
				w.put(at+152, sp)
				w.put(at+32, bp)
			}
			w.put(stack, 1, 2, 3, f(6)) // a frame of 0x20
			want(t, "end", walk(t, k, unwind.Registers{PC: f(1), SP: stack}), fmt.Sprintf("%x c%x end of stack", f(1), f(6)))
			want(t, "called", walk(t, k, unwind.Registers{PC: f(1), SP: stack, Call: true}), fmt.Sprintf("c%x c%x end of stack", f(1), f(6)))

			w.put(stack+0x100, f(4)) // a function that has just begun, called by one that lies under registers
			regs(stack+0x108, f(1), 0x10, other, 0)
			regs(other+0x20-128, 0x401000, 0x33, 0, 0)
			w.put(other, 0, 0, 0, f(5))
			want(t, "registers", walk(t, k, unwind.Registers{PC: f(0) - 0x50, SP: stack + 0x100}), fmt.Sprintf("%x c%x !%x c%x user mode", f(0)-0x50, f(4), f(1), f(5)))

			w.put(stack+0x400, stack+0x500, f(2), 0) // BP leads to BP and to the return address
			w.put(stack+0x500, 0, f(6))
			want(t, "frame pointer", walk(t, k, unwind.Registers{PC: f(2), SP: stack + 0x300, FP: stack + 0x400}), fmt.Sprintf("%x c%x c%x end of stack", f(2), f(2), f(6)))

			w.put(stack+0x600, other+0x800)
			w.put(other+0x800, f(6)) // the pointer, 8 beyond, less 8
			want(t, "other stack", walk(t, k, unwind.Registers{PC: f(3), SP: stack + 0x600}), fmt.Sprintf("%x c%x end of stack", f(3), f(6)))
			want(t, "by BP to another stack", walk(t, k, unwind.Registers{PC: f(9), FP: stack + 0x618}), fmt.Sprintf("%x read stack: ", f(9)))
			w.put(stack+0x610, other+0x808)
			want(t, "by BP to another stack", walk(t, k, unwind.Registers{PC: f(9), FP: stack + 0x618}), fmt.Sprintf("%x c%x end of stack", f(9), f(6)))

			regs(other+0xa00, 0, 0, 0, 0)
			w.put(other+0xa00+56, stack+0x708) // r10
			w.put(stack+0x700, f(6))
			want(t, "register", walk(t, k, unwind.Registers{PC: f(8), Saved: other + 0xa00}), fmt.Sprintf("%x c%x end of stack", f(8), f(6)))
			want(t, "register that is lost", walk(t, k, unwind.Registers{PC: f(8)}), fmt.Sprintf("%x the unwind data for %x count from a register that was not saved", f(8), f(8))[:30])
			want(t, "BP of another register", walk(t, k, unwind.Registers{PC: f(11), SP: stack}), fmt.Sprintf("%x the unwind data for 0x%x count BP from a register", f(11), f(11)))
			want(t, "unknown", walk(t, k, unwind.Registers{PC: f(7), SP: stack, Call: true}), fmt.Sprintf("c%x the unwind data for 0x%x say that nothing is known", f(7), f(7)))

			w.put(stack+0x900, f(1), 0, 0, 0, f(6))
			want(t, "jump to 0", walk(t, k, unwind.Registers{PC: 0, SP: stack + 0x900}), fmt.Sprintf("0 c%x c%x end of stack", f(1), f(6)))
			want(t, "jump to 0 from nowhere", walk(t, k, unwind.Registers{PC: 0, SP: stack}), "0 no unwind data for 0x0")

			// Code without a table keeps a frame pointer: it was called, and calls.
			const program = 0xffffffffc0001000
			w.put(stack+0xa00, 0, 0, 0, program)
			w.put(stack+0xb00, 0, f(6))
			want(t, "program", walk(t, k, unwind.Registers{PC: f(1), SP: stack + 0xa00, FP: stack + 0xb00}), fmt.Sprintf("%x c%x c%x end of stack", f(1), uint64(program), f(6)))
			want(t, "program without frame pointer", walk(t, k, unwind.Registers{PC: f(1), SP: stack + 0xa00, FP: 1}), fmt.Sprintf("%x c%x no unwind data for 0x%x", f(1), uint64(program), uint64(program)))

			w.put(stack+0xc00, f(10), 0)
			got := walk(t, k, unwind.Registers{PC: f(10), FP: stack + 0xbf8})
			want(t, "into itself", got, fmt.Sprintf("%x ", f(10)))
			if strings.Count(got, " ") > 300 {
				t.Errorf("a stack that leads into itself: %s", got)
			}
		})
	}
}

// Registers that were noted in a function without unwind data are those of a call of it: SP is what differs.
func TestUnmarked(t *testing.T) {
	w, n := newWords(elf.EM_X86_64), newNumbers
	k := orcKernel(t, w, true,
		orc(8, n.sp, 0, 0, 2), orc(16, n.bp, -16, n.prevSP, 2), orc(0, 0, 0, 0, 1), orc(0, 0, 0, 0, 0))
	caller, end, hidden := uint64(text+0x150), uint64(text+0x250), uint64(text+0x300)
	w.raw(caller-5, 0xe8, 0, 0, 0, 0)
	var distance [4]byte
	binary.LittleEndian.PutUint32(distance[:], uint32(hidden-caller))
	w.raw(caller-4, distance[:]...)
	w.raw(end-5, 0xe8, 1, 2, 3, 4) // a call of another function
	const stack = 0xffffc90000001000
	w.put(stack, 7, end, caller+1, stack+0x100, 9, caller)
	w.put(stack+0x100, 0, end)
	want(t, "BP was pushed", walk(t, k, unwind.Registers{PC: hidden + 0x10, SP: stack, FP: 5}), fmt.Sprintf("%x c%x c%x end of stack", hidden+0x10, caller, end))
	want(t, "BP is there still", walk(t, k, unwind.Registers{PC: hidden + 0x10, SP: stack + 0x20, FP: stack + 0x100}), fmt.Sprintf("%x c%x c%x end of stack", hidden+0x10, caller, end))
	want(t, "no such call", walk(t, k, unwind.Registers{PC: hidden + 0x10, SP: stack + 0x100}), fmt.Sprintf("%x the unwind data", hidden+0x10))
}

func TestRegisters(t *testing.T) {
	for _, c := range []struct {
		machine      elf.Machine
		pc, sp, mode uint64 // where they are
		kernel, user uint64 // values of mode
	}{
		{elf.EM_X86_64, 128, 152, 136, 0x10, 0x33}, {elf.EM_AARCH64, 256, 248, 264, 5, 0}, {elf.EM_RISCV, 0, 16, 0, text, 0x401000},
	} {
		w := newWords(c.machine)
		w.put(0x1000, make([]uint64, 34)...)
		a, err := unwind.ArchOf(w.Platform())
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []uint64{c.kernel, c.user} {
			w.put(0x1000+c.pc, text)
			w.put(0x1000+c.mode, mode)
			w.put(0x1000+c.sp, 0x77)
			r, err := a.Registers(w.reader(t), 0x1000)
			if err != nil || r.SP != 0x77 || r.Saved != 0x1000 || r.User != (mode == c.user) || r.PC != text && c.mode != c.pc {
				t.Errorf("%v: %+v, %v", c.machine, r, err)
			}
		}
		if _, err := a.Registers(w.reader(t), 0x2000); err == nil {
			t.Errorf("%v: registers that aren't there", c.machine)
		}
	}
	if _, err := unwind.ArchOf(vmcore.Platform{Machine: elf.EM_PPC64, Word: 8}); err == nil {
		t.Error("stacks of ppc64 are walked")
	}
}

func TestNoTables(t *testing.T) {
	w := newWords(elf.EM_X86_64)
	a, err := unwind.ArchOf(w.Platform())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.New(&unwind.Kernel{Memory: w.reader(t)}); err == nil {
		t.Error("no tables")
	}
	k := orcKernel(t, w, true, orc(8, 7, 0, 0, 2))
	if _, err := a.New(k); err == nil || !strings.Contains(err.Error(), "of 1 functions 0 have the old and 0 the new") {
		t.Errorf("numbers that nobody knows: %v", err)
	}
}

// FuzzWalk: whatever is on the stack and in the tables, a walk ends, has its first frame and no more than it may.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint8(0), uint16(0))
	f.Add([]byte{0x50, 1, 0, 0x81, 0xff, 0xff, 0xff, 0xff}, uint8(1), uint16(0x50))
	f.Add([]byte{0x10, 0x10, 0, 0, 0, 0xc9, 0xff, 0xff}, uint8(2), uint16(0x110))
	f.Fuzz(func(t *testing.T, data []byte, which uint8, pc uint16) {
		machine := []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_RISCV}[which%3]
		w := newWords(machine)
		const stack = 0xffffc90000001000
		for i := range uint64(512) {
			if len(data) > 0 {
				w.bytes[stack+i] = data[int(i)%len(data)]
			}
		}
		entries := [][6]byte{orc(8, 3, 0, 0, 2)}
		for ; len(data) >= 6 && len(entries) < 16; data = data[6:] {
			entries = append(entries, [6]byte(data))
		}
		k := orcKernel(t, w, which&4 == 0, entries...)
		k.Text = k.Tables[0].Text
		k.StackFrame, k.Meta = uint64(which)*8, which&8 == 0
		k.Entry = unwind.Range{Start: text + 0x100, End: text + 0x200}
		a, err := unwind.ArchOf(w.Platform())
		if err != nil {
			t.Fatal(err)
		}
		u, err := a.New(k)
		if err != nil {
			t.Fatal(err)
		}
		from := unwind.Registers{PC: text + uint64(pc), SP: stack + uint64(which), FP: stack + 16 + uint64(which)&^7, Saved: stack, Call: which&16 == 0}
		s := u.Walk(from)
		if len(s.Frames) == 0 || len(s.Frames) > 300 || s.Frames[0].Address != from.PC || s.End == "" {
			t.Errorf("Walk = %d frames, %q", len(s.Frames), s.End)
		}
	})
}

func Example() {
	// A riscv64 stack of two frames; a dump has them where the registers of a task point to.
	w := newWords(elf.EM_RISCV)
	const code, stack = 0xffffffff80002000, 0xff20000000001000
	w.put(stack+0x40-16, stack+0x80, code+0x120)
	w.put(stack+0x80-16, 0, 0)
	r, err := vmcore.NewReader(w)
	if err != nil {
		fmt.Println(err)
		return
	}
	arch, err := unwind.ArchOf(r.Platform())
	if err != nil {
		fmt.Println(err)
		return
	}
	u, err := arch.New(&unwind.Kernel{Memory: r, Text: []unwind.Range{{Start: code, End: code + 0x1000}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := u.Walk(unwind.Registers{PC: code + 0x10, FP: stack + 0x40})
	for _, f := range s.Frames {
		fmt.Printf("%#x\n", f.Address)
	}
	fmt.Println(s.End)
	// Output:
	// 0xffffffff80002010
	// 0xffffffff80002120
	// end of stack
}
