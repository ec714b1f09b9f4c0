package unwind

import (
	"errors"
	"fmt"
	"sort"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Table is an ORC table of the kernel or a module (arch/x86/kernel/unwind_orc.c): of Count instructions, at IP the
// distance from each place there to the instruction, 32 bits, ascending, and at Entries a struct orc_entry, 6 bytes.
// Text is the code that it is for.
type Table struct {
	Text        []Range
	IP, Entries uint64
	Count       uint64
}

// maxEntries bounds a table.
const maxEntries = 1 << 24

// register is what an ORC entry counts from.
type register uint8

const (
	undefined register = iota
	prevSP
	dx
	di
	bp
	sp
	r10
	r13
	bpIndirect
	spIndirect
	ax
)

// The numbers of registers (arch/x86/include/asm/orc_types.h). Between Linux 6.12 and 7.0 they were changed, and the
// structure was not.
var (
	oldNumbers = [16]register{0: undefined, 1: prevSP, 2: dx, 3: di, 4: bp, 5: sp, 6: r10, 7: r13, 8: bpIndirect, 9: spIndirect}
	newNumbers = [16]register{0: undefined, 1: ax, 2: dx, 3: sp, 4: bp, 5: di, 6: r10, 7: r13, 8: prevSP, 9: spIndirect, 10: bpIndirect}
)

// frameType is what an entry says of the frame.
type frameType uint8

const (
	frameUndefined frameType = iota
	frameEnd
	frameCall
	frameRegs
	framePartial
)

// entry is a struct orc_entry.
type entry struct {
	spOffset, bpOffset int64
	spReg, bpReg       register
	kind               frameType
	signal             bool
}

var errNoEntry = errors.New("no unwind table has it")

// orc walks stacks by ORC tables.
type orc struct {
	*Kernel
	numbers *[16]register
}

func newORC(k *Kernel) (Unwinder, error) {
	o := &orc{Kernel: k}
	if len(k.Tables) == 0 {
		return nil, errors.New("the kernel has no ORC tables (CONFIG_UNWINDER_ORC)")
	}
	// Where a function in C begins only the return address is on the stack: the entry counts 8 bytes from SP.
	old, changed := 0, 0
	for _, addr := range k.Votes {
		raw, err := o.raw(addr)
		if err != nil || raw[0] != 8 || raw[1] != 0 {
			continue
		}
		switch raw[4] & 0xf {
		case 5:
			old++
		case 3:
			changed++
		}
	}
	switch {
	case old > changed:
		o.numbers = &oldNumbers
	case changed > old:
		o.numbers = &newNumbers
	default:
		return nil, fmt.Errorf("the numbers of registers in the ORC tables can't be told: of %d functions %d have the old and %d the new ones", len(k.Votes), old, changed)
	}
	return o, nil
}

// table returns the table for the code at an address, nil if there is none.
func (o *orc) table(addr uint64) *Table {
	for i := range o.Tables {
		if has(o.Tables[i].Text, addr) {
			return &o.Tables[i]
		}
	}
	return nil
}

// raw finds the entry of an instruction.
func (o *orc) raw(addr uint64) (b [6]byte, err error) {
	t := o.table(addr)
	if t == nil {
		return b, errNoEntry
	}
	return t.find(o.Memory, addr)
}

// find is the entry of the last instruction at or before an address.
func (t *Table) find(m *vmcore.Reader, addr uint64) (b [6]byte, err error) {
	if t.Count > maxEntries {
		return b, fmt.Errorf("an ORC table has %d entries, more than %d", t.Count, maxEntries)
	}
	n := sort.Search(int(t.Count), func(i int) bool {
		if err != nil {
			return true
		}
		at := t.IP + 4*uint64(i)
		var distance uint32
		distance, err = m.Uint32(at, "ORC table")
		return at+uint64(int64(int32(distance))) > addr
	})
	if err == nil && n == 0 {
		err = errNoEntry
	}
	if err == nil {
		err = m.Bytes(b[:], t.Entries+6*uint64(n-1), "ORC table")
	}
	return b, err
}

// find returns the entry of an instruction.
func (o *orc) find(addr uint64) (entry, error) {
	b, err := o.raw(addr)
	if err != nil {
		return entry{}, err
	}
	order := o.Memory.Order
	e := entry{spOffset: int64(int16(order.Uint16(b[0:]))), bpOffset: int64(int16(order.Uint16(b[2:]))), spReg: o.numbers[b[4]&0xf], bpReg: o.numbers[b[4]>>4]}
	if o.SignalBit {
		e.kind, e.signal = frameUndefined, b[5]>>3&1 != 0
		if k := frameType(b[5] & 7); k <= framePartial {
			e.kind = k
		}
		return e, nil
	}
	// Until Linux 6.3: two bits of type, and one for the end of the stack.
	switch {
	case e.spReg == undefined && b[5]>>2&1 != 0:
		e.kind = frameEnd
	case e.spReg == undefined:
		e.kind = frameUndefined
	default:
		e.kind = frameCall + frameType(b[5]&3)
		if e.kind > framePartial {
			e.kind = frameUndefined
		}
		e.signal = e.kind != frameCall
	}
	return e, nil
}
