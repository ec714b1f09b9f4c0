package kdumpfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// fullFile is a file on a filesystem that is full: it has room for so many bytes.
type fullFile struct {
	memFile
	room int64
}

func (f *fullFile) WriteAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) <= f.room {
		return f.memFile.WriteAt(b, off)
	}
	n := 0
	if off < f.room {
		n, _ = f.memFile.WriteAt(b[:f.room-off], off)
	}
	return n, syscall.ENOSPC
}

// TestWriteFull writes to disks that are full at each twentieth of the dump. What is there can be read, and is known to be
// incomplete.
func TestWriteFull(t *testing.T) {
	k := bigKDump(5)
	src := k.Core.Bytes()
	for _, form := range []struct {
		name  string
		write func(context.Context, io.WriterAt, kdumpfile.Dump, kdumpfile.WriteOptions) (kdumpfile.Written, error)
	}{{"compressed", kdumpfile.WriteCompressed}, {"ELF", kdumpfile.WriteELF}} {
		for _, zero := range []bool{false, true} {
			for _, workers := range []int{1, 3} {
				opt := kdumpfile.WriteOptions{Codec: kdumpfile.CodecSnappy, OmitZero: zero, Workers: workers}
				var whole memFile
				if _, err := form.write(context.Background(), &whole, open(t, src), opt); err != nil {
					t.Fatal(err)
				}
				before := -1
				for i := int64(1); i < 20; i++ {
					f := fullFile{room: whole.Size() * i / 20}
					done, err := form.write(context.Background(), &f, open(t, src), opt)
					name := fmt.Sprintf("%s, OmitZero %v, %d workers, full at %d of %d bytes", form.name, zero, workers, f.room, whole.Size())
					if !errors.Is(err, syscall.ENOSPC) || !done.Incomplete {
						t.Fatalf("%s: %+v, %v; want ENOSPC", name, done, err)
					}
					d, err := tryOpen(f.b)
					if err != nil {
						t.Fatalf("%s: Open() = %v", name, err)
					}
					if !d.Incomplete() {
						t.Errorf("%s: not incomplete", name)
					}
					good := checkPart(t, name, d, k.Core, form.name == "ELF")
					if good < before {
						t.Errorf("%s: %d pages can be read; with less room they were %d", name, good, before)
					}
					// Pages of a batch or a buffer are lost at most.
					if least := int(i-2) * int(whole.Size()/20) / (4096 + 32); form.name == "compressed" && good < least {
						t.Errorf("%s: %d pages can be read; want %d", name, good, least)
					}
					before = good
				}
			}
		}
	}
}

// bigKDump has so many MiB of noise with pages of zeroes and holes between them.
func bigKDump(loads int) *dumptest.KDump {
	k := kdump(dumptest.Archs[0], 6)
	for i := range loads {
		noise := make([]byte, 1<<20)
		x := uint32(i)
		for j := range noise {
			x = x*1664525 + 1013904223
			noise[j] = byte(x >> 24)
		}
		for page := i; page < len(noise)>>12; page += 9 {
			clear(noise[page<<12:][:4096])
		}
		k.Core.Loads = append(k.Core.Loads, dumptest.Load{Phys: 0x40000000 + uint64(i)*0x3000000, Data: noise})
	}
	return k
}

// checkPart holds the pages that can be read against the memory, and counts them. In an ELF dump what isn't
// there may read as zeroes.
func checkPart(t *testing.T, name string, d kdumpfile.Dump, c *dumptest.Core, zeroes bool) (good int) {
	t.Helper()
	got := make([]byte, 4096)
	for _, l := range c.Loads {
		for off := 0; off+4096 <= len(l.Data); off += 4096 {
			phys, want := l.Phys+uint64(off), l.Data[off:off+4096]
			if _, err := d.ReadPhysAt(got, memmap.PhysAddr(phys)); err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%s: ReadPhysAt(%#x) = %v; want io.ErrUnexpectedEOF", name, phys, err)
				}
				continue
			}
			if bytes.Equal(got, want) {
				good++
			} else if !zeroes || !bytes.Equal(got, make([]byte, 4096)) {
				t.Fatalf("%s: page %#x has other contents", name, phys)
			}
		}
	}
	return good
}

// TestWriteCancel ends the writing in the middle.
func TestWriteCancel(t *testing.T) {
	k := bigKDump(5)
	reason := errors.New("the watchdog barked")
	for _, workers := range []int{1, 3} {
		ctx, cancel := context.WithCancelCause(context.Background())
		var f memFile
		done, err := kdumpfile.WriteCompressed(ctx, &f, open(t, k.Core.Bytes()), kdumpfile.WriteOptions{Workers: workers, Advance: func(p kdumpfile.Progress) {
			if p.Saved > 300 {
				cancel(reason)
			}
		}})
		if !errors.Is(err, reason) || !done.Incomplete || done.Saved < 300 || done.Saved > 600 {
			t.Errorf("%d workers: WriteCompressed() = %+v, %v", workers, done, err)
		}
		d := open(t, f.b)
		if good := checkPart(t, "cancelled", d, k.Core, false); good < int(done.Saved)-10 || !d.Incomplete() {
			t.Errorf("%d workers: %d pages can be read of %d saved, Incomplete() = %v", workers, good, done.Saved, d.Incomplete())
		}
	}
}

// badDump can't read some of its memory.
type badDump struct {
	kdumpfile.Dump
	bad    memmap.Range
	panics bool
}

var errBad = errors.New("bad memory")

