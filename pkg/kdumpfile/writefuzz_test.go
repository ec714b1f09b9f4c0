package kdumpfile_test

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// FuzzWrite makes a machine by a script, writes a dump of it in a form of choice and reads all of it back. The source
// is an ELF dump, or a compressed one of any version made by another writer.
//
// how chooses: bits 0-2 the machine, 3-5 the codec, 6 OmitZero, 7 a filter, 8 ELF, 9 split, 10 flattened, 11-12 the page
// size, 13 the source's form, 14-15 workers, 16 Stale.
func FuzzWrite(f *testing.F) {
	f.Add(uint32(0x0), []byte{1, 0, 200, 3, 77, 5})
	f.Add(uint32(0x40|4<<3|0x80), []byte{0, 0, 0, 9, 255})
	f.Add(uint32(0x100|0x40|0x80), []byte{10, 20, 30, 0, 0, 3, 9, 255})
	f.Add(uint32(0x2680|1<<3), []byte{0, 0xf0, 0, 9, 255, 0x13, 0x53, 3})
	f.Add(uint32(0x14404|3<<3), []byte{0, 0xf0, 0, 9, 255, 0x13, 0x53, 3})
	f.Fuzz(func(t *testing.T, how uint32, script []byte) {
		a := dumptest.Archs[int(how&7)%len(dumptest.Archs)]
		page := uint64(4096)
		if how>>11&3 == 1 {
			page = 16384
		} else if how>>11&3 == 2 {
			page = 65536
		}
		core, excluded := fuzzMachine(a, page, script[:min(len(script), 40)], how&0x80 != 0)
		if len(core.Loads) == 0 {
			return
		}
		src := open(t, core.Bytes())
		if how>>13&1 == 1 {
			k := &dumptest.KDump{Core: core, Uname: machineName(a), Release: "6.12", Version: 1 + int(how>>17)%6, Word: a.Word, Align8: 8,
				BlockSize: int(page), Pack: pack}
			if a.Machine == elf.EM_386 {
				k.Align8 = 4
			}
			if how>>20&1 == 1 {
				k.Exclude = func(pfn uint64) bool { return excluded[pfn] }
			}
			src = open(t, k.Bytes())
			if c := src.(*kdumpfile.Compressed); c.Header.Version < 3 && page != 4096 {
				return // the size of a page is not known
			}
		}
		opt := kdumpfile.WriteOptions{Codec: codecs[int(how>>3&7)%len(codecs)], OmitZero: how&0x40 != 0, Workers: 1 + int(how>>14&3), Stale: how>>16&1 == 1}
		if how&0x80 != 0 {
			opt.Filter = filterFunc(func(first uint64, keep []uint64) error {
				for i := range 64 * uint64(len(keep)) {
					if excluded[first+i] {
						keep[i/64] &^= 1 << (i % 64)
					}
				}
				return nil
			})
		}
		d := fuzzWrite(t, how, src, opt)
		isELF := how&0x100 != 0
		for _, l := range core.Loads {
			for off := uint64(0); off < uint64(len(l.Data)); {
				phys := l.Phys + off
				n := min(page-phys%page, uint64(len(l.Data))-off)
				want, got := l.Data[off:off+n], make([]byte, n)
				_, err := d.ReadPhysAt(got, memmap.PhysAddr(phys))
				switch _, errSrc := src.ReadPhysAt(make([]byte, n), memmap.PhysAddr(phys)); {
				case excluded[phys/page] && (opt.Filter != nil || errSrc != nil) && isELF:
					want = make([]byte, n)
					fallthrough
				case !excluded[phys/page] || opt.Filter == nil && errSrc == nil:
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("ReadPhysAt(%#x) = %v, equal %v", phys, err, bytes.Equal(got, want))
					}
				case !errors.Is(err, kdumpfile.ErrExcluded) && !(src.Platform().Machine == elf.EM_NONE) && !errors.Is(err, vmcore.ErrNotInDump):
					t.Fatalf("ReadPhysAt(%#x) = %v; want ErrExcluded", phys, err)
				}
				off += n
			}
		}
		if d.Incomplete() || len(d.Damage()) > 0 {
			t.Errorf("Incomplete() = %v, Damage() = %v", d.Incomplete(), d.Damage())
		}
		if got, want := d.Platform(), src.Platform(); got != want {
			t.Errorf("Platform() = %+v; the source's is %+v", got, want)
		}
		if got, want := len(d.Notes()), len(src.Notes()); got != want && want > 0 {
			t.Errorf("%d notes; the source has %d", got, want)
		}
	})
}

