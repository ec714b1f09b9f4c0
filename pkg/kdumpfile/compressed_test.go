package kdumpfile_test

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// The encoders are used again: to make one takes longer than to use it.
var (
	zlibWriters = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}
	zstdWriters = sync.Pool{New: func() any {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<12))
		return w
	}}
)

// pack packs each page with another codec.
func pack(n int, page []byte) ([]byte, uint32) {
	var b bytes.Buffer
	switch n % 5 {
	case 0:
		return page, 0
	case 1:
		w := zlibWriters.Get().(*zlib.Writer)
		w.Reset(&b)
		w.Write(page)
		w.Close()
		zlibWriters.Put(w)
	case 2:
		b.Write(imagetest.LZO1X(page))
	case 3:
		b.Write(snappy.Encode(nil, page))
	case 4:
		w := zstdWriters.Get().(*zstd.Encoder)
		w.Reset(&b)
		w.Write(page)
		w.Close()
		zstdWriters.Put(w)
	}
	if b.Len() > len(page) {
		return page, 0
	}
	return b.Bytes(), []uint32{0, 1, 2, 4, 0x20}[n%5]
}

// machineName is what uname -m says on the machine of an Arch.
func machineName(a dumptest.Arch) string {
	names := map[string]string{"x86_64": "x86_64", "ppc64": "ppc64", "i386": "i686", "i386-pae": "i686", "arm": "armv7l", "ppc": "ppc"}
	return names[a.Name]
}

// testImage is a machine with a log and some memory with noise and zeroes.
func testImage(a dumptest.Arch) *dumptest.Core {
	m := dumptest.NewImage(a, "6.12.107")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 7, SizeBits: 13})
	for i := range 200 {
		r.Add(dumptest.Entry{Time: uint64(i) * 1e6, Text: fmt.Appendf(nil, "record %d of the log %s", i, strings.Repeat("-", i%60))}, dumptest.Finalized)
	}
	r.Store()
	m.Alloc(70000, 8)
	c := m.Core()
	noise := make([]byte, 3*65536)
	x := uint32(1)
	for i := range noise[:100000] {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	c.Loads = append(c.Loads, dumptest.Load{Phys: a.Phys&^0xffff + 0x800000, Data: noise})
	return c
}

func kdump(a dumptest.Arch, version int) *dumptest.KDump {
	align := 8
	if strings.HasPrefix(a.Name, "i386") {
		align = 4
	}
	base := a.Phys - (a.Virt - 0xffffffff80000000)
	if a.Name != "x86_64" {
		base = 0
	}
	return &dumptest.KDump{Core: testImage(a), Uname: machineName(a), Release: "6.12.107", Version: version,
		Word: a.Word, Align8: align, BlockSize: 4096, PhysBase: base, Pack: pack}
}

func open(t testing.TB, files ...[]byte) kdumpfile.Dump {
	t.Helper()
	d, err := tryOpen(files...)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return d
}

func tryOpen(files ...[]byte) (kdumpfile.Dump, error) {
	var readers []kdumpfile.File
	for _, b := range files {
		readers = append(readers, bytes.NewReader(b))
	}
	return kdumpfile.Open(readers...)
}

