package kallsyms_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// madeSymbols has more symbols than two markers, among them aliases, a name of two bytes of length, and, with pcp,
// absolute per-CPU ones.
func madeSymbols(text uint64, pcp bool) []dumptest.TableSymbol {
	var all []dumptest.TableSymbol
	if pcp {
		all = append(all, dumptest.TableSymbol{Name: "__per_cpu_start", Type: 'A'}, dumptest.TableSymbol{Name: "runqueues", Type: 'A', Address: 0x1234c0})
	}
	all = append(all, dumptest.TableSymbol{Name: "_stext", Type: 'T', Address: text})
	for i := range uint64(700) {
		all = append(all, dumptest.TableSymbol{Name: fmt.Sprintf("task_function_%d", i), Type: "tTdDbBrR"[i%8], Address: text + i*i*16})
	}
	all = append(all,
		dumptest.TableSymbol{Name: strings.Repeat("x", 300), Type: 't', Address: text + 700*700*16},
		dumptest.TableSymbol{Name: "alias", Type: 'D', Address: text + 700*700*16},
		dumptest.TableSymbol{Name: "init_task", Type: 'D', Address: text + 0x7000000})
	return all
}

func reader(t testing.TB, m *dumptest.Image) *vmcore.Reader {
	t.Helper()
	r, err := vmcore.NewReader(vmcore.NewCache(m.Memory(), 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTable(t *testing.T) {
	for _, form := range []dumptest.SymbolForm{dumptest.SymbolsFromPlace, dumptest.SymbolsFromBase, dumptest.SymbolsAbsolutePCP} {
		t.Run(fmt.Sprint(form), func(t *testing.T) {
			m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
			want := madeSymbols(m.Virt, form == dumptest.SymbolsAbsolutePCP)
			m.SymbolTable(form, want)
			table, err := kallsyms.Read(reader(t, m), "init_task", "runqueues", "alias", "no_such", "_stext")
			if err != nil {
				t.Fatal(err)
			}
			var got []dumptest.TableSymbol
			if err := table.All(func(s kallsyms.Symbol) bool {
				got = append(got, dumptest.TableSymbol{Name: s.Name, Type: s.Type, Address: s.Address})
				return true
			}); err != nil || !reflect.DeepEqual(got, want) || table.Len() != len(want) {
				t.Fatalf("All() = %v, %d of %d symbols", err, len(got), len(want))
			}
			for _, s := range want {
				if addr, ok := table.Symbol(s.Name); (s.Name == "init_task" || s.Name == "alias" || s.Name == "runqueues" || s.Name == "_stext") != ok || ok && addr != s.Address {
					t.Errorf("Symbol(%q) = %#x, %v", s.Name, addr, ok)
				}
			}
			if _, ok := table.Symbol("no_such"); ok {
				t.Error("a symbol is known that isn't there")
			}
			if addr, n, ok := table.Range("_stext", "init_task"); addr != m.Virt || n != 0x7000000 || !ok {
				t.Errorf("Range = %#x, %#x, %v", addr, n, ok)
			}
			if _, _, ok := table.Range("init_task", "_stext"); ok {
				t.Error("a range goes backwards")
			}
			lookups(t, table, want)
		})
	}
}

// lookups compares Lookup with a search of all symbols.
func lookups(t *testing.T, table *kallsyms.Table, all []dumptest.TableSymbol) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		addr := all[r.IntN(len(all))].Address + r.Uint64N(40)
		want, next := -1, uint64(0)
		for i, s := range all {
			if s.Address <= addr && (want < 0 || s.Address > all[want].Address) {
				want = i
			}
			if s.Address > addr && next == 0 {
				next = s.Address
			}
		}
		size := uint64(0)
		if next > 0 {
			size = next - all[want].Address
		}
		s, n, err := table.Lookup(addr)
		if err != nil || s.Name != all[want].Name || s.Type != all[want].Type || s.Address != all[want].Address || n != size {
			t.Fatalf("Lookup(%#x) = %+v, %d, %v; want %+v, %d", addr, s, n, err, all[want], size)
		}
	}
	if s, _, err := table.Lookup(all[0].Address - 1); all[0].Address > 0 && err == nil {
		t.Errorf("Lookup before the first symbol = %+v", s)
	}
}

func TestTableMissing(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "5.10.0")
	if _, err := kallsyms.Read(reader(t, m)); !errors.Is(err, kallsyms.ErrNoTable) {
		t.Errorf("Read of a kernel that doesn't tell = %v", err)
	}
	m.Symbol("kallsyms_names", m.Virt)
	var missing *vmcore.MissingError
	if _, err := kallsyms.Read(reader(t, m)); !errors.As(err, &missing) {
		t.Errorf("Read of a kernel that tells of the names only = %v", err)
	}
}

