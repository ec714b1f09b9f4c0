package kcore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

// sysrootX86 is a machine with CPUs 0, 2 and 10.
func sysrootX86() sysroot {
	return sysroot{fstest.MapFS{
		"proc/iomem":                                    file(iomemX86),
		"sys/kernel/vmcoreinfo":                         file("0x0000000100c66000 1024\n"),
		"sys/devices/system/cpu/cpu0/crash_notes":       file("1f001000\n"),
		"sys/devices/system/cpu/cpu0/crash_notes_size":  file("504\n"),
		"sys/devices/system/cpu/cpu10/crash_notes":      file("13ff01000\n"),
		"sys/devices/system/cpu/cpu10/crash_notes_size": file("504\n"),
		"sys/devices/system/cpu/cpu2/crash_notes":       file("1f003000\n"),
		"sys/devices/system/cpu/cpu3/online":            file("0\n"), // going away
		"sys/devices/system/cpu/cpufreq/policy0":        file("\n"),
		"sys/devices/system/cpu/possible":               file("0-63\n"),
	}, kcoreX86()}
}

func mustBuild(t testing.TB, root fs.FS, opt elfcore.BuildOptions) *elfcore.Header {
	t.Helper()
	m, err := ReadMachine(root)
	if err != nil {
		t.Fatal(err)
	}
	h, err := m.Header(opt)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const directX86 = 0xffff9a4540000000

func load(phys memmap.PhysAddr, virt, size uint64) elfcore.Load {
	return elfcore.Load{Phys: phys, Virt: virt, Offset: uint64(phys), FileSize: size, MemSize: size, Flags: elf.PF_R | elf.PF_W | elf.PF_X}
}

func ram(start, end memmap.PhysAddr) elfcore.Load {
	return load(start, directX86+uint64(start), uint64(end-start))
}

func TestBuild(t *testing.T) {
	text := load(0x2200000, 0xffffffff9f200000, 0x3700000)
	backup := &elfcore.Backup{Source: memmap.Range{Start: 0x1000, End: 0x9fc00}, Dest: 0x1cf60000}
	saved := ram(0x1000, 0x9fc00)
	saved.Offset = 0x1cf60000
	tests := []struct {
		name  string
		files map[string]string
		opt   elfcore.BuildOptions
		want  []elfcore.Load
	}{
		{"plain", nil, elfcore.BuildOptions{}, []elfcore.Load{
			text, ram(0x1000, 0x9fc00), ram(0x100000, 0x15000000), ram(0x1d000000, 0x1ffe0000), ram(0x100000000, 0x140000000),
		}},
		{"as the kernel", nil, elfcore.BuildOptions{Exclude: elfcore.LowMiB()}, []elfcore.Load{
			text, ram(0x100000, 0x15000000), ram(0x1d000000, 0x1ffe0000), ram(0x100000000, 0x140000000),
		}},
		{"backup", nil, elfcore.BuildOptions{Backup: backup}, []elfcore.Load{
			text, saved, ram(0x100000, 0x15000000), ram(0x1d000000, 0x1ffe0000), ram(0x100000000, 0x140000000),
		}},
		{"CMA", map[string]string{cmaPath: "10000000-13ffffff\n110000000-110000fff\n"}, elfcore.BuildOptions{Exclude: elfcore.LowMiB()}, []elfcore.Load{
			text, ram(0x100000, 0x10000000), ram(0x14000000, 0x15000000), ram(0x1d000000, 0x1ffe0000),
			ram(0x100000000, 0x110000000), ram(0x110001000, 0x140000000),
		}},
		{"CMA under the old name", map[string]string{cmaOldPath: "10000000-13ffffff\n"}, elfcore.BuildOptions{Exclude: elfcore.LowMiB()}, []elfcore.Load{
			text, ram(0x100000, 0x10000000), ram(0x14000000, 0x15000000), ram(0x1d000000, 0x1ffe0000), ram(0x100000000, 0x140000000),
		}},
		{"low crash kernel, GART, adjacent ranges", map[string]string{"proc/iomem": `00100000-1fffffff : System RAM
  02200000-03ffffff : Kernel code
  15000000-1cffffff : Crash kernel
  1e000000-1effffff : GART
100000000-13fffffff : System RAM
  130000000-13fffffff : Crash kernel
140000000-14fffffff : System RAM
150000000-15fffffff : System RAM (virtio_mem)
`}, elfcore.BuildOptions{}, []elfcore.Load{
			text, ram(0x100000, 0x15000000), ram(0x1d000000, 0x1e000000), ram(0x1f000000, 0x20000000),
			ram(0x100000000, 0x130000000), ram(0x140000000, 0x160000000),
		}},
		{"backup within a range", nil, elfcore.BuildOptions{
			Exclude: elfcore.LowMiB(), Backup: &elfcore.Backup{Source: memmap.Range{Start: 0x200000, End: 0x300000}, Dest: 0x1c000000},
		}, []elfcore.Load{
			text, ram(0x100000, 0x200000),
			{Phys: 0x200000, Virt: directX86 + 0x200000, Offset: 0x1c000000, FileSize: 1 << 20, MemSize: 1 << 20, Flags: elf.PF_R | elf.PF_W | elf.PF_X},
			ram(0x300000, 0x15000000), ram(0x1d000000, 0x1ffe0000), ram(0x100000000, 0x140000000),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := sysrootX86()
			for name, text := range tt.files {
				root.MapFS[name] = file(text)
			}
			want := &elfcore.Header{
				Machine: elf.EM_X86_64, Class: elf.ELFCLASS64, Order: binary.LittleEndian,
				CPUNotes:   []elfcore.NoteRange{{Addr: 0x1f001000, Size: 504}, {Addr: 0x1f003000, Size: 1024}, {Addr: 0x13ff01000, Size: 504}},
				VMCoreInfo: elfcore.NoteRange{Addr: 0x100c66000, Size: 0x1024},
				Loads:      tt.want,
			}
			if got := mustBuild(t, root, tt.opt); !reflect.DeepEqual(got, want) {
				t.Errorf("Build(%+v) =\n%#x; want\n%#x", tt.opt, got, want)
			}
		})
	}
}

// A 32-bit machine has memory that isn't in the direct map.
func TestBuildHighMemory(t *testing.T) {
	m := &Machine{
		Iomem:      mustIomem(t, "80000000-bfffffff : System RAM\n  88000000-8bffffff : Crash kernel\n"),
		VMCoreInfo: elfcore.NoteRange{Addr: 0x80001000, Size: 0x1024},
		Map: &elfcore.KernelMap{
			Machine: elf.EM_ARM, Class: elf.ELFCLASS32, Order: binary.LittleEndian, Direct: 0x40000000, LowEnd: 0xb0000000,
		},
	}
	h, err := m.Header(elfcore.BuildOptions{Backup: &elfcore.Backup{Source: memmap.Range{Start: 0xb8000000, End: 0xb9000000}, Dest: 0x88000000}})
	if err != nil {
		t.Fatal(err)
	}
	moved := load(0xb8000000, 0xffffffff, 0x1000000)
	moved.Offset = 0x88000000
	want := []elfcore.Load{
		load(0x80000000, 0xc0000000, 0x8000000), load(0x8c000000, 0xcc000000, 0x24000000),
		load(0xb0000000, 0xffffffff, 0x8000000), moved, load(0xb9000000, 0xffffffff, 0x7000000),
	}
	if !reflect.DeepEqual(h.Loads, want) {
		t.Errorf("Loads = %#x; want %#x", h.Loads, want)
	}
	if _, err := h.AppendBinary(nil); err != nil {
		t.Error(err)
	}
}

func TestReadMachineErrors(t *testing.T) {
	tests := []struct {
		name, path, text string // an empty text removes the file
		wantIs           error
		wantErr          string
	}{
		{"no iomem", "proc/iomem", "", fs.ErrNotExist, "/proc/iomem"},
		{"hidden", "proc/iomem", "00000000-00000000 : System RAM\n", memmap.ErrAddressesHidden, "/proc/iomem"},
		{"no vmcoreinfo", vmcoreinfoPath, "", fs.ErrNotExist, "/sys/kernel/vmcoreinfo"},
		{"vmcoreinfo", vmcoreinfoPath, "0x1000\n", nil, `"0x1000" is not an address and a size`},
		{"vmcoreinfo of size 0", vmcoreinfoPath, "0x1000 0\n", nil, "is not an address and a size"},
		{"notes", cpuDir + "/cpu2/crash_notes", "0x1000\n", nil, "/sys/devices/system/cpu/cpu2/crash_notes: \"0x1000\" is not a number of base 16"},
		{"notes size", cpuDir + "/cpu0/crash_notes_size", "1f8\n", nil, "is not a number of base 10"},
		{"CMA", cmaPath, "2000-1000\n", nil, `"2000-1000" is not a range`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := sysrootX86()
			root.MapFS[tt.path] = file(tt.text)
			if tt.text == "" {
				delete(root.MapFS, tt.path)
			}
			m, err := ReadMachine(root)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || tt.wantIs != nil && !errors.Is(err, tt.wantIs) {
				t.Errorf("ReadMachine = %v, %v; want %v, %q", m, err, tt.wantIs, tt.wantErr)
			}
		})
	}
	root := sysrootX86()
	for name := range root.MapFS {
		if strings.Contains(name, "crash_notes") {
			delete(root.MapFS, name)
		}
	}
	if _, err := ReadMachine(root); !errors.Is(err, ErrNoCrashNotes) {
		t.Errorf("ReadMachine without crash_notes = %v; want ErrNoCrashNotes", err)
	}
}