func (b badDump) ReadPhysAt(p []byte, addr memmap.PhysAddr) (int, error) {
	if !b.bad.Overlaps(memmap.Range{Start: addr, End: addr + memmap.PhysAddr(len(p))}) {
		return b.Dump.ReadPhysAt(p, addr)
	}
	if b.panics {
		panic(errBad)
	}
	n := 0
	if addr < b.bad.Start {
		n, _ = b.Dump.ReadPhysAt(p[:b.bad.Start-addr], addr)
	}
	return n, errBad
}

// TestWriteUnreadable has memory that can't be read: it becomes zero and is reported, or ends the writing.
func TestWriteUnreadable(t *testing.T) {
	k := bigKDump(5)
	load := k.Core.Loads[len(k.Core.Loads)-1]
	bad := memmap.Range{Start: memmap.PhysAddr(load.Phys + 0x5800), End: memmap.PhysAddr(load.Phys + 0x8001)}
	for _, workers := range []int{1, 3} {
		src := badDump{open(t, k.Core.Bytes()), bad, false}
		var got []memmap.PhysAddr
		opt := kdumpfile.WriteOptions{Codec: kdumpfile.CodecZstd, Workers: workers}
		opt.Unreadable = func(addr memmap.PhysAddr, err error) {
			if !errors.Is(err, errBad) {
				t.Errorf("Unreadable(%v, %v)", addr, err)
			}
			got = append(got, addr)
		}
		var f memFile
		done, err := kdumpfile.WriteCompressed(context.Background(), &f, src, opt)
		if err != nil || done.Unreadable != 4 || done.Incomplete {
			t.Fatalf("WriteCompressed() = %+v, %v; want 4 pages that can't be read", done, err)
		}
		first := memmap.PhysAddr(load.Phys + 0x5000)
		if want := []memmap.PhysAddr{first, first + 4096, first + 8192, first + 12288}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("unreadable are %v; want %v", got, want)
		}
		want := *k.Core
		want.Loads = append(want.Loads[:len(want.Loads)-1:len(want.Loads)-1], load)
		data := bytes.Clone(load.Data)
		clear(data[0x5000:0x9000])
		want.Loads[len(want.Loads)-1].Data = data
		checkMemory(t, open(t, f.b), &want, nil)

		opt.Unreadable = nil
		if done, err := kdumpfile.WriteCompressed(context.Background(), new(memFile), src, opt); !errors.Is(err, errBad) || !done.Incomplete {
			t.Errorf("without Unreadable: %+v, %v; want the error", done, err)
		}
		src.panics = true
		func() {
			defer func() {
				if p := recover(); p != errBad {
					t.Errorf("%d workers: recovered %v; want the panic of a worker", workers, p)
				}
			}()
			_, err := kdumpfile.WriteCompressed(context.Background(), new(memFile), src, opt)
			t.Errorf("%d workers: WriteCompressed() = %v; want a panic", workers, err)
		}()
	}
}

// fickle gives another answer each time it is asked.
type fickle struct {
	mu sync.Mutex
	n  int
}

func (f *fickle) Filter(_ context.Context, first uint64, keep []uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range keep {
		keep[i] &= 0xaaaaaaaaaaaaaaaa
	}
	clear(keep[:f.n])
	f.n++ // one word fewer each time
	return nil
}

// TestWriteFilterFails has filters that fail, and that contradict themselves where their answers aren't kept.
func TestWriteFilterFails(t *testing.T) {
	broken := errors.New("no struct page")
	d := open(t, bigKDump(5).Core.Bytes())
	opt := kdumpfile.WriteOptions{Filter: filterFunc(func(uint64, []uint64) error { return broken })}
	if done, err := kdumpfile.WriteCompressed(context.Background(), new(memFile), d, opt); !errors.Is(err, broken) || !done.Incomplete {
		t.Errorf("WriteCompressed() = %+v, %v; want the filter's error", done, err)
	}
	// A machine so large that the answers take more than the memory for them.
	huge := hugeDump{d, 24 << 30}
	opt.Filter = &fickle{}
	if _, err := kdumpfile.WriteCompressed(context.Background(), nowhere{}, huge, opt); err == nil {
		t.Error("WriteCompressed() with a filter that contradicts itself gives no error")
	}
}

type filterFunc func(first uint64, keep []uint64) error

func (f filterFunc) Filter(_ context.Context, first uint64, keep []uint64) error {
	return f(first, keep)
}

// nowhere takes everything.
type nowhere struct{}

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// What is made of an incomplete dump says so, whatever form it has.
func TestWriteOfIncomplete(t *testing.T) {
	k := bigKDump(5)
	k.Status |= 8
	src := open(t, k.Bytes())
	for _, stream := range []bool{false, true} {
		for name, write := range map[string]func(context.Context, io.WriterAt, kdumpfile.Dump, kdumpfile.WriteOptions) (kdumpfile.Written, error){"compressed": kdumpfile.WriteCompressed, "ELF": kdumpfile.WriteELF} {
			var f memFile
			var flat bytes.Buffer
			w := io.WriterAt(&f)
			var flattener *kdumpfile.Flattener
			if stream {
				var err error
				if flattener, err = kdumpfile.NewFlattener(&flat); err != nil {
					t.Fatal(err)
				}
				w = flattener
			}
			if _, err := write(t.Context(), w, src, kdumpfile.WriteOptions{Codec: kdumpfile.CodecZstd}); err != nil {
				t.Fatal(err)
			}
			if stream {
				if err := flattener.Close(); err != nil {
					t.Fatal(err)
				}
				f.b = flat.Bytes()
			}
			if !open(t, f.b).Incomplete() {
				t.Errorf("%s, as a stream %v: the dump does not say that it is incomplete", name, stream)
			}
		}
	}
}
