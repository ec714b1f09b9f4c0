package elfcore_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func TestReadPhysAt(t *testing.T) {
	zero := func(n int) []byte { return make([]byte, n) }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	loads := []dumptest.Load{
		{Phys: 0x3000, Data: pattern(0x3000, 0x1000)},
		{Phys: 0x1000, Data: pattern(0x1000, 0x800), MemSize: 0x1000},  // filtered
		{Phys: 0x2000, Data: pattern(0x2000, 0x1000)},                  // adjacent to both
		{Phys: 0x2800, Data: pattern(0x2800, 0x400)},                   // within another
		{Phys: 0x8000, MemSize: 0x3000},                                // filtered as a whole
		{Phys: 0x9000, Data: pattern(0x9000, 0x1000)},                  // but this is not
		{Phys: 0xf000, Data: pattern(0xf000, 0x1000), MemSize: 0x1000}, // last
	}
	for _, fm := range formats {
		c := fm.core
		c.Loads = loads
		f := newFile(t, c.Bytes())
		for _, tt := range []struct {
			name string
			addr memmap.PhysAddr
			size int
			want []byte
			err  error
		}{
			{"nothing", 0x500, 0, nil, nil},
			{"within", 0x2010, 16, pattern(0x2010, 16), nil},
			{"to the last byte", 0xffff, 1, pattern(0xffff, 1), nil},
			{"over the end", 0xfff0, 32, pattern(0xfff0, 16), vmcore.ErrNotInDump},
			{"before the first", 0xfff, 2, nil, vmcore.ErrNotInDump},
			{"hole", 0x4000, 1, nil, vmcore.ErrNotInDump},
			{"into the hole", 0x3ff8, 16, pattern(0x3ff8, 8), vmcore.ErrNotInDump},
			{"across a border", 0x2ff0, 32, pattern(0x2ff0, 32), nil},
			{"across data, filtered, data", 0x17f8, 0x810, cat(pattern(0x17f8, 8), zero(0x800), pattern(0x2000, 8)), nil},
			{"overlapping segments", 0x2000, 0x2000, pattern(0x2000, 0x2000), nil},
			{"data wins over filtered", 0x8000, 0x3000, cat(zero(0x1000), pattern(0x9000, 0x1000), zero(0x1000)), nil},
			{"top of the address space", ^memmap.PhysAddr(0), 2, nil, vmcore.ErrNotInDump},
		} {
			t.Run(fm.name+"/"+tt.name, func(t *testing.T) {
				b := bytes.Repeat([]byte{0xee}, tt.size)
				n, err := f.ReadPhysAt(b, tt.addr)
				if !bytes.Equal(b[:n], tt.want) || !errors.Is(err, tt.err) {
					t.Errorf("ReadPhysAt(%d bytes, %v) = %d (%x), %v; want %d, %v", tt.size, tt.addr, n, b[:n], err, len(tt.want), tt.err)
				}
			})
		}
	}
}

// TestReadPhysAtEnd reads over the top of the address space, with memory at 0 as well.
func TestReadPhysAtEnd(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{{Phys: 0xfffffffffffff000, Data: pattern(1, 4096)}, {Phys: 0, Data: pattern(0, 4096)}}
	f := newFile(t, c.Bytes())
	if n, err := f.ReadPhysAt(make([]byte, 32), 0xfffffffffffffff0); n != 16 || !errors.Is(err, vmcore.ErrNotInDump) {
		t.Errorf("ReadPhysAt() = %d, %v; want 16, ErrNotInDump", n, err)
	}
}

