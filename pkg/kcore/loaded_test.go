package kcore

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// bytesOf returns the encoded header, with the changes made to it.
func bytesOf(t testing.TB, h *elfcore.Header) []byte {
	t.Helper()
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func header64() *elfcore.Header {
	return &elfcore.Header{
		Machine: elf.EM_X86_64, Order: binary.LittleEndian, Class: elf.ELFCLASS64,
		CPUNotes:   []elfcore.NoteRange{{Addr: 0x1f001000, Size: 0x1f8}},
		VMCoreInfo: elfcore.NoteRange{Addr: 0x100c66000, Size: 0x1024},
		Loads: []elfcore.Load{
			load(0x2200000, 0xffffffff81000000, 0x3600000),
			load(0x100000, 0xffff888000100000, 0x14f00000),
		},
	}
}

func TestReadLoaded(t *testing.T) {
	current, old := header64(), header64()
	old.CPUNotes = nil
	otherMachine := header64()
	otherMachine.Machine = elf.EM_AARCH64
	long := header64()
	for i := range uint64(2000) {
		long.Loads = append(long.Loads, ram(memmap.PhysAddr(i<<20), memmap.PhysAddr(i<<20+4096)))
	}
	cur, stale := bytesOf(t, current), bytesOf(t, old)
	const first, last = 0x15000000, 0x1d000000
	const iomemNone = "00100000-1ffdffff : System RAM\n  02200000-03ffffff : Kernel code\n"
	const iomemTwo = iomemNone + "  10000000-10ffffff : Crash kernel\n  15000000-1cffffff : Crash kernel\n"
	tests := []struct {
		name    string
		iomem   string
		memory  map[memmap.PhysAddr][]byte
		hint    memmap.PhysAddr
		want    *elfcore.Header
		addr    memmap.PhysAddr
		wantErr error
	}{
		{"first page", iomemX86, map[memmap.PhysAddr][]byte{first: cur}, 0, current, first, nil},
		{"an old one on the first page", iomemX86, map[memmap.PhysAddr][]byte{first: stale, 0x16000000: cur}, 0x16000000, current, 0x16000000, nil},
		{"first page and another", iomemX86, map[memmap.PhysAddr][]byte{first: cur, 0x16000000: stale}, 0, nil, 0, ErrManyHeaders},
		{"hint", iomemX86, map[memmap.PhysAddr][]byte{0x1cf00000: cur, 0x16000000: stale}, 0x1cf00000, current, 0x1cf00000, nil},
		{"wrong hint", iomemX86, map[memmap.PhysAddr][]byte{0x1cf00000: cur}, 0x16000000, current, 0x1cf00000, nil},
		{"hint elsewhere", iomemX86, map[memmap.PhysAddr][]byte{0x1cf00000: cur, 0x100000: stale}, 0x100000, current, 0x1cf00000, nil},
		{"last page", iomemX86, map[memmap.PhysAddr][]byte{last - 0x1000: cur}, 0, current, last - 0x1000, nil},
		{"over pages and chunks", iomemX86, map[memmap.PhysAddr][]byte{first + scanChunk - 0x1000: bytesOf(t, long)}, 0, long, first + scanChunk - 0x1000, nil},
		{"not on a page", iomemX86, map[memmap.PhysAddr][]byte{first + 0x800: cur}, 0, nil, 0, ErrNoHeader},
		{"passes the region", iomemX86, map[memmap.PhysAddr][]byte{last - 0x1000: bytesOf(t, long)}, 0, nil, 0, ErrNoHeader},
		{"other machine", iomemX86, map[memmap.PhysAddr][]byte{first: bytesOf(t, otherMachine)}, 0, nil, 0, ErrNoHeader},
		{"only looks like one", iomemX86, map[memmap.PhysAddr][]byte{first: cur[:64]}, 0, nil, 0, ErrNoHeader},
		{"several", iomemX86, map[memmap.PhysAddr][]byte{0x16000000: cur, 0x1cf00000: stale}, 0, nil, 0, ErrManyHeaders},
		{"nothing", iomemX86, nil, 0, nil, 0, ErrNoHeader},
		{"the highest of two regions", iomemTwo, map[memmap.PhysAddr][]byte{0x10000000: stale, 0x1cf00000: cur}, 0, current, 0x1cf00000, nil},
		{"no crash kernel", iomemNone, nil, 0, nil, 0, ErrNoCrashKernel},
		{"region not in kcore", iomemNone + "800000000-80fffffff : Crash kernel\n", nil, 0, nil, 0, ErrNotMapped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kcore := kcoreX86()
			kcore.memory = tt.memory
			root := sysroot{fstest.MapFS{"proc/iomem": file(tt.iomem)}, kcore}
			h, addr, err := ReadLoaded(root, tt.hint)
			if !errors.Is(err, tt.wantErr) || err == nil && (addr != tt.addr || !reflect.DeepEqual(h, tt.want)) {
				t.Errorf("ReadLoaded = %#x, %v, %v; want %#x, %v, %v", h, addr, err, tt.want, tt.addr, tt.wantErr)
			}
		})
	}
}

