package vmlab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

// PhysicalMemory is a guest's RAM as the host sees it, by physical address:
// without the guest's help, and also after the machine has ended. Memory added
// later isn't part of it. On x86 what is between 640 KiB and 1 MiB is RAM that
// the guest doesn't see.
type PhysicalMemory struct {
	file  *os.File
	base  uint64 // physical address of the first byte
	size  uint64 // bytes
	split uint64 // bytes before the hole; the rest is at high
	high  uint64
}

// openPhysicalMemory finds QEMU's memfd (memory-backend-memfd in qemuArgs).
func openPhysicalMemory(pid int, cfg *Config) (*PhysicalMemory, error) {
	spec := machineSpecs[cfg.Kernel.Arch]
	m := &PhysicalMemory{base: spec.ramBase, size: uint64(cfg.Memory) << 20}
	m.split, m.high = m.size, spec.high
	switch {
	case cfg.Kernel.Arch == "amd64":
		m.split, m.high = belowFourGiB(cfg.Machine, m.size), 1<<32
	case spec.low != 0:
		m.split = min(m.size, spec.low)
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(target, "/memfd:memory-backend-memfd") {
			m.file, err = os.OpenFile(link, os.O_RDWR, 0)
			return m, err
		}
	}
	return nil, fmt.Errorf("QEMU (process %d) has no memory-backend-memfd", pid)
}

// each calls do with the file offsets of a piece of physical memory.
func (m *PhysicalMemory) each(b []byte, addr uint64, do func(part []byte, offset int64) (int, error)) (int, error) {
	done := 0
	for done < len(b) {
		at := addr + uint64(done)
		part := b[done:]
		var offset uint64
		switch {
		case at >= m.base && at-m.base < m.split:
			offset = at - m.base
			part = part[:min(uint64(len(part)), m.split-offset)]
		case m.high != 0 && at >= m.high && at-m.high < m.size-m.split:
			offset = m.split + at - m.high
			part = part[:min(uint64(len(part)), m.size-offset)]
		default:
			return done, fmt.Errorf("no RAM at %#x", at)
		}
		n, err := do(part, int64(offset))
		done += n
		if err != nil && !(err == io.EOF && n == len(part)) {
			return done, err
		}
	}
	return done, nil
}

// ReadAt reads len(b) bytes at a physical address.
func (m *PhysicalMemory) ReadAt(b []byte, addr int64) (int, error) {
	return m.each(b, uint64(addr), m.file.ReadAt)
}

// scan calls do with all of it, in pieces of a size that divides its parts.
func (m *PhysicalMemory) scan(piece uint64, do func(b []byte, addr uint64)) error {
	b := make([]byte, piece)
	for _, part := range []struct{ addr, size uint64 }{{m.base, m.split}, {m.high, m.size - m.split}} {
		for at := uint64(0); at < part.size; at += piece {
			n := min(piece, part.size-at)
			if _, err := m.ReadAt(b[:n], int64(part.addr+at)); err != nil {
				return err
			}
			do(b[:n], part.addr+at)
		}
	}
	return nil
}

// WriteAt changes physical memory behind the guest's back. Code that the guest
// has already run isn't translated again.
func (m *PhysicalMemory) WriteAt(b []byte, addr int64) (int, error) {
	return m.each(b, uint64(addr), m.file.WriteAt)
}

// Physical is the guest's RAM.
func (vm *VM) Physical() *PhysicalMemory { return vm.memory }

// GuestMemory reads physical memory as the guest's kernel shows it: by "kcore"
// (/proc/kcore) or "mem" (/dev/mem, where RAM below 1 MiB reads as zeros under
// CONFIG_STRICT_DEVMEM, and other RAM isn't shown).
func (vm *VM) GuestMemory(ctx context.Context, source string, addr, length uint64) ([]byte, error) {
	ctx, cancel := vm.step(ctx)
	defer cancel()
	content, err := vm.channel.callData(ctx, wire.OpMemory, wire.MemoryArgs{Source: source, Addr: addr, Length: length})
	return content, vm.explain("read physical memory", err)
}
