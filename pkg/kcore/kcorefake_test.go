package kcore

import (
	"debug/elf"
	"encoding/binary"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// fakeKcore is a /proc/kcore: program headers as read_kcore_iter prints them,
// and memory that is zero but for what is put into it.
type fakeKcore struct {
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
	loads   []elfcore.Load // Offset is filled in
	notes   []byte

	head   []byte // made by the method file
	memory map[memmap.PhysAddr][]byte
	reads  int
}

// kcoreLoad is a segment of kcore.
func kcoreLoad(phys memmap.PhysAddr, virt, size uint64) elfcore.Load {
	return elfcore.Load{Phys: phys, Virt: virt, FileSize: size, MemSize: size, Flags: elf.PF_R | elf.PF_W | elf.PF_X}
}

// build makes the headers, and gives each segment room in the file.
func (k *fakeKcore) build() *fakeKcore {
	if k.class == 0 {
		k.class = elf.ELFCLASS64
	}
	if k.order == nil {
		k.order = binary.LittleEndian
	}
	ehdr, phdr := 64, 56
	if k.class == elf.ELFCLASS32 {
		ehdr, phdr = 52, 32
	}
	n := 1 + len(k.loads)
	k.head = make([]byte, ehdr+n*phdr)
	k.putEhdr(uint16(ehdr), uint16(phdr), uint16(n)) // cut, as the kernel does
	k.putProg(k.head[ehdr:], elf.PT_NOTE, &elfcore.Load{Offset: uint64(len(k.head)), FileSize: uint64(len(k.notes))})
	off := (uint64(len(k.head)+len(k.notes)) + 4095) &^ 4095
	for i := range k.loads {
		l := &k.loads[i]
		l.Offset = off
		off += (l.FileSize + 4095) &^ 4095
		k.putProg(k.head[ehdr+(1+i)*phdr:], elf.PT_LOAD, l)
	}
	k.head = append(k.head, k.notes...)
	return k
}

func (k *fakeKcore) putEhdr(ehdr, phdr, phnum uint16) {
	b, o := k.head, k.order
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(k.class), byte(elfcore.DataEncoding(o)), byte(elf.EV_CURRENT)
	o.PutUint16(b[16:], uint16(elf.ET_CORE))
	o.PutUint16(b[18:], uint16(k.machine))
	o.PutUint32(b[20:], uint32(elf.EV_CURRENT))
	tail := b[52:]
	if k.class == elf.ELFCLASS32 {
		o.PutUint32(b[28:], uint32(ehdr))
		tail = b[40:]
	} else {
		o.PutUint64(b[32:], uint64(ehdr))
	}
	o.PutUint16(tail, ehdr)
	o.PutUint16(tail[2:], phdr)
	o.PutUint16(tail[4:], phnum)
}

func (k *fakeKcore) putProg(b []byte, typ elf.ProgType, l *elfcore.Load) {
	o := k.order
	o.PutUint32(b, uint32(typ))
	fields := []uint64{l.Offset, l.Virt, uint64(l.Phys), l.FileSize, l.MemSize}
	if k.class == elf.ELFCLASS32 {
		for i, v := range fields {
			o.PutUint32(b[4+4*i:], uint32(v))
		}
		o.PutUint32(b[24:], uint32(l.Flags))
		return
	}
	o.PutUint32(b[4:], uint32(l.Flags))
	for i, v := range fields {
		o.PutUint64(b[8+8*i:], v)
	}
}

// put stores b at a physical address.
func (k *fakeKcore) put(addr memmap.PhysAddr, b []byte) {
	if k.memory == nil {
		k.memory = make(map[memmap.PhysAddr][]byte)
	}
	k.memory[addr] = b
}

func (k *fakeKcore) ReadAt(b []byte, off int64) (int, error) {
	k.reads++
	clear(b)
	n := 0
	if off < int64(len(k.head)) {
		n = copy(b, k.head[off:])
		if n == len(b) {
			return n, nil
		}
	}
	for i := range k.loads {
		l := &k.loads[i]
		at := off + int64(n)
		if at < int64(l.Offset) || at >= int64(l.Offset+l.FileSize) {
			continue
		}
		skip := uint64(at) - l.Offset
		part := b[n:]
		part = part[:min(uint64(len(part)), l.FileSize-skip)]
		k.fill(part, l.Phys+memmap.PhysAddr(skip))
		n += len(part)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (k *fakeKcore) fill(b []byte, addr memmap.PhysAddr) {
	for at, data := range k.memory {
		for i, c := range data {
			if d := at + memmap.PhysAddr(i) - addr; d < memmap.PhysAddr(len(b)) {
				b[d] = c
			}
		}
	}
}

// sysroot is a file system of small files and a proc/kcore.
type sysroot struct {
	fstest.MapFS
	kcore io.ReaderAt
}

func (s sysroot) Open(name string) (fs.File, error) {
	if name == "proc/kcore" && s.kcore != nil {
		return kcoreFile{s.kcore}, nil
	}
	return s.MapFS.Open(name)
}

type kcoreFile struct{ io.ReaderAt }

func (kcoreFile) Stat() (fs.FileInfo, error) { return kcoreInfo{}, nil }
func (kcoreFile) Read([]byte) (int, error)   { return 0, io.EOF }
func (kcoreFile) Close() error               { return nil }

type kcoreInfo struct{}

func (kcoreInfo) Name() string       { return "kcore" }
func (kcoreInfo) Size() int64        { return math.MaxInt64 }
func (kcoreInfo) Mode() fs.FileMode  { return 0o400 }
func (kcoreInfo) ModTime() time.Time { return time.Time{} }
func (kcoreInfo) IsDir() bool        { return false }
func (kcoreInfo) Sys() any           { return nil }

func mustIomem(t testing.TB, text string) *memmap.Iomem {
	t.Helper()
	m, err := memmap.ParseIomem(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const iomemX86 = `00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-000fffff : Reserved
00100000-1ffdffff : System RAM
  02200000-03ffffff : Kernel code
  04c00000-04ef7abf : Kernel data
  05394000-057fffff : Kernel bss
  15000000-1cffffff : Crash kernel
1ffe0000-1fffffff : Reserved
100000000-13fffffff : CXL Window 0
  100000000-13fffffff : dax0.0
    100000000-13fffffff : System RAM (kmem)
`

// kcoreX86 is a kernel from 4.11 on, with KASLR.
func kcoreX86() *fakeKcore {
	none := memmap.PhysAddr(math.MaxUint64)
	k := &fakeKcore{machine: elf.EM_X86_64, loads: []elfcore.Load{
		kcoreLoad(0x2200000, 0xffffffff9f200000, 0x3700000),    // KCORE_TEXT
		kcoreLoad(none, 0xffffb30000000000, 0x1fffffffffff),    // vmalloc
		kcoreLoad(none, 0xffffffffc0000000, 0x3f000000),        // modules
		kcoreLoad(0x1000, 0xffff9a4540001000, 0x9e000),         // RAM
		kcoreLoad(0x100000, 0xffff9a4540100000, 0x1fee0000),    // RAM
		kcoreLoad(none, 0xfffff1a440000000, 0x800000),          // vmemmap
		kcoreLoad(0x100000000, 0xffff9a4640000000, 0x40000000), // RAM
	}}
	return k.build()
}
