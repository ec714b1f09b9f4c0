package kallsyms

import (
	"bufio"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// elfSymbol is the size of Elf64_Sym in bytes.
const elfSymbol = 24

// maxModuleSymbols bounds the table of a module.
const maxModuleSymbols = 1 << 18

// Module is where a module's symbols are: struct mod_kallsyms (include/linux/module.h) of 64-bit kernels. A module
// that is being loaded still has those of its init section.
type Module struct {
	Symbols uint64 // symtab: address of Elf64_Syms
	Count   uint64 // num_symtab
	Strings uint64 // strtab
}

// Lookup returns the symbol that addr lies in, of those from first to before end, which is a section of the module, and
// how many bytes it has: up to the next or the section's end (kernel/module/kallsyms.c, find_kallsyms_symbol). The
// error says that there is none, or what can't be read.
func (k Module) Lookup(m *vmcore.Reader, addr, first, end uint64) (s Symbol, size uint64, err error) {
	if k.Count > maxModuleSymbols {
		return s, 0, fmt.Errorf("kallsyms: a module has %d symbols, more than %d", k.Count, maxModuleSymbols)
	}
	in := bufio.NewReaderSize(m.Section(k.Symbols, k.Count*elfSymbol, "module symbols"), 4096)
	next := end
	var b [elfSymbol]byte
	for range k.Count {
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return s, 0, fmt.Errorf("kallsyms: %w", err)
		}
		value := m.Order.Uint64(b[8:])
		if m.Order.Uint16(b[6:]) == 0 || value < first || value >= end { // SHN_UNDEF
			continue
		}
		if value > addr {
			if value < next && k.named(m, b[:]) != "" {
				next = value
			}
			continue
		}
		if s.Name != "" && value <= s.Address {
			continue
		}
		if name := k.named(m, b[:]); name != "" {
			s = Symbol{Name: name, Type: 't', Address: value}
		}
	}
	if s.Name == "" {
		return s, 0, fmt.Errorf("kallsyms: the module has no symbol at or before %#x", addr)
	}
	return s, next - s.Address, nil
}

// named returns the name of an Elf64_Sym; "" if it has none, can't be read, or names no function or variable
// (include/linux/module_symbol.h, is_mapping_symbol).
func (k Module) named(m *vmcore.Reader, sym []byte) string {
	var b [128]byte
	n, _ := m.ReadVirtAt(b[:], k.Strings+uint64(m.Order.Uint32(sym)))
	name := vmcore.CString(b[:n])
	if len(name) > 1 && (name[0] == '.' && name[1] == 'L' || name[0] == 'L' && name[1] == '0' || name[0] == '$') {
		return ""
	}
	return name
}