func TestTableDamaged(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		symbols    []dumptest.TableSymbol
		damage     func(m *dumptest.Image, symbol func(string) uint64)
	}{
		{"no symbols", "kallsyms_num_syms at", madeSymbols(0xffffffff81000000, false), func(m *dumptest.Image, symbol func(string) uint64) { m.Put(symbol("kallsyms_num_syms"), 4, 0) }},
		{"too many symbols", "1 to 4194304 are expected", madeSymbols(0xffffffff81000000, false), func(m *dumptest.Image, symbol func(string) uint64) { m.Put(symbol("kallsyms_num_syms"), 4, 1<<31) }},
		{"other encoding", "in none of the known encodings", madeSymbols(0xffffffff81000000, false), func(m *dumptest.Image, symbol func(string) uint64) {
			m.Put(symbol("kallsyms_offsets"), 4, 0x55555555)
		}},
		{"names are too long", "tokens, more than", madeSymbols(0xffffffff81000000, false), func(m *dumptest.Image, symbol func(string) uint64) {
			copy(m.Bytes(symbol("kallsyms_names"), 2), "\xff\xff")
		}},
		{"no _stext", "none of the 2 names is _stext", []dumptest.TableSymbol{{Name: "a", Type: 'T', Address: 0xffffffff81000000}, {Name: "b", Type: 'T', Address: 0xffffffff81000000}}, func(*dumptest.Image, func(string) uint64) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
			m.SymbolTable(dumptest.SymbolsFromPlace, tt.symbols)
			if !slices.ContainsFunc(tt.symbols, func(s dumptest.TableSymbol) bool { return s.Name == "_stext" }) {
				m.Symbol("_stext", m.Virt)
			}
			r := reader(t, m)
			tt.damage(m, func(name string) uint64 {
				addr, ok := r.Info.Symbol(name)
				if !ok {
					t.Fatalf("no %s", name)
				}
				return addr
			})
			if _, err := kallsyms.Read(r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read() = %v; want %q", err, tt.want)
			}
		})
	}
}

// A module's function is found by the ELF symbols of its own.
func TestModule(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	text := m.Virt + 0x10000
	symbols := []struct {
		name  string
		shndx uint64
		value uint64
	}{
		{"", 0, 0}, {"printk", 0, text + 0x18}, {"late", 2, text + 0x40}, {"$x", 2, text + 0x11}, {".L5", 2, text + 0x12}, {"early", 2, text + 0x10}, {"data", 3, text + 0x2000}, {"", 2, text + 0x14},
	}
	strtab := []byte{0}
	tab := m.Alloc(24*len(symbols), 8)
	for i, s := range symbols {
		m.Put(tab+24*uint64(i), 4, uint64(len(strtab)))
		m.Put(tab+24*uint64(i)+6, 2, s.shndx)
		m.Put(tab+24*uint64(i)+8, 8, s.value)
		strtab = append(append(strtab, s.name...), 0)
	}
	k := kallsyms.Module{Symbols: tab, Count: uint64(len(symbols)), Strings: m.Store(strtab, 1)}
	for _, tt := range []struct {
		at, size uint64
		name     string
	}{{0x10, 0x30, "early"}, {0x3f, 0x30, "early"}, {0x40, 0xfc0, "late"}, {0xfff, 0xfc0, "late"}, {0xf, 0, ""}} {
		s, size, err := k.Lookup(reader(t, m), text+tt.at, text, text+0x1000)
		if s.Name != tt.name || size != tt.size || (err == nil) != (tt.name != "") {
			t.Errorf("Lookup(text+%#x) = %+v, %#x, %v; want %s, %#x", tt.at, s, size, err, tt.name, tt.size)
		}
	}
	k.Count = 1 << 40
	if _, _, err := k.Lookup(reader(t, m), text, text, text+1); err == nil {
		t.Error("a table of 1<<40 symbols is read")
	}
}

// FuzzRead: whatever is in the tables, reading ends; and what it finds by name it finds by address.
func FuzzRead(f *testing.F) {
	f.Add(uint64(0), []byte{}, uint8(0))
	f.Add(uint64(3), []byte{0xff, 0x83, 1}, uint8(1))
	f.Add(uint64(0x2800), []byte{1, 2, 3, 4}, uint8(2))
	f.Fuzz(func(t *testing.T, at uint64, damage []byte, form uint8) {
		m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
		start := m.Alloc(0, 1)
		m.SymbolTable(dumptest.SymbolForm(form%3), madeSymbols(m.Virt, form%3 == 2))
		end := m.Alloc(0, 1)
		if n := uint64(len(damage)); n > 0 && n < end-start {
			copy(m.Bytes(start+at%(end-start-n), len(damage)), damage)
		}
		table, err := kallsyms.Read(reader(t, m), "init_task", "task_function_600")
		if err != nil {
			return
		}
		sorted, last := true, uint64(0)
		if table.All(func(s kallsyms.Symbol) bool { sorted, last = sorted && s.Address >= last, s.Address; return true }) != nil {
			sorted = false
		}
		for _, name := range []string{"init_task", "task_function_600", "_stext"} {
			addr, ok := table.Symbol(name)
			if !ok {
				continue
			}
			s, size, err := table.Lookup(addr)
			if sorted && (err != nil || s.Address != addr || size > 0 && addr+size < addr) {
				t.Errorf("Lookup(%#x), which is %s, = %+v, %d, %v", addr, name, s, size, err)
			}
		}
	})
}
