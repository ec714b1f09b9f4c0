package dumptest

import (
	"cmp"
	"slices"
	"strings"
)

// TableSymbol is a symbol of a kernel's own symbol table.
type TableSymbol struct {
	Name    string
	Type    byte // as nm prints it
	Address uint64
}

// SymbolForm is how the table gives addresses (scripts/kallsyms.c of different versions).
type SymbolForm int

// The forms.
const (
	SymbolsFromPlace   SymbolForm = iota // since Linux 6.19
	SymbolsFromBase                      // arm64 and others, before
	SymbolsAbsolutePCP                   // x86, before: absolute per-CPU symbols
)

// symbolTokens are the tokens of more than one character, from 0x80 on.
var symbolTokens = []string{"__", "_start", "_stop", "task", "str", "Tmod", "Tsy", "in", "er", "on"}

// SymbolTable stores a symbol table and exports where it is. The symbols are sorted; one has to be _stext.
func (m *Image) SymbolTable(form SymbolForm, symbols []TableSymbol) {
	symbols = slices.Clone(symbols)
	slices.SortStableFunc(symbols, func(a, b TableSymbol) int { return cmp.Compare(a.Address, b.Address) })
	var names []byte
	for _, s := range symbols {
		names = append(names, packSymbol(string(s.Type)+s.Name)...)
	}
	m.Symbol("kallsyms_names", m.Store(names, 8))
	num := m.Alloc(4, 4)
	m.Put(num, 4, uint64(len(symbols)))
	m.Symbol("kallsyms_num_syms", num)

	var table []byte
	index := make([]byte, 512)
	for i := range 256 {
		m.Order.PutUint16(index[2*i:], uint16(len(table)))
		token := string(rune(i))
		if i >= 0x80 {
			token = ""
		}
		if n := i - 0x80; n >= 0 && n < len(symbolTokens) {
			token = symbolTokens[n]
		}
		table = append(append(table, token...), 0)
	}
	m.Symbol("kallsyms_token_table", m.Store(table, 8))
	m.Symbol("kallsyms_token_index", m.Store(index, 8))
	m.symbolOffsets(form, symbols)
}

// symbolOffsets stores kallsyms_offsets.
func (m *Image) symbolOffsets(form SymbolForm, symbols []TableSymbol) {
	base := m.Virt
	if form != SymbolsFromPlace {
		m.Var("kallsyms_relative_base", m.Word, base)
	}
	offsets := m.Alloc(4*len(symbols), 4)
	m.Symbol("kallsyms_offsets", offsets)
	for i, s := range symbols {
		at := offsets + 4*uint64(i)
		v := s.Address - base
		switch {
		case form == SymbolsFromPlace:
			v = s.Address - at
		case form == SymbolsAbsolutePCP && s.Address < 1<<31:
			v = s.Address
		case form == SymbolsAbsolutePCP:
			v = base - 1 - s.Address
		}
		m.Put(at, 4, v)
		if s.Name == "_stext" {
			m.Symbol("_stext", s.Address)
		}
	}
}

// packSymbol writes a name with tokens, and how many they are before.
func packSymbol(name string) []byte {
	var out []byte
	for len(name) > 0 {
		c, n := name[0], 1
		for i, token := range symbolTokens {
			if strings.HasPrefix(name, token) && len(token) > n {
				c, n = byte(0x80+i), len(token)
			}
		}
		out, name = append(out, c), name[n:]
	}
	if n := len(out); n >= 0x80 {
		return append([]byte{byte(n) | 0x80, byte(n >> 7)}, out...)
	}
	return append([]byte{byte(len(out))}, out...)
}
