package plan

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// The plans for arm64 and riscv64 are the same to the byte on every machine that
// makes them. After a change that is meant, go test -run Golden -update.
func TestGoldenDTPlans(t *testing.T) {
	for _, tt := range dtMachines() {
		for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
			name := tt.name + "-" + kind.String()
			p, err := New(tt.machine(t).Host(tt.arch), segmentSpec(kind, tt.kernel))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := describe(p)
			for _, u := range p.Usable {
				got += fmt.Sprintf("usable %v\n", u)
			}
			golden(t, name, got)
		}
	}
}

// dtc, the reference, reads the tree of a plan as it was meant.
func TestDTPlanReadByDTC(t *testing.T) {
	dtc, err := exec.LookPath("dtc")
	if err != nil {
		if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
			t.Fatal("dtc is not installed (Debian: device-tree-compiler)")
		}
		t.Skip("SKIPPED, NOT TESTED: dtc is not installed (Debian: device-tree-compiler)")
	}
	for _, tt := range dtMachines() {
		p, err := New(tt.machine(t).Host(tt.arch), segmentSpec(machine.Crash, tt.kernel))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := p.Segment(RoleDTB)
		cmd := exec.Command(dtc, "-q", "-I", "dtb", "-O", "dts", "-")
		cmd.Stdin = strings.NewReader(string(s.Data))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: dtc: %v", tt.name, err)
		}
		header, _ := p.Segment(RoleElfcorehdr)
		want := []string{fmt.Sprintf(`bootargs = "%s";`, p.Cmdline), "linux,booted-from-kexec;", "kaslr-seed = <",
			fmt.Sprintf("linux,elfcorehdr = <%#02x %#02x 0x00 %#02x>;", uint64(header.Phys)>>32, uint32(header.Phys), header.MemSize)}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: dtc reads\n%s\nwant %q in it", tt.name, out, w)
			}
		}
	}
}

// Whatever is reserved, in the memory map or in the device tree, no segment of an
// ordinary kexec is on it, and what an image claims makes no plan that the checks
// or the kernel would refuse.
func FuzzDTPlan(f *testing.F) {
	f.Add(uint16(0x8200), uint16(0x10), uint16(0x9000), uint16(8), uint64(0x470000), uint64(0), true)
	f.Add(uint16(1), uint16(0xffff), uint16(0x100), uint16(0x4000), uint64(1<<40), uint64(0x80000), false)
	const base = 0x40000000
	made := kexectest.NewARM64Machine(f, 16<<10, kexectest.VA48)
	f.Fuzz(func(t *testing.T, at, pages, treeAt, treePages uint16, imageSize, textOffset uint64, crash bool) {
		m := made.For(t)
		// Two reservations of 4 KiB units in the RAM from 1 GiB to 1.5 GiB.
		first := memmap.Range{Start: base + memmap.PhysAddr(at)<<12, End: base + memmap.PhysAddr(min(uint64(at)+uint64(pages)+1, 0x13600))<<12}
		iomem := "40000000-5fffffff : System RAM\n"
		if !first.Empty() && first.End <= 0x53600000 {
			iomem += fmt.Sprintf("  %08x-%08x : reserved\n", uint64(first.Start), uint64(first.End)-1)
		} else {
			first = memmap.Range{}
		}
		m.Write("proc/iomem", iomem+"  53600000-5b5fffff : Crash kernel\n")
		second := fdt.Reservation{Addr: base + uint64(treeAt)<<12, Size: uint64(treePages)<<12 + 1}
		m.WriteTree(&fdt.Tree{Root: &fdt.Node{}, Reserved: []fdt.Reservation{second}})
		kernel := imagetest.SmallARM64(nil)
		binary.LittleEndian.PutUint64(kernel[8:], textOffset)
		binary.LittleEndian.PutUint64(kernel[16:], imageSize)
		kind := machine.Boot
		if crash {
			kind = machine.Crash
		}
		host := m.Host("arm64")
		p, err := New(host, segmentSpec(kind, kernel))
		if err != nil {
			return
		}
		if f := p.checkSegments(host); f.Level == advice.Failure {
			return // more than half of the memory
		}
		if err := kexectest.NewKernel(m).KexecLoad(uint64(p.Entry), p.KernelSegments(), p.LoadFlags); err != nil {
			t.Errorf("the kernel refuses what the checks do not: %v", err)
		}
		reserved := memmap.NewSet(first, memmap.Range{Start: memmap.PhysAddr(second.Addr), End: memmap.PhysAddr(second.Addr + second.Size)})
		for _, s := range p.Segments {
			if kind == machine.Boot && reserved.Overlaps(s.Range()) {
				t.Errorf("%s at %v is on reserved memory %v", s.Role, s.Range(), reserved)
			}
			if s.Role == RoleKernel && (uint64(s.Phys)-textOffset)%imageAlign != 0 {
				t.Errorf("the kernel is at %v with text_offset %#x", s.Phys, textOffset)
			}
		}
	})
}
