package kdumpfile_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// fuzzFiles are small dumps of each kind: the engine spends its time on making large inputs smaller.
func fuzzFiles() [][]byte {
	var files [][]byte
	for _, a := range dumptest.Archs {
		for _, version := range []int{1, 3, 6} {
			k := kdump(a, version)
			k.BlockSize, k.PhysBase = 1024, 0
			k.Core.Notes[1].Desc = []byte("OSRELEASE=6.12\nPAGESIZE=4096\nNUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff81000000\nSYMBOL(init_top_pgt)=ffffffff81000400\n")
			k.Core.Loads = []dumptest.Load{{Phys: 0x1000, Virt: a.Virt, Data: k.Core.Loads[1].Data[98000:102000]}}
			b := k.Bytes()
			files = append(files, b, dumptest.FlattenFile(b, 3000))
			if version == 6 {
				files = append(files, k.Core.Bytes())
			}
		}
	}
	return files
}

// FuzzOpen opens a dump with changed bytes: each seven of edits are a place and what is there. With a kind
// that no dump has, edits is the file. Reading anywhere ends in data or an error with what was read
// before it, the answers don't change, and what is allocated is in proportion to the file.
func FuzzOpen(f *testing.F) {
	files := fuzzFiles()
	for kind := range len(files) + 1 {
		f.Add(uint8(kind), []byte{}, uint64(0x1000))
		f.Add(uint8(kind), []byte{0xac, 1, 0, 0, 8, 0, 0, 60, 4, 0, 0xff, 0xff, 0, 0}, uint64(0x1800))
	}
	f.Add(uint8(len(files)), files[0][:480], uint64(0))
	f.Fuzz(func(t *testing.T, kind uint8, edits []byte, addr uint64) {
		b := edits
		if int(kind) < len(files) {
			b = bytes.Clone(files[kind])
			for ; len(edits) >= 7; edits = edits[7:] {
				at := (int(edits[0]) | int(edits[1])<<8 | int(edits[2])<<16) % len(b)
				copy(b[at:], edits[3:7])
			}
		}
		var d kdumpfile.Dump
		var err error
		incomplete := false
		if used := alloctest.Bytes(func() {
			if d, err = tryOpen(b); err == nil {
				incomplete = d.Incomplete()
			}
		}); used > 4<<20+8*uint64(len(b)) {
			t.Errorf("opening %d bytes allocated %d", len(b), used)
		}
		if err != nil {
			return
		}
		for i := range d.Notes() {
			n := &d.Notes()[i]
			if got, err := io.ReadAll(d.NoteData(n)); n.Desc != nil && (err != nil || !bytes.Equal(got, n.Desc)) {
				t.Errorf("Notes()[%d] has %d bytes, NoteData gives %d, %v", i, n.Size(), len(got), err)
			}
		}
		for _, a := range []uint64{addr, addr &^ 4095, 0, ^uint64(0) - 3, 0xffffffff81000000} {
			for _, read := range []func([]byte) (int, error){
				func(b []byte) (int, error) { return d.ReadPhysAt(b, memmap.PhysAddr(a)) },
				func(b []byte) (int, error) { return d.ReadVirtAt(b, a) },
			} {
				first := bytes.Repeat([]byte{0xaa}, 9000)
				n, err := read(first[:5000])
				if n < 0 || n > 5000 || (n == 5000) != (err == nil) {
					t.Fatalf("read at %#x = %d, %v", a, n, err)
				}
				if !bytes.Equal(first[5000:], bytes.Repeat([]byte{0xaa}, 4000)) {
					t.Fatalf("read at %#x wrote beyond its buffer", a)
				}
				again := make([]byte, 5000)
				m, err2 := read(again)
				if m != n || (err == nil) != (err2 == nil) || !bytes.Equal(first[:n], again[:n]) {
					t.Fatalf("read at %#x = %d, %v; the second time %d, %v", a, n, err, m, err2)
				}
			}
		}
		if d.Incomplete() != incomplete {
			t.Error("Incomplete() changed")
		}
	})
}

