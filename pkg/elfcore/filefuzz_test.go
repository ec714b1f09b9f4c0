package elfcore_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// FuzzNew opens arbitrary bytes. What is accepted agrees with debug/elf where that accepts it,
// its notes lie within the file, and reading anywhere ends in data or one of the known errors.
func FuzzNew(f *testing.F) {
	for _, fm := range formats {
		for _, extended := range []bool{false, true} {
			c := fm.core
			c.Extended = extended
			c.Notes = []dumptest.Note{note("CORE", 1, "status"), note("VMCOREINFO", 0, "OSRELEASE=6.12\nNUMBER(phys_base)=0\nSYMBOL(init_top_pgt)=ffffffff80001000\n")}
			c.Loads = []dumptest.Load{{Phys: 0x1000, Virt: 0xc0001000, Data: pattern(0x1000, 100), MemSize: 0x5000}, {Phys: 0x1010, Data: pattern(0x1010, 20)}}
			f.Add(c.Bytes(), uint64(0x1000))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		file, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for i := range file.Notes {
			n := &file.Notes[i]
			if got, err := io.ReadAll(file.NoteData(n)); int64(len(got)) != n.Size() && file.Damage == nil || n.Desc != nil && !bytes.Equal(got, n.Desc) {
				t.Errorf("Notes[%d] has %d bytes, NoteData gives %d, %v", i, n.Size(), len(got), err)
			}
		}
		addrs := []uint64{addr, 0, 0xffffffff80000000, ^uint64(0) - 3}
		for _, l := range file.Loads {
			addrs = append(addrs, uint64(l.Phys), l.Virt, uint64(l.Phys)+l.MemSize-2, l.Virt+l.FileSize-2)
		}
		for _, a := range addrs[:min(len(addrs), 100)] {
			for _, read := range []func([]byte) (int, error){
				func(b []byte) (int, error) { return file.ReadPhysAt(b, memmap.PhysAddr(a)) },
				func(b []byte) (int, error) { return file.ReadVirtAt(b, a) },
			} {
				n, err := read(make([]byte, 64))
				if n < 0 || n > 64 || (n == 64) != (err == nil) ||
					err != nil && !errors.Is(err, vmcore.ErrNotInDump) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("read at %#x = %d, %v", a, n, err)
				}
			}
		}
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil || b[56] == 0xff && b[57] == 0xff || b[44] == 0xff && b[45] == 0xff {
			return // debug/elf doesn't know PN_XNUM
		}
		loads := file.Loads
		for _, p := range e.Progs {
			if p.Type != elf.PT_LOAD {
				continue
			}
			want := elfcore.Load{Phys: memmap.PhysAddr(p.Paddr), Virt: p.Vaddr, Offset: p.Off, FileSize: p.Filesz, MemSize: p.Memsz, Flags: p.Flags}
			if len(loads) == 0 || loads[0] != want {
				t.Fatalf("Loads lack %+v", want)
			}
			loads = loads[1:]
		}
		if len(loads) != 0 {
			t.Errorf("%d Loads that debug/elf doesn't have", len(loads))
		}
	})
}

// FuzzRead compares the lookup with a byte by byte one, for any arrangement of segments: data if
// any segment has it, else zero if any segment covers it, else not in the dump.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0, 16, 0, 32, 8, 8, 10, 30, 2}, uint8(5), uint8(60), uint8(0))
	f.Add([]byte{200, 100, 1, 250, 10, 20, 0, 255, 255}, uint8(180), uint8(80), uint8(9))
	f.Fuzz(func(t *testing.T, script []byte, start, size, cut uint8) {
		c := formats[int(cut)%4].core
		const base = 0xfffff000
		for len(script) >= 3 && len(c.Loads) < 50 {
			a, n := base+uint64(script[0]), int(script[1])
			c.Loads = append(c.Loads, dumptest.Load{Phys: a, Virt: a, Data: pattern(a, n), MemSize: uint64(n) + uint64(script[2])})
			script = script[3:]
		}
		file := newFile(t, c.Bytes())
		var want []byte
		for i := range uint64(size) {
			a := base + uint64(start) + i
			data, covered := false, false
			for _, l := range c.Loads {
				data = data || a >= l.Phys && a-l.Phys < uint64(len(l.Data))
				covered = covered || a >= l.Phys && a-l.Phys < l.MemSize
			}
			if data {
				want = append(want, pattern(a, 1)...)
			} else if covered {
				want = append(want, 0)
			} else {
				break
			}
		}
		b := make([]byte, size)
		n, err := file.ReadPhysAt(b, base+memmap.PhysAddr(start))
		if !bytes.Equal(b[:n], want) || (err == nil) != (n == int(size)) {
			t.Errorf("ReadPhysAt(%d bytes, +%d) = %x, %v; want %x", size, start, b[:n], err, want)
		}
		n, err = file.ReadVirtAt(b, base+uint64(start))
		if !bytes.Equal(b[:n], want) || (err == nil) != (n == int(size)) {
			t.Errorf("ReadVirtAt(%d bytes, +%d) = %x, %v; want %x", size, start, b[:n], err, want)
		}
	})
}

// FuzzNotes reads back notes of any names and sizes, and as many as there are before garbage.
func FuzzNotes(f *testing.F) {
	f.Add("CORE", "status", "VMCOREINFO", "OSRELEASE=1\n", uint32(1), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
	f.Fuzz(func(t *testing.T, name1, desc1, name2, desc2 string, typ uint32, garbage []byte) {
		name1, name2 = name1[:min(len(name1), 200)], name2[:min(len(name2), 200)]
		for _, fm := range formats {
			c := fm.core
			c.Notes = []dumptest.Note{note(name1, typ, desc1), note(name2, ^typ, desc2)}
			n := len(dumptest.AppendNotes(nil, c.Order, c.Notes...))
			c.Notes = append(c.Notes, dumptest.Note{Name: "garbage", Desc: garbage})
			b := c.Bytes()
			at := len(b) - len(dumptest.AppendNotes(nil, c.Order, c.Notes...))
			copy(b[at+n:], garbage)
			file := newFile(t, b)
			if len(file.Notes) < 2 {
				t.Fatalf("%s: %d Notes; want at least 2 (%v)", fm.name, len(file.Notes), file.Damage)
			}
			for i, w := range c.Notes[:2] {
				g := &file.Notes[i]
				data, _ := io.ReadAll(file.NoteData(g))
				if name := string(bytes.TrimRight([]byte(w.Name), "\x00")); g.Name != name || uint32(g.Type) != w.Type || !bytes.Equal(data, w.Desc) {
					t.Errorf("%s: Notes[%d] = %q %#x %q; want %q %#x %q", fm.name, i, g.Name, g.Type, data, name, w.Type, w.Desc)
				}
			}
		}
	})
}