func TestReadVMCoreInfoOldFormat(t *testing.T) {
	root := fstest.MapFS{vmcoreinfoPath: file("1e2d000 1024\n")}
	if got, err := readVMCoreInfoNote(root); got != (elfcore.NoteRange{Addr: 0x1e2d000, Size: 0x1024}) || err != nil {
		t.Errorf("readVMCoreInfoNote = %v, %v; want 0x1e2d000, 0x1024", got, err)
	}
}

func TestBuildErrors(t *testing.T) {
	root := sysrootX86()
	root.kcore = nil
	m, err := ReadMachine(root)
	if err != nil || m.Map != nil || !errors.Is(m.MapErr, ErrKcoreUnreadable) {
		t.Fatalf("ReadMachine without kcore = %+v, %v; want MapErr to be ErrKcoreUnreadable", m, err)
	}
	if _, err := m.Header(elfcore.BuildOptions{}); !errors.Is(err, ErrKcoreUnreadable) {
		t.Errorf("Build without a map = %v; want ErrKcoreUnreadable", err)
	}
	m.Map = &elfcore.KernelMap{Machine: elf.EM_X86_64, Class: elf.ELFCLASS64, Order: binary.LittleEndian}
	if _, err := m.Header(elfcore.BuildOptions{}); !errors.Is(err, elfcore.ErrNoKernelText) {
		t.Errorf("Build without kernel text = %v; want ErrNoKernelText", err)
	}
	m.Map.Text = load(0x2200000, 0xffffffff81000000, 0x1000)
	m.Iomem = manyRanges(65534)
	if _, err := m.Header(elfcore.BuildOptions{}); !errors.Is(err, elfcore.ErrTooManyRanges) {
		t.Errorf("Build of 65534 ranges = %v; want ErrTooManyRanges", err)
	}
}