// FuzzFlattened compares the index with a model that writes each record into a buffer, and
// any cut of the stream with the whole.
func FuzzFlattened(f *testing.F) {
	f.Add([]byte{0, 4, 2, 4, 9, 1, 4, 0, 3, 200}, uint16(4200))
	f.Add([]byte{50, 100, 10, 50, 40, 30, 0, 255, 60, 5}, uint16(60000))
	f.Fuzz(func(t *testing.T, script []byte, cut uint16) {
		var records []dumptest.FlatRecord
		model := make([]byte, 0, 1024)
		for i := 0; i+1 < len(script) && i < 400; i += 2 {
			off, n := int(script[i])*3, int(script[i+1])
			if off == 0 && n == 0 {
				continue // no record: see TestFlattened
			}
			data := bytes.Repeat([]byte{byte(i/2 + 1)}, n)
			if need := off + n - len(model); need > 0 {
				model = append(model, make([]byte, need)...)
			}
			copy(model[off:], data)
			records = append(records, dumptest.FlatRecord{Offset: int64(off), Data: data})
		}
		stream := dumptest.Flatten(records...)
		whole, err := kdumpfile.NewFlattened(bytes.NewReader(stream), int64(len(stream)))
		if err != nil || whole.Damage != nil || whole.Size() != int64(len(model)) {
			t.Fatalf("NewFlattened() = %v, Damage %v, size %d; want %d", err, whole.Damage, whole.Size(), len(model))
		}
		got := make([]byte, len(model))
		if n, err := whole.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, model) {
			t.Fatalf("ReadAt() = %d, %v, %x; want %x", n, err, got, model)
		}
		for i := range 8 {
			at := (int(cut) + 37*i) % (len(model) + 1)
			b := make([]byte, min(50, len(model)-at))
			if n, err := whole.ReadAt(b, int64(at)); n != len(b) || !bytes.Equal(b, model[at:at+len(b)]) {
				t.Fatalf("ReadAt(%d) = %d, %v, %x; want %x", at, n, err, b, model[at:at+len(b)])
			}
		}
		short := stream[:min(int(cut), len(stream)-16)]
		part, err := kdumpfile.NewFlattened(bytes.NewReader(short), int64(len(short)))
		if len(short) < 4096 {
			if err == nil {
				t.Error("NewFlattened() of half a header gave no error")
			}
			return
		}
		if err != nil || part.Damage == nil {
			t.Fatalf("a cut stream: NewFlattened() = %v, Damage %v", err, part.Damage)
		}
	})
}

// FuzzCompressed writes a dump by a script and reads all of it back.
func FuzzCompressed(f *testing.F) {
	f.Add(uint8(0), uint8(6), []byte{1, 0, 200, 3, 77, 5})
	f.Add(uint8(3), uint8(4), []byte{0, 0, 0, 9, 255})
	var kdumps []dumptest.KDump
	for _, a := range dumptest.Archs {
		kdumps = append(kdumps, *kdump(a, 1))
	}
	f.Fuzz(func(t *testing.T, kind, version uint8, script []byte) {
		k := kdumps[int(kind)%len(kdumps)]
		core := *k.Core
		k.Core, k.Version = &core, 1+int(version)%6
		k.Core.Loads = nil
		pfn := uint64(kind)
		excluded := map[uint64]bool{}
		for i, c := range script[:min(len(script), 20)] {
			pfn += 1 + uint64(c>>4)*70
			data := make([]byte, 4096)
			for j := range data[:int(c)*16] {
				data[j] = byte(j * i >> (c & 7))
			}
			binary.LittleEndian.PutUint64(data, pfn)
			excluded[pfn] = c&15 == 3
			k.Core.Loads = append(k.Core.Loads, dumptest.Load{Phys: pfn << 12, Data: data})
		}
		if len(k.Core.Loads) == 0 {
			return
		}
		k.PhysBase = 0
		k.Exclude = func(pfn uint64) bool { return excluded[pfn] }
		files := [][]byte{k.Bytes()}
		if version >= 128 && k.Version >= 2 {
			k.Split, k.End = true, pfn/2
			files = [][]byte{k.Bytes()}
			k.Start, k.End = pfn/2, k.MaxPage()
			files = append(files, dumptest.FlattenFile(k.Bytes(), 700))
		}
		d := open(t, files...)
		checkMemory(t, d, k.Core, func(phys uint64) bool { return excluded[phys>>12] })
		if d.Incomplete() {
			t.Errorf("Incomplete(); Damage() = %v", d.Damage())
		}
	})
}
