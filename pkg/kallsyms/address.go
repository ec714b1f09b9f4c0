package kallsyms

import (
	"fmt"
	"sort"
)

// encoding is how kallsyms_offsets, 32 bits for each symbol, gives an address.
type encoding struct {
	form form
	base uint64 // kallsyms_relative_base
}

type form uint8

// The forms of the kernel (kernel/kallsyms.c, kallsyms_sym_address, of different versions).
const (
	fromPlace    form = iota + 1 // an offset from where it is itself; since 6.19
	fromBase                     // from a base, unsigned; where there are no absolute per-CPU symbols
	absolutePCPU                 // the address itself, or, negative, from a base (x86 until 6.18)
	forms
)

// address is the address that entry i of the table at offsets stands for.
func (e encoding) address(offsets uint64, i int, entry uint32) uint64 {
	switch {
	case e.form == fromPlace:
		return offsets + 4*uint64(i) + uint64(int64(int32(entry)))
	case e.form == fromBase:
		return e.base + uint64(entry)
	case int32(entry) >= 0:
		return uint64(entry)
	}
	return e.base - 1 - uint64(int64(int32(entry)))
}

// decide finds the form by which _stext has the address that VMCOREINFO gives.
func (t *Table) decide(found map[string]int, stext uint64) error {
	i := found["_stext"]
	if i < 0 {
		return fmt.Errorf("none of the %d names is _stext", t.count)
	}
	var base uint64
	if at, ok := t.mem.Info.Symbol("kallsyms_relative_base"); ok {
		var err error
		if base, err = t.mem.Ulong(at, "kallsyms_relative_base"); err != nil {
			return err
		}
	}
	for f := fromPlace; f < forms; f++ {
		t.encoding = encoding{f, base}
		addr, err := t.address(i)
		if err != nil {
			return err
		}
		if addr == stext {
			return nil
		}
	}
	return fmt.Errorf("in none of the known encodings of addresses has _stext, symbol %d, the address %#x", i, stext)
}

// address returns the address of a symbol by its index.
func (t *Table) address(i int) (uint64, error) {
	entry, err := t.mem.Uint32(t.offsets+4*uint64(i), "kallsyms_offsets")
	return t.encoding.address(t.offsets, i, entry), err
}

// Lookup returns the symbol that an address lies in, and how many bytes it has: up to the next one with another
// address. The name is the kernel's own choice: of symbols with the same address the first. The error says that no
// symbol begins at or before the address, or what can't be read.
func (t *Table) Lookup(addr uint64) (s Symbol, size uint64, err error) {
	after := t.search(func(a uint64) bool { return a > addr }, &err)
	if err != nil {
		return s, 0, fmt.Errorf("kallsyms: %w", err)
	}
	if after == 0 {
		return s, 0, fmt.Errorf("kallsyms: no symbol begins at or before %#x", addr)
	}
	start, err := t.address(after - 1)
	first := after - 1
	if err == nil {
		first = t.search(func(a uint64) bool { return a >= start }, &err)
	}
	if err == nil {
		s, err = t.name(min(first, after-1))
		s.Address = start
	}
	if err == nil && after < t.count {
		var next uint64
		if next, err = t.address(after); next > start {
			size = next - start
		}
	}
	if err != nil {
		return Symbol{}, 0, fmt.Errorf("kallsyms: %w", err)
	}
	return s, size, nil
}

// search returns the index of the first symbol of which is says so.
func (t *Table) search(is func(addr uint64) bool, err *error) int {
	return sort.Search(t.count, func(i int) bool {
		if *err != nil {
			return true
		}
		var a uint64
		a, *err = t.address(i)
		return is(a)
	})
}