// checkMemory holds all memory of the machine against the dump.
func checkMemory(t *testing.T, d kdumpfile.Dump, c *dumptest.Core, excluded func(phys uint64) bool) {
	t.Helper()
	for _, l := range c.Loads {
		for off := 0; off < len(l.Data); off += 1000 {
			want := l.Data[off:min(off+1000, len(l.Data))]
			got := make([]byte, len(want))
			phys := l.Phys + uint64(off)
			n, err := d.ReadPhysAt(got, memmap.PhysAddr(phys))
			if excluded != nil && (excluded(phys) || excluded(phys+uint64(len(got))-1)) {
				if !errors.Is(err, kdumpfile.ErrExcluded) || !errors.Is(err, vmcore.ErrNotInDump) {
					t.Fatalf("ReadPhysAt(%#x) = %d, %v; want ErrExcluded", phys, n, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("ReadPhysAt(%#x) = %d, %v, equal %v", phys, n, err, bytes.Equal(got, want))
			}
		}
	}
}

// TestCompressed reads the dumps of each machine, by each version of the format.
func TestCompressed(t *testing.T) {
	for _, a := range dumptest.Archs {
		for version := 1; version <= 6; version++ {
			for _, variant := range []string{"", "one bitmap", "time64", "64 KiB", "excluded"} {
				if variant != "" && version%3 != 0 {
					continue // 3 and 6 are enough for these
				}
				t.Run(fmt.Sprint(a.Name, " v", version, " ", variant), func(t *testing.T) {
					k := kdump(a, version)
					var excluded func(uint64) bool
					switch variant {
					case "one bitmap":
						k.OneBitmap = true
					case "time64":
						k.Time64 = true
					case "64 KiB":
						k.BlockSize = 65536
					case "excluded":
						data := k.Core.Loads[1].Phys
						excluded = func(phys uint64) bool { return phys >= data && phys>>12%3 == 1 }
						k.Exclude = func(pfn uint64) bool { return excluded(pfn << 12) }
					}
					d := open(t, k.Bytes())
					checkMemory(t, d, k.Core, excluded)
					if d.Incomplete() || len(d.Damage()) != 0 {
						t.Errorf("Incomplete() = %v, Damage() = %v", d.Incomplete(), d.Damage())
					}
					if p := d.Platform(); p.Machine != a.Machine || p.Order != a.Order || p.Word != a.Word {
						t.Errorf("Platform() = %+v; want %v %v %d", p, a.Machine, a.Order, a.Word)
					}
					if n, err := d.ReadPhysAt(make([]byte, 10), 0x7fff0000); n != 0 || !errors.Is(err, vmcore.ErrNotInDump) || errors.Is(err, kdumpfile.ErrExcluded) {
						t.Errorf("ReadPhysAt(where there is no memory) = %d, %v; want ErrNotInDump", n, err)
					}
					h := d.(*kdumpfile.Compressed).Header
					if h.Version != version || h.Pages != k.MaxPage() || h.DumpLevel != 31 || h.Uname.Release != "6.12.107" || h.Time.Unix() != 1700000000 || h.CPUs != 1 {
						t.Errorf("Header = %+v", h)
					}
					if _, err := d.VMCoreInfo(); version < 3 {
						if !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
							t.Errorf("VMCoreInfo() = %v; want ErrNoVMCoreInfo before version 3", err)
						}
						return
					}
					if got, want := len(d.Notes()), 2; version >= 4 && got != want {
						t.Errorf("%d notes; want %d", got, want)
					} else if version >= 4 {
						b, err := io.ReadAll(d.NoteData(&d.Notes()[1]))
						if err != nil || !bytes.Equal(b, k.Core.Notes[1].Desc) {
							t.Errorf("NoteData() = %.40q, %v", b, err)
						}
					}
					if got, want := dumptest.LogText(t, d), dumptest.LogText(t, open(t, k.Core.Bytes())); got != want {
						t.Errorf("the log = %.200q; in the ELF dump %.200q", got, want)
					}
				})
			}
		}
	}
}

// TestARMBase reads dumps of ARM machines whose memory begins elsewhere than at 0: makedumpfile
// counts pages from there, QEMU from 0.
func TestARMBase(t *testing.T) {
	for _, relative := range []bool{true, false} {
		for _, a := range dumptest.Archs {
			if a.Name != "arm" {
				continue
			}
			a.Phys += 0x60000000
			k := kdump(a, 6)
			if k.PhysBase = 0x60000000; relative {
				k.BasePage = 0x60000
			}
			d := open(t, k.Bytes())
			checkMemory(t, d, k.Core, nil)
			if got, want := dumptest.LogText(t, d), dumptest.LogText(t, open(t, k.Core.Bytes())); got != want {
				t.Errorf("relative %v: the log = %.200q; in the ELF dump %.200q", relative, got, want)
			}
		}
	}
}

// TestMachineNames reads dumps as QEMU's dump-guest-memory makes them: the machine's name is in
// capitals, or isn't there, and pages may have 64 KiB where the kernel's have 4.
func TestMachineNames(t *testing.T) {
	for _, tt := range []struct {
		uname   string
		machine elf.Machine
		order   binary.ByteOrder
		virt    uint64
		lines   []string
	}{
		{"Unknown", elf.EM_AARCH64, binary.LittleEndian, 0xffffa1b2c0010000,
			[]string{"SYMBOL(_stext)=ffffa1b2c0010000", "NUMBER(VA_BITS)=48", "NUMBER(kimage_voffset)=0xffffa1b240000000", "NUMBER(PHYS_OFFSET)=0x80000000"}},
		{"Unknown", elf.EM_RISCV, binary.LittleEndian, 0xffffffff80010000,
			[]string{"NUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000", "NUMBER(va_kernel_pa_offset)=0xffffffff00000000"}},
		{"S390X", elf.EM_S390, binary.BigEndian, 0x80010000, nil},
		{"X86_64", elf.EM_X86_64, binary.LittleEndian, 0xffffffff81010000, []string{"NUMBER(phys_base)=2130706432"}},
	} {
		m := dumptest.NewImage(dumptest.Arch{Class: elf.ELFCLASS64, Order: tt.order, Machine: tt.machine, Word: 8, Align64: 8, Virt: tt.virt, Phys: 0x80010000}, "6.12.107")
		for _, line := range tt.lines {
			m.Line("%s", line)
		}
		r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 4, SizeBits: 10})
		r.Add(dumptest.Entry{Text: []byte("last words")}, dumptest.Finalized)
		r.Store()
		k := &dumptest.KDump{Core: m.Core(), Uname: tt.uname, Version: 6, Word: 8, Align8: 8, BlockSize: 65536, Pack: pack}
		d := open(t, dumptest.FlattenFile(k.Bytes(), 16384))
		if p := d.Platform(); p.Machine != tt.machine || p.Word != 8 || p.Order != tt.order {
			t.Errorf("%s: Platform() = %+v; want %v", tt.uname, p, tt.machine)
		}
		if got := dumptest.LogText(t, d); got != "[    0.000000] last words\n" {
			t.Errorf("%s %v: the log = %q", tt.uname, tt.machine, got)
		}
	}
}

