package vmcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// pageTables are the page tables of a crashed kernel. Level 0 is the last one, whose entries
// map pages.
type pageTables struct {
	symbols []string // of the top table, by kernel version
	root    uint64   // physical address of the top table

	page   uint // log2 of the page size in bytes
	index  uint // index bits of a level
	first  uint // those of level 0 where it has others; 0: it has not
	levels int
	bits   uint // of a virtual address that are translated; the top level may have fewer than index

	// signed says that the bits above repeat the highest one that is translated; otherwise
	// they are above, all ones in the kernel's half of arm64.
	signed bool
	above  uint64

	// decode splits an entry of a level: the physical address, and log2 of the bytes that it
	// maps, or 0 for one that leads to another table.
	decode func(entry uint64, level int) (phys uint64, size uint, ok bool)

	order binary.ByteOrder // of the entries; nil: the machine's

	// settle, if not nil, learns from the first entry of the top table how many levels there are.
	settle func(entry uint64) bool
}

// rootEntries is the number of entries of the top table.
func (t *pageTables) rootEntries() uint64 { return 1 << (t.bits - t.shift(t.levels-1)) }

// shift is log2 of the bytes that an entry of a level covers.
func (t *pageTables) shift(level int) uint {
	if level > 0 && t.first != 0 {
		return t.page + t.first + t.index*uint(level-1)
	}
	return t.page + t.index*uint(level)
}

// width is the index bits of a level.
func (t *pageTables) width(level int) uint {
	switch {
	case level == t.levels-1:
		return t.bits - t.shift(level)
	case level == 0 && t.first != 0:
		return t.first
	}
	return t.index
}

// canonical reports whether the machine has the address.
func (t *pageTables) canonical(addr uint64) bool {
	if t.signed {
		top := int64(addr) >> (t.bits - 1) // 0 or all ones
		return top == 0 || top == -1
	}
	return addr>>t.bits == t.above
}

// walk returns the physical address and how many bytes its page still has; with an error, for how
// many bytes that holds, 0 if the address isn't canonical.
func (t *pageTables) walk(tables *tableCache, addr uint64) (memmap.PhysAddr, uint64, error) {
	return t.visit(tables, addr, nil)
}

// visit is walk, and calls each with the physical address of each table.
func (t *pageTables) visit(tables *tableCache, addr uint64, each func(table uint64)) (memmap.PhysAddr, uint64, error) {
	if !t.canonical(addr) {
		return 0, 0, fmt.Errorf("not a canonical address: %w", ErrNotInDump)
	}
	table := t.root
	for level := t.levels - 1; level >= 0; level-- {
		if each != nil {
			each(table)
		}
		index := addr >> t.shift(level) & (1<<t.width(level) - 1)
		rest := uint64(1)<<t.shift(level) - addr&(1<<t.shift(level)-1)
		e, err := tables.entry(table + 8*index)
		if err != nil {
			return 0, rest, fmt.Errorf("page table of level %d at %#x: %w", level+1, table, errors.Join(ErrNotInDump, err))
		}
		phys, size, ok := t.decode(e, level)
		if !ok {
			return 0, rest, fmt.Errorf("not mapped by the page table of level %d at %#x: %w", level+1, table, ErrNotInDump)
		}
		if size > 0 {
			mask := uint64(1)<<size - 1
			return memmap.PhysAddr(phys&^mask | addr&mask), mask + 1 - addr&mask, nil
		}
		table = phys
	}
	return 0, 0, ErrNotInDump // not reached: level 0 has no tables below
}

// Bounds of the cache of page tables.
const (
	cacheLine  = 4096 // bytes
	cacheLines = 64
)

// tableCache keeps the parts of page tables that were read last.
type tableCache struct {
	mem   PhysReader
	order binary.ByteOrder

	mu    sync.Mutex
	lines map[uint64]*[cacheLine]byte // by physical address
	ring  [cacheLines]uint64          // their addresses, in the order of reading
	next  int                         // of ring: the one to be replaced
}

// entry returns the 8 bytes at a physical address.
func (c *tableCache) entry(addr uint64) (uint64, error) {
	base, off := addr&^(cacheLine-1), addr&(cacheLine-1)
	c.mu.Lock()
	defer c.mu.Unlock()
	line, ok := c.lines[base]
	if !ok {
		var b [cacheLine]byte
		if _, err := c.mem.ReadPhysAt(b[:], memmap.PhysAddr(base)); err != nil {
			// A part of the table may be there.
			if _, err := c.mem.ReadPhysAt(b[off:off+8], memmap.PhysAddr(addr)); err != nil {
				return 0, err
			}
			return c.order.Uint64(b[off:]), nil
		}
		if c.lines == nil {
			c.lines = make(map[uint64]*[cacheLine]byte, cacheLines)
		}
		if len(c.lines) == cacheLines {
			delete(c.lines, c.ring[c.next])
		}
		c.ring[c.next], line = base, &b
		c.next = (c.next + 1) % cacheLines
		c.lines[base] = line
	}
	return c.order.Uint64(line[off:]), nil
}
