package excerpt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// machine is a dump of a kernel, its VMCOREINFO without the lines that match.
func machine(without string) *dumptest.Core { return lacking(dumptest.MixedCore(), without) }

func lacking(c *dumptest.Core, without string) *dumptest.Core {
	for i := range c.Notes {
		if n := &c.Notes[i]; n.Name == "VMCOREINFO" && without != "" {
			n.Desc = regexp.MustCompile(`(?m)^`+without+`.*\n`).ReplaceAll(n.Desc, nil)
		}
	}
	return c
}

func open(t *testing.T, b []byte) kdumpfile.Dump {
	t.Helper()
	d, err := kdumpfile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// file is a file in memory.
type file struct{ bytes []byte }

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if n := int(off) + len(b); n > len(f.bytes) {
		f.bytes = append(f.bytes, make([]byte, n-len(f.bytes))...)
	}
	return copy(f.bytes[off:], b), nil
}

// check holds each page after the kernel's against what the form is to keep of it.
func check(t *testing.T, c *dumptest.Core, d kdumpfile.Dump, level pagefilter.Level, elf bool) {
	t.Helper()
	load := c.Loads[1]
	page, zeroes := make([]byte, 4096), make([]byte, 4096)
	for pfn := uint64(dumptest.MixedFirst); pfn < dumptest.MixedEnd; pfn++ {
		want := load.Data[(pfn-dumptest.MixedFirst)<<12:][:4096]
		_, err := d.ReadPhysAt(page, memmap.PhysAddr(pfn<<12))
		left := dumptest.MixedKind(pfn) == dumptest.PageUser && level.Excludes(pagefilter.User) || dumptest.MixedKind(pfn) == dumptest.PageFree && level.Excludes(pagefilter.Free)
		switch {
		case left && elf:
			if err != nil || !bytes.Equal(page, zeroes) {
				t.Fatalf("page %#x at level %d: %v; want a hole", pfn, level, err)
			}
		case left:
			if !errors.Is(err, kdumpfile.ErrExcluded) {
				t.Fatalf("page %#x at level %d: %v; want it left out", pfn, level, err)
			}
		case err != nil || !bytes.Equal(page, want):
			t.Fatalf("page %#x at level %d: %v, equal %v", pfn, level, err, bytes.Equal(page, want))
		}
	}
}

func TestWrite(t *testing.T) {
	core := machine("")
	src := open(t, core.Bytes())
	x := excerpt.New(src, 2)
	if err := x.Whole(); err != nil {
		t.Fatalf("Whole() = %v", err)
	}
	for _, f := range []excerpt.Form{{ELF: true}, {Codec: kdumpfile.CodecNone}, {Codec: kdumpfile.CodecZstd}, {Codec: kdumpfile.CodecZlib}} {
		for level := range pagefilter.MaxLevel + 1 {
			f.Level = level
			t.Run(fmt.Sprintf("level %d elf %v %v", level, f.ELF, f.Codec), func(t *testing.T) {
				var w file
				r, err := x.Write(context.Background(), &w, f, kdumpfile.WriteOptions{})
				if err != nil {
					t.Fatal(err)
				}
				d := open(t, w.bytes)
				check(t, core, d, level, f.ELF)
				if c, ok := d.(*kdumpfile.Compressed); ok && c.Header.DumpLevel != int(level) {
					t.Errorf("the header has dump level %d", c.Header.DumpLevel)
				}
				left := uint64(0)
				for c, n := range r.Left {
					if !level.Excludes(pagefilter.Class(c)) && n > 0 {
						t.Errorf("Left %v = %d; the level keeps it", pagefilter.Class(c), n)
					}
					left += n
				}
				if r.Pages-left != r.Kept-r.Zero || r.Whole != nil || r.Refused != nil {
					t.Errorf("report %+v: %d pages less %d are not the %d kept ones less %d", r, r.Pages, left, r.Kept, r.Zero)
				}
			})
		}
	}
}