// TestReadPhysAtOverlap has segments that contradict each other: the lower start wins.
func TestReadPhysAtOverlap(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{{Phys: 4, Data: []byte("bbbbbbbb")}, {Phys: 0, Data: []byte("aaaaaaaa")}}
	f := newFile(t, c.Bytes())
	b := make([]byte, 12)
	if n, err := f.ReadPhysAt(b, 0); n != 12 || err != nil || string(b) != "aaaaaaaabbbb" {
		t.Errorf("ReadPhysAt() = %d (%q), %v; want aaaaaaaabbbb", n, b, err)
	}
	if n, err := f.ReadPhysAt(b[:4], 4); n != 4 || err != nil || string(b[:4]) != "aaaa" {
		t.Errorf("ReadPhysAt(4) = %d (%q), %v; want aaaa", n, b[:4], err)
	}
}

// TestPlace has two segments, the second with zeroes behind its data, in a file that is cut off in the second.
func TestPlace(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{{Phys: 0x1000, Data: pattern(1, 40)}, {Phys: 0x2000, Data: pattern(2, 80), MemSize: 100}}
	whole := c.Bytes()
	for cut := range 80 {
		f := newFile(t, whole[:len(whole)-cut])
		for _, addr := range []memmap.PhysAddr{0, 0xfff, 0x1000, 0x1010, 0x1027, 0x1028, 0x2000, 0x204f - memmap.PhysAddr(cut), 0x2050 - memmap.PhysAddr(cut), 0x2050, 0x2063, 0x2064} {
			off, n, ok := f.Place(addr)
			want := uint64(0)
			if addr >= 0x1000 && addr < 0x1028 {
				want = 0x1028 - uint64(addr)
			} else if end := 0x2050 - memmap.PhysAddr(cut); addr >= 0x2000 && addr < end {
				want = uint64(end - addr)
			}
			if n != want || ok != (want > 0) {
				t.Fatalf("cut by %d: Place(%#x) = %d, %d, %v; want %d bytes", cut, addr, off, n, ok, want)
			}
			b := make([]byte, n)
			if m, err := f.ReadPhysAt(b, addr); ok && (m < len(b) || err != nil || !bytes.Equal(b, whole[off:][:n])) {
				t.Fatalf("cut by %d: what is at %d of the file is not what is at %#x: %v", cut, off, addr, err)
			}
		}
	}
}

// inMemory is a file that has all of its contents in memory, but what faulty has.
type inMemory struct {
	*bytes.Reader
	content []byte
	faulty  int // offset
}

func (m inMemory) InPlace(offset int64, n int, use func(b []byte) error) (bool, error) {
	return m.faulty < int(offset) || m.faulty >= int(offset)+n, use(m.content[offset:][:n:n])
}

