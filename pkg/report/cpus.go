package report

import (
	"debug/elf"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/unwind"
)

// maxCPUs bounds the CPUs of a machine (CONFIG_NR_CPUS is 8192 at most).
const maxCPUs = 8192

// cpu is a possible CPU.
type cpu struct {
	number int
	offset uint64 // of its per-CPU variables
	online bool
}

// findCPUs finds the possible CPUs.
func (m *maker) findCPUs() error {
	count, ok := m.number("nr_cpu_ids", 4)
	if !ok || count == 0 || count > maxCPUs {
		count = maxCPUs
	}
	offsets, err := m.symbol("__per_cpu_offset")
	if err != nil {
		if m.symbols == nil {
			return err
		}
		m.possible = []cpu{{online: true}} // a kernel for one CPU
		return nil
	}
	possible, err := m.mask("__cpu_possible_mask", count)
	if err != nil {
		return err
	}
	online, err := m.mask("__cpu_online_mask", count)
	if err != nil {
		online = possible
	}
	for n := range int(count) {
		if !possible(n) {
			continue
		}
		offset, err := m.mem.Ulong(offsets+8*uint64(n), "__per_cpu_offset")
		if err != nil {
			return err
		}
		m.possible = append(m.possible, cpu{n, offset, online(n)})
	}
	return nil
}

// mask reads a struct cpumask.
func (m *maker) mask(symbol string, count uint64) (func(n int) bool, error) {
	addr, err := m.symbol(symbol)
	if err != nil {
		return nil, err
	}
	words := make([]uint64, (count+63)/64)
	for i := range words {
		if words[i], err = m.mem.Ulong(addr+8*uint64(i), symbol); err != nil {
			// A kernel for fewer CPUs has fewer words.
			if i == 0 {
				return nil, err
			}
			break
		}
	}
	return func(n int) bool { return words[n/64]>>(n%64)&1 != 0 }, nil
}

// cpus fills in the CPUs, and what they did.
func (m *maker) cpus() error {
	if err := m.findCPUs(); err != nil {
		return err
	}
	m.crashed = m.panicked()
	notes, notesErr := m.symbol("crash_notes")
	if notesErr == nil {
		notes, notesErr = m.mem.Ulong(notes, "crash_notes")
	}
	var first error
	for i := range m.possible {
		c := &m.possible[i]
		regs, err := uint64(0), notesErr
		if err == nil {
			regs, err = m.crashNote(notes + c.offset)
		}
		// A panic may take CPUs offline.
		c.online = c.online || err == nil && regs != 0 || c.number == m.crashed
		if !c.online {
			continue
		}
		m.report.Kernel.CPUs++
		out := CPU{Number: c.number}
		task, err2 := m.running(c)
		if err2 == nil {
			out.Task, out.Idle = task, task.PID == 0
		} else if first == nil {
			first = fmt.Errorf("CPU %d: %w", c.number, err2)
		}
		out.Stack = m.cpuStack(regs, err)
		if c.number == m.crashed {
			m.report.Crashed = &out
			continue
		}
		m.report.Others = append(m.report.Others, out)
	}
	if m.report.Crashed == nil && first == nil {
		first = errors.New("which CPU panicked is not known: panic_cpu is that of none")
	}
	return first
}

// cpuStack walks from the registers that a CPU left; err says why they can't be read.
func (m *maker) cpuStack(regs uint64, err error) *Stack {
	switch {
	case err != nil:
		return &Stack{End: err.Error()}
	case regs == 0:
		return &Stack{End: "the CPU left no registers"}
	case m.stacks.err != nil:
		return &Stack{End: m.stacks.err.Error()}
	}
	from, err := m.stacks.arch.Registers(m.mem, regs)
	if err != nil {
		return &Stack{End: err.Error()}
	}
	if from.User {
		return &Stack{End: unwind.UserMode}
	}
	return m.stacks.walk(from)
}

// Offsets into the ELF note of a CPU: struct elf_note, its name, and in struct elf_prstatus of 64-bit machines the
// registers (include/linux/elfcore.h).
const (
	noteHeader = 12 + 8
	noteRegs   = 112
)

// crashNote returns where the registers are that a CPU left when it was stopped, 0 if it left none. The notes of a dump
// are in another order, and those of such CPUs are not in it.
func (m *maker) crashNote(addr uint64) (uint64, error) {
	var b [noteHeader]byte
	if err := m.mem.Bytes(b[:], addr, "crash_notes"); err != nil {
		return 0, err
	}
	if m.mem.Order.Uint32(b[0:]) != 5 || m.mem.Order.Uint32(b[8:]) != uint32(elf.NT_PRSTATUS) || string(b[12:16]) != "CORE" {
		return 0, nil
	}
	return addr + noteHeader + noteRegs, nil
}

// panicked returns the CPU that panicked, -1 if it isn't known.
func (m *maker) panicked() int {
	for _, name := range []string{"panic_cpu", "crashing_cpu"} {
		if n, ok := m.number(name, 4); ok && n < maxCPUs {
			return int(n)
		}
	}
	return m.findings.cpu()
}

// running returns the task that a CPU ran.
func (m *maker) running(c *cpu) (*Task, error) {
	rq, err := m.object("runqueues", "rq")
	if err != nil {
		return nil, err
	}
	rq.Address += c.offset
	if clock, err := rq.Uint("clock"); err == nil && clock < 1<<62 {
		m.report.Kernel.Uptime = max(m.report.Kernel.Uptime, time.Duration(clock))
	}
	curr, err := rq.Follow("curr")
	if err != nil {
		return nil, err
	}
	return m.task(curr)
}

// cpuOf returns a CPU by its number.
func (m *maker) cpuOf(n int) *CPU {
	if c := m.report.Crashed; c != nil && c.Number == n {
		return c
	}
	for i := range m.report.Others {
		if m.report.Others[i].Number == n {
			return &m.report.Others[i]
		}
	}
	return nil
}