// Where pages can't be told apart, all of them are saved, and the report says why.
func TestWhole(t *testing.T) {
	core := machine("SIZE\\(page\\)")
	x := excerpt.New(open(t, core.Bytes()), 1)
	var missing *vmcore.MissingError
	if !errors.As(x.Whole(), &missing) {
		t.Fatalf("Whole() = %v; want what is missing", x.Whole())
	}
	if s, err := x.Survey(context.Background(), nil); s != nil || err != nil {
		t.Errorf("Survey() = %v, %v; want neither", s, err)
	}
	if _, err := x.Estimate(context.Background(), kdumpfile.CodecZstd); !errors.As(err, &missing) {
		t.Errorf("Estimate() = %v; want what is missing", err)
	}
	var w file
	r, err := x.Write(context.Background(), &w, excerpt.Form{Level: 31, Codec: kdumpfile.CodecZstd}, kdumpfile.WriteOptions{})
	if err != nil || r.Whole == nil || r.Kept != r.Pages || r.Zero == 0 {
		t.Fatalf("Write() = %+v, %v; want all pages kept, those of zeroes without room", r, err)
	}
	d := open(t, w.bytes)
	check(t, core, d, 1, false)
	if level := d.(*kdumpfile.Compressed).Header.DumpLevel; level != 1 {
		t.Errorf("the header has dump level %d; nothing but zero pages was left out", level)
	}
	if r, err := x.Write(context.Background(), &file{}, excerpt.Form{}, kdumpfile.WriteOptions{}); err != nil || r.Whole != nil {
		t.Errorf("Write at level 0 = %+v, %v; want no word of the filter", r, err)
	}
}

// A damaged page is in no dump, whatever the level and the form, and nobody reads it; but where a class can't be
// told, level 0 is the whole memory.
func TestDamagedPage(t *testing.T) {
	for without, levels := range map[string][]pagefilter.Level{"": {0, 1, 16, 31}, "LENGTH\\(zone.free_area\\)": {0, 1}} {
		core := lacking(dumptest.DamagedCore(), without)
		src := &watched{Dump: open(t, core.Bytes()), at: dumptest.MixedDamaged << 12}
		x := excerpt.New(src, 2)
		for _, level := range levels {
			for _, elf := range []bool{false, true} {
				want := level > 0 || without == ""
				src.read.Store(false)
				var w file
				r, err := x.Write(context.Background(), &w, excerpt.Form{Level: level, ELF: elf, Codec: kdumpfile.CodecZstd}, kdumpfile.WriteOptions{})
				if err != nil || r.Whole != nil || (r.Left[pagefilter.HWPoison] == 1) != want || src.read.Load() == want {
					t.Errorf("without %q, level %d, ELF %v: %+v, %v; the damaged page was read: %v", without, level, elf, r, err, src.read.Load())
				}
			}
		}
	}
}

// watched tells whether the page at an address was read.
type watched struct {
	kdumpfile.Dump
	at   memmap.PhysAddr
	read atomic.Bool
}

func (w *watched) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	if addr <= w.at && w.at < addr+memmap.PhysAddr(len(b)) {
		w.read.Store(true)
	}
	return w.Dump.ReadPhysAt(b, addr)
}

// The pages of a hypervisor's domains have other numbers than those of the machine.
func TestXen(t *testing.T) {
	core := machine("")
	core.Notes = append(core.Notes, dumptest.Note{Name: "VMCOREINFO_XEN", Desc: []byte("PAGESIZE=4096\n")})
	if x := excerpt.New(open(t, core.Bytes()), 1); x.Whole() == nil {
		t.Error("Whole() = nil; want the pages of a dump of Xen not to be told apart")
	}
}

// A class that can't be told is kept, and the report and the header say so.
func TestRefused(t *testing.T) {
	core := machine("LENGTH\\(zone.free_area\\)")
	x := excerpt.New(open(t, core.Bytes()), 1)
	var w file
	r, err := x.Write(context.Background(), &w, excerpt.Form{Level: 31, Codec: kdumpfile.CodecSnappy}, kdumpfile.WriteOptions{})
	if err != nil || !slices.ContainsFunc(r.Refused, func(f pagefilter.Refusal) bool { return f.Class == pagefilter.Free }) || r.Left[pagefilter.Free] != 0 || r.Left[pagefilter.User] == 0 {
		t.Fatalf("Write() = %+v, %v; want free pages refused, and others left out", r, err)
	}
	d := open(t, w.bytes)
	check(t, core, d, 15, false)
	if level := d.(*kdumpfile.Compressed).Header.DumpLevel; level != 15 {
		t.Errorf("the header has dump level %d; free pages are in the dump", level)
	}
	r, err = x.Write(context.Background(), &file{}, excerpt.Form{Level: 8}, kdumpfile.WriteOptions{})
	if err != nil || len(r.Refused) != 0 {
		t.Errorf("Write at level 8 = %+v, %v; want no refusal: the level keeps free pages", r, err)
	}
}

