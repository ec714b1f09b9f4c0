package kdumpfile_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// memFile is a file in memory.
type memFile struct{ b []byte }

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if n := int(off) + len(b); n > len(f.b) {
		f.b = append(f.b, make([]byte, n-len(f.b))...)
	}
	return copy(f.b[off:], b), nil
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(f.b).ReadAt(b, off)
}
func (f *memFile) Size() int64 { return int64(len(f.b)) }

// everyThird leaves out each third page above a frame.
type everyThird uint64

func (e everyThird) Filter(_ context.Context, first uint64, keep []uint64) error {
	for i := range 64 * uint64(len(keep)) {
		if e.excludes(first + i) {
			keep[i/64] &^= 1 << (i % 64)
		}
	}
	return nil
}

func (e everyThird) excludes(pfn uint64) bool { return pfn >= uint64(e) && pfn%3 == 1 }

var codecs = []kdumpfile.Codec{kdumpfile.CodecNone, kdumpfile.CodecZlib, kdumpfile.CodecLZO, kdumpfile.CodecSnappy, kdumpfile.CodecZstd}

// TestWriteCompressed writes the dumps of each machine with each codec, from each form, and reads them back.
func TestWriteCompressed(t *testing.T) {
	for _, a := range dumptest.Archs {
		k := kdump(a, 6)
		for form, src := range map[string][]byte{"ELF": k.Core.Bytes(), "compressed": k.Bytes()} {
			for _, codec := range codecs {
				for _, zero := range []bool{false, true} {
					t.Run(fmt.Sprint(a.Name, " ", form, " ", codec, " ", zero), func(t *testing.T) {
						filter := everyThird(k.Core.Loads[1].Phys >> 12)
						var f memFile
						done, err := kdumpfile.WriteCompressed(context.Background(), &f, open(t, src), kdumpfile.WriteOptions{
							Codec: codec, Filter: filter, OmitZero: zero, DumpLevel: 9})
						if err != nil || done.Incomplete || done.Bytes != f.Size() || done.Kept >= done.Pages || (done.Zero > 0) != zero {
							t.Fatalf("WriteCompressed() = %+v, %v; the file has %d bytes", done, err, f.Size())
						}
						d := open(t, f.b)
						checkMemory(t, d, k.Core, func(phys uint64) bool { return filter.excludes(phys >> 12) })
						if d.Incomplete() {
							t.Errorf("Incomplete(); Damage() = %v", d.Damage())
						}
						if got, want := dumptest.LogText(t, d), dumptest.LogText(t, open(t, src)); got != want {
							t.Errorf("the log = %.200q; want %.200q", got, want)
						}
					})
				}
			}
		}
	}
}

// TestWriteELF is TestWriteCompressed for ELF.
func TestWriteELF(t *testing.T) {
	for _, a := range dumptest.Archs {
		k := kdump(a, 6)
		for form, src := range map[string][]byte{"ELF": k.Core.Bytes(), "compressed": k.Bytes()} {
			for _, zero := range []bool{false, true} {
				t.Run(fmt.Sprint(a.Name, " ", form, " ", zero), func(t *testing.T) {
					filter := everyThird(k.Core.Loads[1].Phys >> 12)
					var f memFile
					done, err := kdumpfile.WriteELF(context.Background(), &f, open(t, src), kdumpfile.WriteOptions{Filter: filter, OmitZero: zero})
					if err != nil || done.Incomplete || done.Bytes != f.Size() || done.Kept >= done.Pages || (done.Zero > 0) != zero {
						t.Fatalf("WriteELF() = %+v, %v; the file has %d bytes", done, err, f.Size())
					}
					d := open(t, f.b)
					want := *k.Core
					want.Loads = nil
					for _, l := range k.Core.Loads {
						l.Data = bytes.Clone(l.Data)
						for i := range l.Data {
							if filter.excludes((l.Phys + uint64(i)) >> 12) {
								l.Data[i] = 0
							}
						}
						want.Loads = append(want.Loads, l)
					}
					checkMemory(t, d, &want, nil)
					if d.Incomplete() {
						t.Errorf("Incomplete(); Damage() = %v", d.Damage())
					}
				})
			}
		}
	}
}

// TestFlattener writes a file in pieces and reads the stream.
func TestFlattener(t *testing.T) {
	var stream bytes.Buffer
	f, err := kdumpfile.NewFlattener(&stream)
	if err != nil {
		t.Fatal(err)
	}
	var want memFile
	for _, p := range []struct{ off, n int }{{0, 100}, {100, 2 << 20}, {50, 7}, {3 << 20, 1}, {3<<20 + 1, 999}} {
		b := bytes.Repeat([]byte{byte(p.n)}, p.n)
		want.WriteAt(b, int64(p.off))
		if n, err := f.WriteAt(b, int64(p.off)); n != len(b) || err != nil {
			t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", p.n, p.off, n, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := kdumpfile.NewFlattened(bytes.NewReader(stream.Bytes()), int64(stream.Len()))
	if err != nil || got.Damage != nil || got.Size() != want.Size() {
		t.Fatalf("NewFlattened() = %v, %v, size %d; want %d", err, got.Damage, got.Size(), want.Size())
	}
	b := make([]byte, got.Size())
	if _, err := got.ReadAt(b, 0); err != nil || !bytes.Equal(b, want.b) {
		t.Errorf("the stream isn't what was written: %v", err)
	}
}

// TestNextMemory lists the memory of dumps in both forms.
func TestNextMemory(t *testing.T) {
	for _, a := range dumptest.Archs {
		k := kdump(a, 6)
		k.Exclude = func(pfn uint64) bool { return pfn%4 == 2 }
		var all, held memmap.Set
		for _, l := range k.Core.Loads {
			all = all.Union(memmap.NewSet(memmap.Range{Start: memmap.PhysAddr(l.Phys &^ 4095), End: memmap.PhysAddr((l.Phys + uint64(len(l.Data)) + 4095) &^ 4095)}))
		}
		for _, r := range all.Ranges() {
			for p := r.Start; p < r.End; p += 4096 {
				if p>>12%4 != 2 {
					held = held.Union(memmap.NewSet(memmap.Range{Start: p, End: p + 4096}))
				}
			}
		}
		elf, comp := open(t, k.Core.Bytes()), open(t, k.Bytes())
		for _, tt := range []struct {
			name string
			next func(memmap.PhysAddr) (memmap.Range, error)
			want memmap.Set
		}{
			{"ELF memory", elf.NextMemory, all}, {"ELF held", elf.NextHeld, all},
			{"compressed memory", comp.NextMemory, all}, {"compressed held", comp.NextHeld, held},
		} {
			var got []memmap.Range
			for addr := memmap.PhysAddr(0); ; {
				r, err := tt.next(addr)
				if err == io.EOF {
					break
				}
				if err != nil || r.Start < addr || r.Empty() {
					t.Fatalf("%s %s: next(%v) = %v, %v", a.Name, tt.name, addr, r, err)
				}
				got = append(got, r)
				addr = r.End
			}
			if !memmap.NewSet(got...).Equal(tt.want) {
				t.Errorf("%s: %s = %v; want %v", a.Name, tt.name, got, tt.want.Ranges())
			}
			r := tt.want.Ranges()[0]
			if got, err := tt.next(r.Start + 4096); err != nil || got.Start < r.Start+4096 {
				t.Errorf("%s: %s from the second page = %v, %v", a.Name, tt.name, got, err)
			}
		}
	}
}