func manyRanges(n int) *memmap.Iomem {
	m := new(memmap.Iomem)
	for i := range n {
		start := memmap.PhysAddr(i) << 28
		m.Resources = append(m.Resources, &memmap.Resource{Start: start, Last: start + 1<<27 - 1, Name: "System RAM"})
	}
	return m
}

func TestHotplugSegmentSize(t *testing.T) {
	tests := []struct{ size, page, want uint64 }{
		{917616, 4096, 921600}, // 6.12 x86_64; 224 whole pages and more with the ELF header
		{458928, 65536, 458752 + 65536},
		{4096 - 64, 4096, 4096},
		{4096 - 63, 4096, 8192},
	}
	for _, tt := range tests {
		if got := elfcore.HotplugSegmentSize(tt.size, tt.page); got != tt.want {
			t.Errorf("elfcore.HotplugSegmentSize(%d, %d) = %d; want %d", tt.size, tt.page, got, tt.want)
		}
	}
}

// FuzzBuild holds the header of a random machine, as debug/elf reads it,
// against a bitmap of its memory, a bit per 64 KiB.
func FuzzBuild(f *testing.F) {
	f.Add([]byte{0xff, 0x0f, 0xf3, 0x80, 0x01, 0xff, 0x55}, []byte{0x10, 0x00, 0x02}, uint8(4), uint8(9), uint8(3))
	f.Fuzz(func(t *testing.T, ramBits, crashBits []byte, from, to, cpus uint8) {
		const unit = 1 << 16
		bit := func(b []byte, i int) bool { return i/8 < len(b) && b[i/8]>>(i%8)&1 != 0 }
		in := func(i int) bool { return i >= int(from) && i < int(to) }
		ramBits = ramBits[:min(len(ramBits), 64)]
		m := &Machine{
			Iomem: new(memmap.Iomem), VMCoreInfo: elfcore.NoteRange{Addr: 1, Size: 2},
			Map: &elfcore.KernelMap{Machine: elf.EM_PPC64, Class: elf.ELFCLASS64, Order: binary.BigEndian, Direct: 0xc000000000000000},
		}
		for i := range int(cpus) {
			m.CPUs = append(m.CPUs, CPUNotes{i, elfcore.NoteRange{Addr: memmap.PhysAddr(i) << 12, Size: 504}})
		}
		for i := range 8 * len(ramBits) {
			r := &memmap.Resource{Start: memmap.PhysAddr(i) * unit, Last: memmap.PhysAddr(i)*unit + unit - 1, Name: "System RAM"}
			if bit(ramBits, i) {
				m.Iomem.Resources = append(m.Iomem.Resources, r)
			}
			if bit(crashBits, i) {
				m.CMA = append(m.CMA, r.Range())
			}
		}
		const dest = 1 << 40
		backup := &elfcore.Backup{Source: memmap.Range{Start: memmap.PhysAddr(from) * unit, End: memmap.PhysAddr(to) * unit}, Dest: dest}
		h, err := m.Header(elfcore.BuildOptions{Backup: backup})
		if err != nil {
			t.Fatal(err)
		}
		b, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		file, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		source := make(map[int]uint64) // unit to the address it is read from
		for _, p := range file.Progs {
			if p.Type != elf.PT_LOAD {
				continue
			}
			if p.Vaddr != p.Paddr+m.Map.Direct {
				t.Errorf("segment at %#x has virtual address %#x", p.Paddr, p.Vaddr)
			}
			for off := uint64(0); off < p.Memsz; off += unit {
				i := int((p.Paddr + off) / unit)
				if _, twice := source[i]; twice {
					t.Errorf("memory at %#x is in two segments", p.Paddr+off)
				}
				source[i] = p.Off + off
			}
		}
		for i := range 8 * len(ramBits) {
			got, ok := source[i]
			want := uint64(i) * unit
			if in(i) {
				want = dest + uint64(i-int(from))*unit
			}
			if ok != (bit(ramBits, i) && !bit(crashBits, i)) || ok && got != want {
				t.Errorf("memory at %#x: in the header %v, read from %#x; want %#x", i*unit, ok, got, want)
			}
		}
		if n := len(file.Progs) - len(h.Loads); n != int(cpus)+1 {
			t.Errorf("%d PT_NOTEs; want %d", n, int(cpus)+1)
		}
		if ds := elfcore.Diff(h, h, memmap.Set{}); len(ds) != 0 {
			t.Errorf("elfcore.Diff with itself = %v", ds)
		}
		if !slices.IsSortedFunc(h.Loads, func(a, b elfcore.Load) int { return int(a.Phys/unit) - int(b.Phys/unit) }) {
			t.Errorf("segments are not ascending: %v", h.Loads)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{16, 256, 2048, 8192, 32768} {
		m := &Machine{
			Iomem: manyRanges(n), VMCoreInfo: elfcore.NoteRange{Addr: 1, Size: 2}, CMA: []memmap.Range{{Start: 1 << 20, End: 1 << 21}},
			Map: &elfcore.KernelMap{Machine: elf.EM_PPC64, Class: elf.ELFCLASS64, Order: binary.LittleEndian},
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, err := m.Header(elfcore.BuildOptions{Exclude: elfcore.LowMiB()})
				if err != nil {
					b.Fatal(err)
				}
				text, err := h.AppendBinary(nil)
				if err != nil {
					b.Fatal(err)
				}
				read, err := elfcore.ParseHeader(text)
				if err != nil || len(elfcore.Diff(read, h, memmap.Set{})) != 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
