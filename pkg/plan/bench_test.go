package plan

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// manyRanges is a machine with n further pieces of RAM above 4 GiB, each 1 MiB
// in 2.
func manyRanges(b *testing.B, n int) *kexectest.Machine {
	m := kexectest.NewMachine(b)
	var iomem strings.Builder
	iomem.WriteString(kexectest.Iomem)
	start := uint64(1) << 32
	for i := range uint64(n) {
		at := start + i<<21
		fmt.Fprintf(&iomem, "%08x-%08x : System RAM\n", at, at+1<<20-1)
	}
	m.Write("proc/iomem", iomem.String())
	m.WriteKcore(memmap.Range{Start: 0x1000, End: 0x9f000}, memmap.Range{Start: 0x100000, End: 0x3ffdf000},
		memmap.Range{Start: memmap.PhysAddr(start), End: memmap.PhysAddr(start + uint64(n)<<21)})
	return m
}

// BenchmarkPlanSegments is the whole planning: machine read, header built,
// everything placed, checked and hashed.
func BenchmarkPlanSegments(b *testing.B) {
	for _, n := range []int{16, 256, 2048, 8192, 32768} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := os.DirFS(manyRanges(b, n).Dir)
			arch, err := machine.ArchByName("x86_64")
			if err != nil {
				b.Fatal(err)
			}
			kernel := FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes())
			b.ReportAllocs()
			for b.Loop() {
				host, err := machine.ReadHost(root, arch)
				if err != nil {
					b.Fatal(err)
				}
				p, err := New(host, &Spec{Kind: machine.Crash, Kernel: kernel, Method: Segments, Seed: make([]byte, SeedSize)})
				if err != nil {
					b.Fatal(err)
				}
				if err := advice.FirstFailure(p.Check(host)); err != nil {
					b.Fatal(err)
				}
				if got := len(p.Header.Loads); got < n {
					b.Fatalf("the header has %d ranges; want %d", got, n)
				}
			}
		})
	}
}

// BenchmarkPlanInitrd hashes an initrd of 64 MiB on the way.
func BenchmarkPlanInitrd(b *testing.B) {
	arch, err := machine.ArchByName("x86_64")
	if err != nil {
		b.Fatal(err)
	}
	host, err := machine.ReadHost(os.DirFS(kexectest.NewMachine(b).Dir), arch)
	if err != nil {
		b.Fatal(err)
	}
	initrd := FromBytes("initrd", make([]byte, 64<<20))
	kernel := FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes())
	b.SetBytes(int64(len(initrd.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(host, &Spec{Kind: machine.Crash, Kernel: kernel, Initrd: initrd, Method: Segments, Seed: make([]byte, SeedSize)}); err != nil {
			b.Fatal(err)
		}
	}
}
