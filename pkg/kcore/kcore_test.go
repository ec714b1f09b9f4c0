package kcore

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func TestKcoreMap(t *testing.T) {
	none := memmap.PhysAddr(math.MaxUint64)
	const iomemARM64 = "40000000-7fffffff : System RAM\n  40210000-41b3ffff : Kernel code\n  42450000-4286ffff : Kernel data\n"
	tests := []struct {
		name   string
		iomem  string
		kcore  *fakeKcore
		direct uint64
		lowEnd memmap.PhysAddr
		text   elfcore.Load
		mapped string
		virt   map[memmap.PhysAddr]uint64
	}{
		{
			name: "x86", iomem: iomemX86, kcore: kcoreX86(),
			direct: 0xffff9a4540000000, text: load(0x2200000, 0xffffffff9f200000, 0x3700000),
			mapped: "[0x1000-0x9f000) [0x100000-0x1ffe0000) [0x100000000-0x140000000)",
			virt:   map[memmap.PhysAddr]uint64{0x100000000: 0xffff9a4640000000},
		},
		{
			name: "x86 before 4.11", iomem: iomemX86,
			kcore: &fakeKcore{machine: elf.EM_X86_64, loads: []elfcore.Load{
				kcoreLoad(0, 0xffffffffa0000000, 0x5f000000), // modules
				kcoreLoad(0, 0xffffffff82200000, 0x3700000),  // text
				kcoreLoad(0, 0xffffc90000000000, 0x1fffffffffff),
				kcoreLoad(0, 0xffff880000001000, 0x9e000),
				kcoreLoad(0, 0xffff880000100000, 0x1fee0000),
				kcoreLoad(0, 0xffffea0000000000, 0x800000),
				kcoreLoad(0, 0xffff880100000000, 0x40000000),
				kcoreLoad(0, 0xffffffffff600000, 0x1000), // vsyscall
			}},
			direct: 0xffff880000000000, text: load(0x2200000, 0xffffffff82200000, 0x3700000),
			mapped: "[0x1000-0x9f000) [0x100000-0x1ffe0000) [0x100000000-0x140000000)",
		},
		{
			name: "arm64, _text below Kernel code", iomem: iomemARM64,
			kcore: &fakeKcore{machine: elf.EM_AARCH64, loads: []elfcore.Load{
				kcoreLoad(0x40200000, 0xffffd5e6a1c00000, 0x2670000),
				kcoreLoad(none, 0xffff800080000000, 0x7dfff0000000),
				kcoreLoad(0x40000000, 0xffff7bca00000000, 0x40000000),
			}},
			direct: 0xffff7bc9c0000000, text: load(0x40200000, 0xffffd5e6a1c00000, 0x2670000),
			mapped: "[0x40000000-0x80000000)",
			virt:   map[memmap.PhysAddr]uint64{0x40000000: 0xffff7bca00000000, 0x880000000: 0xffff7bd240000000},
		},
		{
			name:  "ppc64 big endian, no text mapping",
			iomem: "00000000-3fffffff : System RAM\n  00000000-018effff : Kernel code\n",
			kcore: &fakeKcore{machine: elf.EM_PPC64, order: binary.BigEndian, loads: []elfcore.Load{
				kcoreLoad(none, 0xc008000000000000, 0x100000), kcoreLoad(0, 0xc000000000000000, 0x40000000),
				kcoreLoad(0x40000000, 0xc000000040000000, 0x10000000), // removed meanwhile
			}},
			direct: 0xc000000000000000, mapped: "[0x0-0x40000000)",
		},
		{
			name:  "ppc64le, all of RAM in one segment at 0",
			iomem: "00000000-3fffffff : System RAM\n40000000-4fffffff : System RAM\n",
			kcore: &fakeKcore{machine: elf.EM_PPC64, order: binary.LittleEndian, loads: []elfcore.Load{
				kcoreLoad(none, 0xc008000000000000, 0x100000), kcoreLoad(0, 0xc000000000000000, 0x50000000),
			}},
			direct: 0xc000000000000000, mapped: "[0x0-0x50000000)",
		},
		{
			name:  "riscv without a segment for the text",
			iomem: "80080000-bfffffff : System RAM\n  80200000-823fffff : Kernel image\n    80202000-80f6afff : Kernel code\n",
			kcore: &fakeKcore{machine: elf.EM_RISCV, loads: []elfcore.Load{
				kcoreLoad(none, 0xff20000000000000, 0x3fffffffffffff), kcoreLoad(0x80080000, 0xff60000000080000, 0x3ff80000),
			}, notes: vmcoreinfoNote("OSRELEASE=6.6.0\nPAGESIZE=4096\nNUMBER(va_kernel_pa_offset)=0xffffffff00000000\n")},
			direct: 0xff5fffff80000000, text: load(0x80200000, 0xffffffff80200000, 0x2200000),
			mapped: "[0x80080000-0xc0000000)",
		},
		{
			name:  "arm with high memory",
			iomem: "80000000-bfffffff : System RAM\n  80208000-80bfffff : Kernel code\n",
			kcore: &fakeKcore{machine: elf.EM_ARM, class: elf.ELFCLASS32, loads: []elfcore.Load{
				kcoreLoad(0xffffffff, 0xf0800000, 0xf000000), kcoreLoad(0x80000000, 0xc0000000, 0x30000000),
			}},
			direct: 0x40000000, lowEnd: 0xb0000000, mapped: "[0x80000000-0xb0000000)",
			virt: map[memmap.PhysAddr]uint64{0x80001000: 0xc0001000, 0xb0000000: 0xffffffff, 0x880000000: 0xffffffff},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := NewKcore(tt.kcore.build(), mustIomem(t, tt.iomem))
			if err != nil {
				t.Fatal(err)
			}
			if k.Map.Machine != tt.kcore.machine || k.Map.Class != tt.kcore.class || k.Map.Order != tt.kcore.order {
				t.Errorf("Map = %+v; want that of %+v", k.Map, tt.kcore)
			}
			if k.Map.Direct != tt.direct || k.Map.LowEnd != tt.lowEnd {
				t.Errorf("Direct, LowEnd = %#x, %v; want %#x, %v", k.Map.Direct, k.Map.LowEnd, tt.direct, tt.lowEnd)
			}
			if k.Map.Text != tt.text {
				t.Errorf("Text = %#x; want %#x", k.Map.Text, tt.text)
			}
			if got := k.Mapped().String(); got != tt.mapped {
				t.Errorf("Mapped() = %v; want %v", got, tt.mapped)
			}
			for a, want := range tt.virt {
				if got := k.Map.Virt(a); got != want {
					t.Errorf("Virt(%v) = %#x; want %#x", a, got, want)
				}
			}
		})
	}
}

