package differential

import (
	"compress/gzip"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/internal/recordfs"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// testMachine is an invented or a collected one.
type testMachine struct {
	*kexectest.Machine
	name string
	text string // /proc/iomem
	low  int    // ranges of RAM below 640 KiB
}

// kcorePad is what kexec-tools wants to read of /proc/kcore.
const kcorePad = 64 << 10

func invent(t *testing.T, seed uint64) *testMachine {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	m := &testMachine{Machine: kexectest.NewMachine(t), name: fmt.Sprint("machine ", seed)}
	var b strings.Builder
	line := func(depth int, start, end uint64, name string) {
		fmt.Fprintf(&b, "%s%08x-%08x : %s\n", strings.Repeat("  ", depth), start, end-1, name)
	}
	line(0, 0, 0x1000, "Reserved")
	at := uint64(0x1000)
	for range 1 + r.IntN(3) {
		end := min(at+0x4000+r.Uint64N(0x40000), 0xa0000)
		if r.IntN(2) == 0 {
			end &^= 0x3ff
		} else {
			end &^= 0xfff
		}
		if end < at+0x1000 {
			break
		}
		line(0, at, end, "System RAM")
		m.low++
		at = (end + 0x1fff) &^ 0xfff
	}
	// The kernel and the crash memory are in the first RAM above 1 MiB, as they are
	// on most machines.
	first := uint64(512+r.IntN(1024)) << 20
	line(0, 0x100000, first, "System RAM")
	line(1, 0x1000000, 0x2000000, "Kernel code")
	low := uint64(64+r.IntN(64)) << 20
	lowAt := first - low - uint64(r.IntN(64))<<20
	line(1, lowAt, lowAt+low, "Crash kernel")
	at = first
	names := []string{"Reserved", "ACPI Tables", "ACPI Non-volatile Storage", "Soft Reserved", "Unusable memory", "PCI Bus 0000:00"}
	high := r.IntN(3) == 0
	for range r.IntN(300) {
		size := 1<<20 + r.Uint64N(64<<20)&^0xfff
		switch name := names[r.IntN(len(names))]; {
		case r.IntN(3) == 0:
			line(0, at, at+size, name)
		case r.IntN(8) == 0:
			line(0, at, at+size, "ACPI window")
			line(1, at, at+size/2&^0xfff, []string{"System RAM (kmem)", "System RAM (virtio_mem)", "System RAM", "GART"}[r.IntN(4)])
		default:
			line(0, at, at+size, "System RAM")
			if high && size > 48<<20 {
				line(1, at+1<<20, at+size-1<<20, "Crash kernel")
				high = false
			}
		}
		at += size
		if r.IntN(4) != 0 {
			at += r.Uint64N(32<<20) &^ 0xfff
		}
		if r.IntN(30) == 0 {
			at += 1 << 33
		}
	}
	m.text = b.String()
	m.Write("proc/iomem", m.text)
	iomem, err := memmap.ParseIomem(strings.NewReader(m.text))
	if err != nil {
		t.Fatalf("machine %d: %v", seed, err)
	}
	m.WriteKcore(iomem.SystemRAM().Ranges()...)
	m.padKcore(t)
	m.Write("proc/kallsyms", fmt.Sprintf("%x T _stext\n", uint64(kexectest.TextVirt)))
	m.Write("proc/mounts", "")
	number := 1
	sparse := r.IntN(4) == 0 // numbers with gaps
	for range r.IntN(8) {
		m.WriteCPU(number, kexectest.CrashNotes+uint64(number)<<12)
		number++
		if sparse {
			number += r.IntN(3)
		}
	}
	// The C library counts CPUs by it.
	m.Write("sys/devices/system/cpu/possible", fmt.Sprintf("0-%d\n", number-1))
	return m
}

// padKcore makes it as long as kexec-tools wants it.
func (m *testMachine) padKcore(t *testing.T) {
	t.Helper()
	kcore := filepath.Join(m.Dir, "proc/kcore")
	if info, err := os.Stat(kcore); err != nil || info.Size() < kcorePad {
		if err := os.Truncate(kcore, kcorePad); err != nil {
			t.Fatal(err)
		}
	}
}

// collected is a machine that gokexec collect has recorded.
func collected(t *testing.T, path string) *testMachine {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m := &testMachine{Machine: kexectest.EmptyMachine(t), name: filepath.Base(path)}
	if err := recordfs.Unpack(z, m.Dir); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	root := os.DirFS(m.Dir)
	iomem, err := memmap.ReadIomem(root)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := fs.ReadFile(root, "proc/iomem")
	if err != nil {
		t.Fatal(err)
	}
	m.text = string(text)
	for _, r := range iomem.BootRAM().Ranges() {
		if r.End <= 640<<10 {
			m.low++
		}
	}
	// What kexec-tools reads and gokexec doesn't. The symbol is VMCOREINFO's, so
	// that nothing of it is of gokexec's making.
	kcore, err := kcore.OpenKcore(root, iomem)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer kcore.Close()
	info, err := kcore.VMCoreInfo()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	stext, ok := info.Symbol("_stext")
	if !ok {
		t.Fatalf("%s: VMCOREINFO has no _stext", path)
	}
	m.Write("proc/kallsyms", fmt.Sprintf("%x T _stext\n", stext))
	m.Write("proc/mounts", "")
	m.padKcore(t)
	return m
}
