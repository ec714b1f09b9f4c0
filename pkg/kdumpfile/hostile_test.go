package kdumpfile_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// hugeHead is the headers of a compressed dump that claims so many pages, and where its bitmaps and
// descriptors begin.
func hugeHead(pages uint64) (head []byte, bitmap, descs int64) {
	k := kdump(dumptest.Archs[0], 6)
	k.Core.Loads = k.Core.Loads[:1]
	k.Core.Loads[0].Phys, k.Core.Loads[0].Data, k.PhysBase = 0, k.Core.Loads[0].Data[:4096], 0
	b := k.Bytes()
	le := binary.LittleEndian
	sub := int64(le.Uint32(b[432:]))
	blocks := 2 * ((pages/8 + 4095) / 4096)
	le.PutUint32(b[436:], uint32(blocks))
	le.PutUint64(b[4096+96:], pages)
	return b[:(1+sub)*4096], (1 + sub) * 4096, (1 + sub + int64(blocks)) * 4096
}

// costly reads all that can be read of a dump, and holds what that allocates against a bound.
func costly(t *testing.T, files ...kdumpfile.File) kdumpfile.Dump {
	t.Helper()
	var d kdumpfile.Dump
	if used := alloctest.Bytes(func() {
		var err error
		if d, err = kdumpfile.Open(files...); err != nil {
			t.Fatal(err)
		}
		d.Incomplete()
		page := make([]byte, 4096)
		for _, a := range []memmap.PhysAddr{0, 1 << 30, 1 << 40, 1<<50 - 4096, 1<<52 - 4096} {
			_, _ = d.ReadPhysAt(page, a)
		}
		_, _ = d.ReadVirtAt(page, 0xffffffff81000000)
	}); used > 2<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
	return d
}

// counted counts what is read, and knows its holes if the file does.
type counted struct {
	kdumpfile.Sparse
	file *os.File // nil: in memory
	n    int64
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.Sparse.ReadAt(b, off)
	c.n += int64(n)
	return n, err
}

func (c *counted) few(t *testing.T) {
	t.Helper()
	if c.n > 2<<20 {
		t.Errorf("%d bytes were read", c.n)
	}
}

// dense is a file without holes.
type dense struct{ *bytes.Reader }

func (d dense) NextData(off int64) (start, end int64, err error) { return off, d.Size(), nil }

// Of a flattened dump that claims 2^40 pages the bitmaps are what its records hold.
func TestHostileFlattened(t *testing.T) {
	head, bitmap, descs := hugeHead(1 << 40)
	rec := func(off int64, data ...byte) dumptest.FlatRecord { return dumptest.FlatRecord{Offset: off, Data: data} }
	records := map[string][]dumptest.FlatRecord{
		"no bitmap":  {rec(0, head...), rec(descs, 1)},
		"some of it": {rec(0, head...), rec(bitmap+1<<37+1<<31, make([]byte, 4096)...), rec(descs+1<<40, 1)},
		"bits":       {rec(0, head...), rec(descs+1<<40, 1)},
	}
	for i := range int64(400) {
		records["bits"] = append(records["bits"], rec(bitmap+1<<37+i<<28, 0x80))
	}
	for name, list := range records {
		t.Run(name, func(t *testing.T) {
			f := &counted{Sparse: dense{bytes.NewReader(dumptest.Flatten(list...))}}
			d := costly(t, f)
			f.few(t)
			if name != "bits" {
				return
			}
			// The pages of the scattered bits are found, the others are not.
			page := make([]byte, 4096)
			for i, want := range map[memmap.PhysAddr]string{0: "was not written", 399: "was not written", 400: "not in the dump"} {
				if _, err := d.ReadPhysAt(page, (i<<31+7)<<12); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("page %d: %v; want %q", i, err, want)
				}
			}
		})
	}
}

// sparseFile makes a file of so many bytes with data at some places only.
func sparseFile(t *testing.T, size int64, data map[int64][]byte) *counted {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "dump"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for off, b := range data {
		if _, err := f.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Skipf("no file of %d bytes here: %v", size, err)
	}
	if start, err := f.Seek(1<<30, unix.SEEK_DATA); err == nil && start == 1<<30 {
		t.Skip("this filesystem doesn't know its holes")
	}
	return &counted{Sparse: kdumpfile.NewFile(f, 0, size), file: f}
}

// Holes of a sparse file cost nothing.
func TestHostileSparse(t *testing.T) {
	const size = 1 << 42
	head, bitmap, descs := hugeHead(1 << 37)
	flat := dumptest.Flatten(dumptest.FlatRecord{Data: head}, dumptest.FlatRecord{Offset: int64(len(head)), Data: make([]byte, 1)})
	binary.BigEndian.PutUint64(flat[4096+16+len(head)+8:], 1<<41) // in the hole
	for name, data := range map[string]map[int64][]byte{
		"no bitmap":            {0: head},
		"a bit":                {0: head, bitmap + 1<<34 + 1<<33: {1}},
		"flattened, all zero":  {0: flat[:4096]},
		"flattened, one hole":  {0: flat[:4096+16+len(head)+16], 4096 + 16 + int64(len(head)) + 16 + 1<<41: dumptest.Flatten()[4096:]},
		"flattened, no record": {0: flat[:4096+16+len(head)]},
	} {
		t.Run(name, func(t *testing.T) {
			f := sparseFile(t, size, data)
			if name == "flattened, all zero" || name == "flattened, no record" {
				if _, err := kdumpfile.Open(f); err == nil {
					t.Error("Open() gave no error")
				}
				f.few(t)
				return
			}
			d := costly(t, f)
			f.few(t)
			if name == "a bit" {
				if _, err := d.ReadPhysAt(make([]byte, 4096), (1<<36)<<12); err == nil || !strings.Contains(err.Error(), "was not written") {
					t.Errorf("the page of the bit: %v (descriptors at %#x)", err, descs)
				}
			}
		})
	}
}

// A file inside another has its holes at its own offsets.
func TestNextData(t *testing.T) {
	f := sparseFile(t, 1<<32, map[int64][]byte{1 << 20: {1}, 1 << 30: {1}})
	part := kdumpfile.NewFile(f.file, 1<<19, 1<<30)
	for _, tt := range []struct {
		off, start int64
		err        error
	}{{0, 1 << 19, nil}, {1 << 20, 1<<30 - 1<<19, nil}, {1 << 19, 1 << 19, nil}, {1 << 30, 0, io.EOF}, {1<<30 - 1<<19 + 1<<18, 0, io.EOF}} {
		start, end, err := part.NextData(tt.off)
		if start != tt.start || err != tt.err || err == nil && (end <= start || end > start+1<<18) {
			t.Errorf("NextData(%#x) = %#x, %#x, %v; want %#x, %v", tt.off, start, end, err, tt.start, tt.err)
		}
	}
}