func TestKcoreErrors(t *testing.T) {
	ram := kcoreLoad(0x1000, 0xffff888000001000, 0x9e000)
	tests := []struct {
		name    string
		kcore   io.ReaderAt
		wantIs  error
		wantErr string
	}{
		{"empty", strings.NewReader(""), ErrKcoreUnreadable, ""},
		{"not ELF", strings.NewReader(strings.Repeat("x", 100)), elfcore.ErrNotCore, ""},
		{"cut headers", strings.NewReader(string(kcoreX86().head[:200])), io.ErrUnexpectedEOF, "program headers 0 to 7 of 8"},
		{"no RAM", (&fakeKcore{machine: elf.EM_X86_64}).build(), ErrNoDirectMap, ""},
		{"no RAM of iomem", (&fakeKcore{machine: elf.EM_X86_64, loads: []elfcore.Load{kcoreLoad(1<<40, 1<<63, 4096)}}).build(), ErrNoDirectMap, ""},
		{"no addresses on arm64", (&fakeKcore{machine: elf.EM_AARCH64, loads: []elfcore.Load{kcoreLoad(0, 1<<63, 4096)}}).build(), ErrNoDirectMap, "none of 1 segments"},
		{"fine", (&fakeKcore{machine: elf.EM_X86_64, loads: []elfcore.Load{ram}}).build(), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewKcore(tt.kcore, mustIomem(t, iomemX86))
			if !errors.Is(err, tt.wantIs) || tt.wantIs != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("NewKcore = %v; want %v, %q", err, tt.wantIs, tt.wantErr)
			}
		})
	}
}

func TestOpenKcoreErrors(t *testing.T) {
	iomem := mustIomem(t, iomemX86)
	_, err := OpenKcore(fstest.MapFS{}, iomem)
	if !errors.Is(err, ErrKcoreUnreadable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenKcore without a kcore = %v; want ErrKcoreUnreadable and fs.ErrNotExist", err)
	}
	_, err = OpenKcore(noReadAt{}, iomem)
	if !errors.Is(err, ErrKcoreUnreadable) || !strings.Contains(err.Error(), "no ReadAt") {
		t.Errorf("OpenKcore of a file without ReadAt = %v; want ErrKcoreUnreadable that says so", err)
	}
}

type noReadAt struct{}

func (noReadAt) Open(string) (fs.File, error) {
	f := kcoreFile{}
	return struct{ fs.File }{f}, nil
}