// TestSplit joins the parts of a dump.
func TestSplit(t *testing.T) {
	var parts [][]byte
	k := kdump(dumptest.Archs[0], 6)
	bounds := []uint64{0, 0, 0x3003, 0x3017, 0x3804, k.MaxPage(), k.MaxPage()}
	k.Split = true
	for i := range bounds[:len(bounds)-1] {
		k.Start, k.End = bounds[i], bounds[i+1]
		parts = append(parts, k.Bytes())
	}
	other := kdump(dumptest.Archs[0], 6)
	other.Release, other.Split, other.Start, other.End = "6.1.0", true, 0x3003, 0x3017
	whole := kdump(dumptest.Archs[0], 6).Bytes()
	reversed := [][]byte{parts[4], parts[3], parts[2], parts[1], parts[0]}
	for _, tt := range []struct {
		name  string
		files [][]byte
		want  string
	}{
		{"all", parts, ""},
		{"in any order", append(reversed, parts[5]), ""},
		{"flattened", [][]byte{dumptest.FlattenFile(parts[1], 5000), parts[2], parts[3], parts[4]}, ""},
		{"one", parts[2:3], "part of a split dump: no file has the pages 0x0 to 0x3003 of "},
		{"without the last", parts[:4], "part of a split dump: no file has the pages 0x3804 to "},
		{"one twice", append([][]byte{parts[2]}, parts...), "two files have page 0x3003"},
		{"of another dump", [][]byte{parts[1], other.Bytes(), parts[3], parts[4]}, "different dumps"},
		{"a whole dump", [][]byte{parts[1], whole}, "a file is a whole dump"},
		{"an ELF dump", [][]byte{parts[1], k.Core.Bytes()}, "file 2 of 2 is a whole dump"},
		{"something else", [][]byte{parts[1], []byte("text and more text")}, "file 2 of 2: not a dump of a known format"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tryOpen(tt.files...)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.HasPrefix(tt.want, "part") && !errors.Is(err, kdumpfile.ErrSplit) {
					t.Errorf("Open() = %v; want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("Open() = %v", err)
			}
			checkMemory(t, d, k.Core, nil)
			if d.Incomplete() {
				t.Errorf("Incomplete(); Damage() = %v", d.Damage())
			}
			if got, want := dumptest.LogText(t, d), dumptest.LogText(t, open(t, k.Core.Bytes())); got != want {
				t.Errorf("the log = %.200q; in the ELF dump %.200q", got, want)
			}
		})
	}
}
