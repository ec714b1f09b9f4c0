package kallsyms

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ErrNoTable reports a kernel of which VMCOREINFO doesn't tell where its symbol table is: before Linux 6.0, or without
// CONFIG_KALLSYMS.
var ErrNoTable = errors.New("VMCOREINFO does not tell where the symbol table is (Linux before 6.0, or without CONFIG_KALLSYMS)")

const (
	maxSymbols = 1 << 22
	// markerStep is how many symbols there are from one marker to the next.
	markerStep = 256
	// maxName bounds a name, in bytes (include/linux/kallsyms.h: KSYM_NAME_LEN is 512).
	maxName = 1024
	// streamSize is how many bytes are read at once.
	streamSize = 32 << 10
)

// Symbol is a symbol of the kernel.
type Symbol struct {
	Name string
	// Type is the letter of nm: T is global text, t text of one file, d and D data, and so on.
	Type    byte
	Address uint64
}

// Table is the symbol table of a kernel. It may be used concurrently if its memory may.
type Table struct {
	mem      *vmcore.Reader
	names    uint64 // addresses of kallsyms_names, kallsyms_offsets
	offsets  uint64
	count    int
	tokens   *tokens
	markers  []uint32 // where in names every 256th symbol begins
	length   uint32   // of names, in bytes
	encoding encoding
	wanted   map[string]uint64 // addresses by name
}

// Read finds the symbol table, goes through it once and remembers the symbols named in wanted. Of several symbols of
// one name it takes the first. The error is ErrNoTable, a *vmcore.MissingError, a *vmcore.ReadError, or says what
// contradicts itself.
func Read(m *vmcore.Reader, wanted ...string) (*Table, error) {
	if _, ok := m.Info.Symbol("kallsyms_names"); !ok {
		return nil, fmt.Errorf("kallsyms: %w", ErrNoTable)
	}
	layout := vmcore.Layout{Info: m.Info}
	num := layout.Symbol("kallsyms_num_syms")
	t := &Table{mem: m, names: layout.Symbol("kallsyms_names"), offsets: layout.Symbol("kallsyms_offsets")}
	tokenTable, tokenIndex, stext := layout.Symbol("kallsyms_token_table"), layout.Symbol("kallsyms_token_index"), layout.Symbol("_stext")
	if layout.Err != nil {
		return nil, fmt.Errorf("kallsyms: %w", layout.Err)
	}
	count, err := m.Uint32(num, "kallsyms_num_syms")
	if err == nil && (count == 0 || count > maxSymbols) {
		err = fmt.Errorf("kallsyms_num_syms at %#x is %d; 1 to %d are expected", num, count, maxSymbols)
	}
	if err == nil {
		t.count = int(count)
		t.tokens, err = readTokens(m, tokenTable, tokenIndex)
	}
	var found map[string]int
	if err == nil {
		found, err = t.pass(wanted)
	}
	if err == nil {
		err = t.decide(found, stext)
	}
	if err == nil {
		err = t.place(found)
	}
	if err != nil {
		return nil, fmt.Errorf("kallsyms: %w", err)
	}
	return t, nil
}

// pass goes through the names and returns the indexes of those that are wanted, -1 where there is none.
func (t *Table) pass(wanted []string) (map[string]int, error) {
	found := make(map[string]int, len(wanted)+1)
	var lengths [maxName + 2]bool
	for _, name := range append([]string{"_stext"}, wanted...) {
		if len(name) <= maxName {
			lengths[len(name)] = true
			found[name] = -1
		}
	}
	t.markers = make([]uint32, 0, (t.count+markerStep-1)/markerStep)
	n := t.reader(0, streamSize)
	for i := range t.count {
		if i%markerStep == 0 {
			t.markers = append(t.markers, n.offset)
		}
		name, err := n.next()
		if err != nil {
			return nil, fmt.Errorf("name %d of %d: %w", i, t.count, err)
		}
		if len(name) == 0 || !lengths[len(name)-1] {
			continue
		}
		if at, ok := found[string(name[1:])]; ok && at < 0 {
			found[string(name[1:])] = i
		}
	}
	t.length = n.offset
	return found, nil
}

// place gives the symbols that were found their addresses.
func (t *Table) place(found map[string]int) error {
	t.wanted = make(map[string]uint64, len(found))
	for name, i := range found {
		if i < 0 {
			continue
		}
		addr, err := t.address(i)
		if err != nil {
			return err
		}
		t.wanted[name] = addr
	}
	return nil
}

// Len is the number of symbols.
func (t *Table) Len() int { return t.count }

// Symbol returns one of those named when the table was read; ok is false if the kernel has none of that name. With
// CONFIG_KALLSYMS_ALL unset it has functions only. The address of a per-CPU variable is what has to be added to
// __per_cpu_offset of a CPU.
func (t *Table) Symbol(name string) (addr uint64, ok bool) {
	addr, ok = t.wanted[name]
	return addr, ok
}

// Range returns the number of bytes from one of the symbols named to the other, and its address; ok is false if one of
// them isn't known, or if they are not in that order.
func (t *Table) Range(first, last string) (addr, size uint64, ok bool) {
	a, ok1 := t.Symbol(first)
	b, ok2 := t.Symbol(last)
	return a, b - a, ok1 && ok2 && a <= b
}

// All calls each with every symbol in the order of the table, which is that of their addresses, until it returns
// false.
func (t *Table) All(each func(Symbol) bool) error {
	n := t.reader(0, streamSize)
	offsets := bufio.NewReaderSize(t.mem.Section(t.offsets, 4*uint64(t.count), "kallsyms_offsets"), streamSize)
	var b [4]byte
	for i := range t.count {
		name, err := n.next()
		if err == nil {
			_, err = io.ReadFull(offsets, b[:])
		}
		if err != nil {
			return fmt.Errorf("kallsyms: symbol %d of %d: %w", i, t.count, err)
		}
		if len(name) == 0 {
			continue
		}
		if !each(Symbol{string(name[1:]), name[0], t.encoding.address(t.offsets, i, t.mem.Order.Uint32(b[:]))}) {
			return nil
		}
	}
	return nil
}