func TestKcoreReadPhysAt(t *testing.T) {
	fake := kcoreX86()
	fake.put(0x9effe, []byte{1, 2}) // the last bytes before a hole
	fake.put(0x100000, []byte{3, 4})
	k, err := NewKcore(fake, mustIomem(t, iomemX86))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		addr    memmap.PhysAddr
		want    []byte
		wantErr error
	}{
		{0x9effd, []byte{0, 1, 2}, nil},
		{0x9effe, []byte{1, 2, 0}, ErrNotMapped},
		{0x100000, []byte{3, 4, 0}, nil},
		{0xfff, []byte{0}, ErrNotMapped},
		{0x13fffffff, []byte{0}, nil},
		{0x140000000, []byte{0}, ErrNotMapped},
		{math.MaxUint64, []byte{0, 0}, ErrNotMapped},
	}
	for _, tt := range tests {
		b := make([]byte, len(tt.want))
		n, err := k.ReadPhysAt(b, tt.addr)
		if !errors.Is(err, tt.wantErr) || !slices.Equal(b, tt.want) || err == nil && n != len(b) {
			t.Errorf("ReadPhysAt(%v) = %d, % x, %v; want % x, %v", tt.addr, n, b, err, tt.want, tt.wantErr)
		}
	}
}

// Above 65535 segments, e_phnum of /proc/kcore is cut to 16 bits.
func TestKcoreManySegments(t *testing.T) {
	for _, n := range []int{65535, 70000} {
		fake := &fakeKcore{machine: elf.EM_X86_64}
		var iomem memmap.Iomem
		for i := range n {
			r := memmap.PhysAddr(i) << 28
			fake.loads = append(fake.loads, kcoreLoad(r, 0xff11000000000000+uint64(r), 1<<27))
			iomem.Resources = append(iomem.Resources, &memmap.Resource{Start: r, Last: r + 1<<27 - 1, Name: "System RAM"})
		}
		k, err := NewKcore(fake.build(), &iomem)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Mapped().Len(); got != n || k.Map.Direct != 0xff11000000000000 {
			t.Errorf("kcore of %d segments has %d, direct map %#x", n, got, k.Map.Direct)
		}
		if want := n/1024 + 4; fake.reads > want {
			t.Errorf("kcore of %d segments took %d reads; want at most %d", n, fake.reads, want)
		}
	}
}

func TestKcoreVMCoreInfo(t *testing.T) {
	fake := kcoreX86()
	k, err := NewKcore(fake, mustIomem(t, iomemX86))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := k.VMCoreInfo(); !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
		t.Errorf("VMCoreInfo without a note = %v, %v; want vmcore.ErrNoVMCoreInfo", v, err)
	}
	fake.notes = vmcoreinfoNote("OSRELEASE=6.12.0\nPAGESIZE=4096\nNUMBER(phys_base)=35651584\n")
	if k, err = NewKcore(fake.build(), mustIomem(t, iomemX86)); err != nil {
		t.Fatal(err)
	}
	v, err := k.VMCoreInfo()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := v.Number("phys_base"); n != 35651584 || !ok {
		t.Errorf("NUMBER(phys_base) = %d, %v; want 35651584", n, ok)
	}
}

// vmcoreinfoNote returns an ELF note with the text.
func vmcoreinfoNote(text string) []byte {
	note := binary.LittleEndian.AppendUint32(nil, 11)
	note = binary.LittleEndian.AppendUint32(note, uint32(len(text)))
	note = append(note, "\x00\x00\x00\x00VMCOREINFO\x00\x00"+text...)
	return append(note, make([]byte, 4-len(text)%4)...)
}

// FuzzKcore: whatever is accepted, reads stay within the segments, and the
// direct map is the one that most of RAM has.
func FuzzKcore(f *testing.F) {
	f.Add(kcoreX86().head, uint64(0x100000))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		iomem := mustIomem(t, iomemX86)
		k, err := NewKcore(strings.NewReader(string(b)), iomem)
		if err != nil {
			return
		}
		mapped := k.Mapped()
		if mapped.Intersect(iomem.SystemRAM()).Empty() {
			t.Errorf("Mapped() = %v has no RAM", mapped)
		}
		buf := make([]byte, 16)
		n, err := k.ReadPhysAt(buf, memmap.PhysAddr(addr))
		if r, ok := memmap.RangeOf(memmap.PhysAddr(addr), uint64(n)); !ok || !mapped.Contains(r) || n < len(buf) && err == nil {
			t.Errorf("ReadPhysAt(%#x) = %d, %v; mapped are %v", addr, n, err, mapped)
		}
		if i := slices.IndexFunc(k.ram, func(l elfcore.Load) bool { return k.Map.Virt(l.Phys) != l.Virt }); i >= 0 {
			t.Errorf("Virt(%v) = %#x; want %#x", k.ram[i].Phys, k.Map.Virt(k.ram[i].Phys), k.ram[i].Virt)
		}
	})
}
