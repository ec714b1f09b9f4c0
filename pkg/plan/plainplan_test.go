package plan

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// plainMachines are those whose kernels are told all by a command line or a few words of the image.
func plainMachines() []dtMachine {
	return []dtMachine{
		{name: "s390x", arch: "s390x", machine: func(t testing.TB) *kexectest.Machine { return kexectest.NewS390Machine(t) }, kernel: imagetest.S390()},
		{name: "loongarch64", arch: "loong64", machine: func(t testing.TB) *kexectest.Machine { return kexectest.NewLoongArchMachine(t) },
			kernel: imagetest.LoongArch(0x1a00000, imagetest.Filler(0x3000))},
	}
}

// The plans are the same to the byte on every machine that makes them, and keep the kernel's rules.
func TestGoldenPlainPlans(t *testing.T) {
	for _, tt := range plainMachines() {
		for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
			t.Run(tt.name+"-"+kind.String(), func(t *testing.T) {
				host := tt.machine(t).Host(tt.arch)
				p, err := New(host, segmentSpec(kind, tt.kernel))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range p.Check(host) {
					if f.Err != nil {
						t.Errorf("%s: %s", f.Check, f.Detail)
					}
				}
				golden(t, tt.name+"-"+kind.String(), describe(p))
			})
		}
	}
}

// What a kernel for s390x is told stands in its parameter area, with addresses as they are once it has exchanged the
// memories.
func TestS390Parameters(t *testing.T) {
	host := kexectest.NewS390Machine(t).Host("s390x")
	for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
		p, err := New(host, segmentSpec(kind, imagetest.S390()))
		if err != nil {
			t.Fatal(err)
		}
		var zero memmap.PhysAddr
		var oldBase, oldSize uint64
		if kind == machine.Crash {
			region, _ := host.CrashRegion()
			zero, oldBase, oldSize = region.Start, uint64(region.Start), region.Size()
		}
		kernel, _ := p.Segment(RoleKernel)
		initrd, _ := p.Segment(RoleInitrd)
		for offset, want := range map[int]uint64{0x408: uint64(initrd.Phys - zero), 0x410: uint64(len(initrd.Data)), 0x418: oldBase, 0x420: oldSize, 0x430: 4096} {
			if got := binary.BigEndian.Uint64(kernel.Data[offset:]); got != want {
				t.Errorf("%v: %#x at %#x; want %#x", kind, got, 0x10000+offset, want)
			}
		}
		if line, _, _ := strings.Cut(string(kernel.Data[0x480:0x1480]), "\x00"); line != p.Cmdline || kernel.Phys != zero+0x10000 {
			t.Errorf("%v: command line %q, kernel at %v; want %q, %v", kind, line, kernel.Phys, p.Cmdline, zero+0x10000)
		}
		if _, there := p.Segment(RoleElfcorehdr); there {
			t.Errorf("%v: an elfcorehdr is loaded; want none", kind)
		}
	}
	m := kexectest.NewS390Machine(t)
	m.Write("proc/iomem", strings.Replace(kexectest.IomemS390, "20100000-280fffff", "04000000-0bffffff", 1))
	if _, err := New(m.Host("s390x"), segmentSpec(machine.Crash, imagetest.S390())); err == nil || !strings.Contains(err.Error(), "can't exchange") {
		t.Errorf("a crash region that overlaps with its own exchange: %v; want a refusal", err)
	}
}

// A kernel for loongarch64 finds its command line by the first segment that begins with "kexec", and copies all of 4 KiB.
func TestLoongArchCmdline(t *testing.T) {
	m := kexectest.NewLoongArchMachine(t)
	host := m.Host("loong64")
	kernel := imagetest.LoongArch(0x1a00000, imagetest.Filler(0x3000))
	p, err := New(host, segmentSpec(machine.Crash, kernel))
	if err != nil {
		t.Fatal(err)
	}
	line, _ := p.Segment(RoleCmdline)
	header, _ := p.Segment(RoleElfcorehdr)
	initrd, _ := p.Segment(RoleInitrd)
	region, _ := host.CrashRegion()
	want := fmt.Sprintf("kexec mem=%#x@%#x elfcorehdr=%#x@%#x initrd=%#x,%#x %s", region.Size(), uint64(region.Start), header.MemSize, uint64(header.Phys), uint64(initrd.Phys), len(initrd.Data), p.Cmdline)
	if got, _, _ := strings.Cut(string(line.Data), "\x00"); got != want || len(line.Data) != 4096 || p.LoadFlags != kexec.LoadOnCrash {
		t.Errorf("%d bytes of command line %q, flags %v; want 4096, %q, for a crash", len(line.Data), got, p.LoadFlags, want)
	}
	spec := segmentSpec(machine.Crash, kernel)
	spec.Cmdline = strings.Repeat("x", 4000)
	if _, err := New(host, spec); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a command line of 4000 bytes: %v; want it refused as too long", err)
	}
	spec = segmentSpec(machine.Crash, kernel)
	spec.Initrd = FromBytes("initrd", []byte("kexec is the first word of this initrd"))
	if _, err := New(host, spec); err == nil || !strings.Contains(err.Error(), "command line") {
		t.Errorf("an initrd that begins with kexec: %v; want a refusal", err)
	}
	spec = segmentSpec(machine.Crash, kernel)
	spec.Serial = Serial{Port: 0x3f8}
	if _, err := New(host, spec); err == nil || !strings.Contains(err.Error(), "none on loongarch64") {
		t.Errorf("a serial port: %v; want a refusal, since there is no purgatory", err)
	}
}