// TestViewVirt looks at memory by the addresses of PT_LOADs and by VMCOREINFO's mapping; what isn't in one piece in the
// file is not seen.
func TestViewVirt(t *testing.T) {
	c := formats[0].core
	const image = 0xffffffff80000000 // StartKernelMap of x86_64
	c.Notes = []dumptest.Note{{Name: "VMCOREINFO", Desc: []byte("PAGESIZE=4096\nNUMBER(phys_base)=0\n")}}
	c.Loads = []dumptest.Load{{Phys: 0x1000, Virt: 0xffff888000001000, Data: pattern(1, 4096)}, {Phys: 0x3000, Data: pattern(2, 4096)},
		{Phys: 0x2000, Data: pattern(3, 4096), MemSize: 4096}}
	whole := c.Bytes()
	file := inMemory{bytes.NewReader(whole), whole, -1}
	f, err := elfcore.New(file, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr uint64
		n    int
		want bool
	}{
		{0xffff888000001000, 4096, true}, {0xffff888000001ff0, 16, true}, {0xffff888000001ff0, 17, false}, {0xffff888000000fff, 8, false},
		{image + 0x1010, 64, true}, {image + 0x3000, 4096, true}, {image + 0x2ff0, 32, false}, {image + 0x4000, 1, false}, {image, 8, false}, {0, 8, false}, {image + 0x3000, 0, false}, {image + 0x3000, -1, false},
	} {
		var got []byte
		ok := f.ViewVirt(tt.addr, tt.n, func(b []byte) { got = bytes.Clone(b) })
		want := make([]byte, max(tt.n, 0))
		if n, err := f.ReadVirtAt(want, tt.addr); ok != tt.want || ok && (n < len(want) || err != nil || !bytes.Equal(got, want)) {
			t.Errorf("ViewVirt(%d bytes at %#x) = %v, % x; want %v, % x, %v", tt.n, tt.addr, ok, got, tt.want, want, err)
		}
	}
	off, _, _ := f.Place(0x1000)
	file.faulty = int(off) + 100
	if f, err = elfcore.New(file, int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	if f.ViewVirt(image+0x1000, 4096, func([]byte) {}) || !f.ViewVirt(image+0x1000, 100, func([]byte) {}) {
		t.Error("ViewVirt() shows what can't be read, or not what can")
	}
	if newFile(t, whole).ViewVirt(image+0x1000, 8, func([]byte) {}) {
		t.Error("ViewVirt() shows what is in no memory")
	}
}

// TestReadTruncated cuts a dump at each length: what is there is read, the rest is
// io.ErrUnexpectedEOF, and only that.
func TestReadTruncated(t *testing.T) {
	for _, fm := range formats {
		c := fm.core
		c.Loads = []dumptest.Load{{Phys: 0, Data: pattern(0, 40)}, {Phys: 40, Data: pattern(40, 40)}, {Phys: 80, MemSize: 8}}
		whole := c.Bytes()
		for cut := 1; cut <= 80; cut++ {
			f := newFile(t, whole[:len(whole)-cut])
			if len(f.Damage) != 1 || !errors.Is(f.Damage[0], io.ErrUnexpectedEOF) {
				t.Errorf("%s: cut by %d: Damage = %v; want one io.ErrUnexpectedEOF", fm.name, cut, f.Damage)
			}
			b := make([]byte, 80)
			n, err := f.ReadPhysAt(b, 0)
			if n != 80-cut || !bytes.Equal(b[:n], pattern(0, n)) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, vmcore.ErrNotInDump) {
				t.Errorf("%s: cut by %d: ReadPhysAt() = %d, %v; want %d, io.ErrUnexpectedEOF", fm.name, cut, n, err, 80-cut)
			}
			if n, err := f.ReadPhysAt(b[:8], 80); n != 8 || err != nil {
				t.Errorf("%s: cut by %d: ReadPhysAt(filtered) = %d, %v; want 8, nil", fm.name, cut, n, err)
			}
		}
	}
}

// sparse is a reader of a file of any size, with the given head and zeroes.
type sparse struct{ head []byte }

func (s sparse) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(s.head)) {
		copy(b, s.head[off:])
	}
	return len(b), nil
}

// TestReadHuge has a segment of 64 TiB.
func TestReadHuge(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{{Phys: 1 << 32, Virt: 0xffff888100000000, MemSize: 64 << 40}}
	head := c.Bytes()
	c.Order.PutUint64(head[64+56+32:], 64<<40) // p_filesz
	end := int64(len(head)) + 64<<40
	f, err := elfcore.New(sparse{head}, end)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if n, err := f.ReadPhysAt(b, 1<<32+64<<40-8); n != 8 || err != nil {
		t.Errorf("ReadPhysAt(last bytes) = %d, %v; want 8, nil", n, err)
	}
	if n, err := f.ReadVirtAt(b, 0xffff888100000000+64<<40-4); n != 4 || !errors.Is(err, vmcore.ErrNotInDump) {
		t.Errorf("ReadVirtAt(over the end) = %d, %v; want 4, ErrNotInDump", n, err)
	}
}

type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(b, off)
}

// TestReadError keeps the reader's own error.
func TestReadError(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{{Data: pattern(0, 4096)}}
	whole := c.Bytes()
	eio := errors.New("input/output error")
	f, err := elfcore.New(failing{bytes.NewReader(whole), int64(len(whole)) - 4096, eio}, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadPhysAt(make([]byte, 8), 0); !errors.Is(err, eio) {
		t.Errorf("ReadPhysAt() = %v; want %v", err, eio)
	}
}