// fuzzMachine makes memory: each byte of the script is a load that begins at a page or within it, of pages that are zero, text or
// noise, some of them to leave out.
func fuzzMachine(a dumptest.Arch, page uint64, script []byte, filter bool) (*dumptest.Core, map[uint64]bool) {
	info := []byte("OSRELEASE=6.12\nPAGESIZE=4096\n")
	switch page {
	case 16384:
		info = []byte("OSRELEASE=6.12\nPAGESIZE=16384\n")
	case 65536:
		info = []byte("OSRELEASE=6.12\nPAGESIZE=65536\n")
	}
	core := &dumptest.Core{Class: a.Class, Order: a.Order, Machine: a.Machine, Notes: []dumptest.Note{
		{Name: "CORE", Type: 1, Desc: make([]byte, 336)}, {Name: "VMCOREINFO", Desc: info}}}
	excluded := map[uint64]bool{}
	pfn := uint64(0)
	for i, c := range script {
		pfn += 1 + uint64(c>>5)*uint64(c>>5)*5
		if c>>5 == 7 {
			pfn += kdumpfile.WindowPages - 20
		}
		start, size := pfn*page, page*(1+uint64(c&3))
		if c&0x1c == 0x1c { // not whole pages
			start, size = start+uint64(i+1)*8, size-uint64(i+1)*16-page/4
		}
		if (start+size)*2 > 1<<32 && a.Class == elf.ELFCLASS32 {
			break
		}
		data := make([]byte, size)
		x := uint32(i + 1)
		for j := range data {
			switch c & 0xc {
			case 4:
				data[j] = byte(j >> (c & 7))
			case 8:
				x = x*1664525 + 1013904223
				data[j] = byte(x >> 24)
			}
		}
		if c&0xc != 0 {
			binary.LittleEndian.PutUint64(data, pfn)
		}
		core.Loads = append(core.Loads, dumptest.Load{Phys: start, Data: data})
		for p := start / page; filter && p <= (start+size-1)/page; p++ {
			excluded[p] = (uint64(c)+p)%3 == 0
		}
		pfn = (start + size - 1) / page
	}
	return core, excluded
}

// fuzzWrite writes a dump and opens it.
func fuzzWrite(t *testing.T, how uint32, src kdumpfile.Dump, opt kdumpfile.WriteOptions) kdumpfile.Dump {
	t.Helper()
	if how&0x300 == 0x200 {
		files := make([]memFile, 3)
		if opt.Stale {
			for i := range files {
				files[i].b = bytes.Repeat([]byte{0xa5}, 1<<16)
			}
		}
		if _, err := kdumpfile.WriteSplit(context.Background(), []io.WriterAt{&files[0], &files[1], &files[2]}, src, opt); err != nil {
			t.Fatal(err)
		}
		return open(t, files[0].b, files[1].b, files[2].b)
	}
	write := kdumpfile.WriteCompressed
	if how&0x100 != 0 {
		write = kdumpfile.WriteELF
	}
	if how&0x400 != 0 {
		var stream bytes.Buffer
		flat, err := kdumpfile.NewFlattener(&stream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write(context.Background(), flat, src, opt); err != nil {
			t.Fatal(err)
		}
		if err := flat.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, stream.Bytes())
	}
	var file memFile
	if opt.Stale {
		file.b = bytes.Repeat([]byte{0xa5}, 1<<17)
	}
	done, err := write(context.Background(), &file, src, opt)
	if err != nil || done.Incomplete || done.Saved != done.Kept || done.Bytes > file.Size() || !opt.Stale && done.Bytes != file.Size() {
		t.Fatalf("writing = %+v, %v; the file has %d bytes", done, err, file.Size())
	}
	return open(t, file.b)
}