// A dump that is filtered further has the dump level of both.
func TestRefilter(t *testing.T) {
	core := machine("")
	var first, second file
	if _, err := excerpt.New(open(t, core.Bytes()), 1).Write(context.Background(), &first, excerpt.Form{Level: 16, Codec: kdumpfile.CodecZstd}, kdumpfile.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := excerpt.New(open(t, first.bytes), 1).Write(context.Background(), &second, excerpt.Form{Level: 8, Codec: kdumpfile.CodecZlib}, kdumpfile.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	d := open(t, second.bytes)
	check(t, core, d, 24, false)
	if level := d.(*kdumpfile.Compressed).Header.DumpLevel; level != 24 {
		t.Errorf("the header has dump level %d; want 24", level)
	}
}

func TestWriteSplit(t *testing.T) {
	core := machine("")
	files := make([]file, 3)
	var sinks []io.WriterAt
	for i := range files {
		sinks = append(sinks, &files[i])
	}
	x := excerpt.New(open(t, core.Bytes()), 2)
	r, err := x.WriteSplit(context.Background(), sinks, excerpt.Form{Level: 31, Codec: kdumpfile.CodecZstd}, kdumpfile.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := x.Write(context.Background(), &file{}, excerpt.Form{Level: 31, Codec: kdumpfile.CodecZstd}, kdumpfile.WriteOptions{})
	if err != nil || r.Pages != whole.Pages || r.Kept != whole.Kept || r.Zero != whole.Zero || r.Left != whole.Left {
		t.Errorf("WriteSplit() = %+v; Write() = %+v, %v", r, whole, err)
	}
	var parts []kdumpfile.File
	for _, f := range files {
		parts = append(parts, bytes.NewReader(f.bytes))
	}
	d, err := kdumpfile.Open(parts...)
	if err != nil {
		t.Fatal(err)
	}
	check(t, core, d, 31, false)
	if _, err := x.WriteSplit(context.Background(), sinks, excerpt.Form{ELF: true}, kdumpfile.WriteOptions{}); err == nil {
		t.Error("WriteSplit of an ELF core = no error")
	}
}

func TestStream(t *testing.T) {
	core := machine("")
	var w bytes.Buffer
	if _, err := excerpt.New(open(t, core.Bytes()), 0).Stream(context.Background(), &w, excerpt.Form{Level: 31, ELF: true}, kdumpfile.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	d := open(t, w.Bytes())
	if d.Incomplete() || len(d.Damage()) > 0 {
		t.Errorf("Incomplete() = %v, Damage() = %v", d.Incomplete(), d.Damage())
	}
	check(t, core, d, 31, true)
}

// The estimate of a small machine is exact, since all of its pages are in the sample.
func TestEstimate(t *testing.T) {
	core := machine("")
	x := excerpt.New(open(t, core.Bytes()), 1)
	for _, codec := range []kdumpfile.Codec{kdumpfile.CodecZstd, kdumpfile.CodecSnappy} {
		est, err := x.Estimate(context.Background(), codec)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []pagefilter.Level{1, 9, 17, 31} {
			r, err := x.Write(context.Background(), &file{}, excerpt.Form{Level: level, Codec: codec}, kdumpfile.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := est.Bytes(level); got < r.Bytes-3*4096 || got > r.Bytes+3*4096 {
				t.Errorf("Bytes(%d) with %v = %d; the dump has %d", level, codec, got, r.Bytes)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x := excerpt.New(open(t, machine("").Bytes()), 1)
	if _, err := x.Write(ctx, &file{}, excerpt.Form{Level: 31}, kdumpfile.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Write() = %v; want context.Canceled", err)
	}
	if x.Whole() != nil {
		t.Errorf("Whole() = %v: to be cancelled says nothing about the pages", x.Whole())
	}
	if _, err := x.Stream(context.Background(), failing{}, excerpt.Form{}, kdumpfile.WriteOptions{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Stream into a closed pipe = %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