// On other architectures an old header may survive on the first page.
func TestFindHeaderArm64(t *testing.T) {
	iomem := mustIomem(t, "40000000-7fffffff : System RAM\n  57000000-76ffffff : Crash kernel\n")
	fake := (&fakeKcore{machine: elf.EM_AARCH64, loads: []elfcore.Load{kcoreLoad(0x40000000, 0xffff000000000000, 0x40000000)}}).build()
	h := header64()
	h.Machine = elf.EM_AARCH64
	fake.put(0x57000000, bytesOf(t, h))
	fake.put(0x76f00000, bytesOf(t, h))
	k, err := NewKcore(fake, iomem)
	if err != nil {
		t.Fatal(err)
	}
	crash := iomem.CrashKernel()[0]
	if h, addr, err := k.FindHeader(crash, 0); !errors.Is(err, ErrManyHeaders) {
		t.Errorf("FindHeader = %v, %v, %v; want ErrManyHeaders", h, addr, err)
	}
	if got, addr, err := k.FindHeader(crash, 0x76f00000); err != nil || addr != 0x76f00000 || !reflect.DeepEqual(got, h) {
		t.Errorf("FindHeader with a hint = %v, %v, %v; want %v", got, addr, err, h)
	}
}

// flaky fails to read, or reads something else each time.
type flaky struct {
	*fakeKcore
	from  int64
	count byte
	err   error
}

func (f *flaky) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.fakeKcore.ReadAt(b, off)
	if off < f.from {
		return n, err
	}
	if f.err != nil {
		return 0, f.err
	}
	if len(b) > 64+56 { // in the last program header
		f.count++
		b[len(b)-1] = f.count
	}
	return n, err
}

func TestReadLoadedFlaky(t *testing.T) {
	kcore := kcoreX86()
	kcore.put(0x15000000, bytesOf(t, header64()))
	eio := errors.New("input/output error")
	for _, tt := range []struct{ err, want error }{{eio, ErrKcoreUnreadable}, {eio, eio}, {nil, memmap.ErrChanging}} {
		root := sysroot{fstest.MapFS{"proc/iomem": file(iomemX86)}, &flaky{kcore, 4096, 0, tt.err}}
		if h, _, err := ReadLoaded(root, 0); !errors.Is(err, tt.want) {
			t.Errorf("ReadLoaded of a kcore that fails with %v = %v, %v; want %v", tt.err, h, err, tt.want)
		}
	}
}

// FuzzReadLoaded: whatever lies in the crash region, what is found there reads
// the same.
func FuzzReadLoaded(f *testing.F) {
	f.Add(bytesOf(f, header64()), uint32(0), uint32(0))
	f.Add(bytesOf(f, header64()), uint32(0x5000), uint32(0x5000))
	f.Add(bytesOf(f, header64()), uint32(0xf000), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, at, hint uint32) {
		const start, size = 0x20000000, 0x10000
		fake := (&fakeKcore{machine: elf.EM_X86_64, loads: []elfcore.Load{kcoreLoad(start, 0xffff888000000000+start, size)}}).build()
		at %= size
		b = b[:min(len(b), int(size-at))]
		region := make([]byte, size)
		copy(region[at:], b)
		k, err := NewKcore(io.NewSectionReader(regionReader{fake, region}, 0, 1<<40), mustIomem(t, "20000000-2000ffff : System RAM\n"))
		if err != nil {
			t.Fatal(err)
		}
		h, addr, err := k.FindHeader(memmap.Range{Start: start, End: start + size}, start+memmap.PhysAddr(hint))
		if err != nil {
			if want, perr := elfcore.ParseHeader(region[at:]); perr == nil && at%headerAlign == 0 && want.Machine == elf.EM_X86_64 && want.Order == binary.LittleEndian && errors.Is(err, ErrNoHeader) {
				t.Errorf("FindHeader = %v; want the header at %#x", err, at)
			}
			return
		}
		want, err := elfcore.ParseHeader(region[addr-start:])
		if err != nil || !reflect.DeepEqual(h, want) {
			t.Errorf("FindHeader = %+v at %v; want %+v, %v", h, addr, want, err)
		}
	})
}

// regionReader is a kcore with one segment, whose memory is region.
type regionReader struct {
	*fakeKcore
	region []byte
}

func (r regionReader) ReadAt(b []byte, off int64) (int, error) {
	start := int64(r.loads[0].Offset)
	if off < start {
		return r.fakeKcore.ReadAt(b, off)
	}
	return strings.NewReader(string(r.region)).ReadAt(b, off-start)
}
