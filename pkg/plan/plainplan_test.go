package plan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// plainMachines are those of other architectures than x86_64, arm64 and riscv64.
func plainMachines() []dtMachine {
	return []dtMachine{
		{name: "s390x", arch: "s390x", machine: func(t testing.TB) *kexectest.Machine { return kexectest.NewS390Machine(t) }, kernel: imagetest.S390()},
		{name: "ppc64le", arch: "ppc64le", machine: func(t testing.TB) *kexectest.Machine { return kexectest.NewPPC64Machine(t) }, kernel: imagetest.SmallPPC64()},
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

// What a kernel for ppc64le is told: all memory that it may use, by nodes and by blocks, what is kept from it, and nothing of
// the kernel before.
func TestPPC64Tree(t *testing.T) {
	host := kexectest.NewPPC64Machine(t).Host("ppc64le")
	p, err := New(host, segmentSpec(machine.Crash, imagetest.SmallPPC64()))
	if err != nil {
		t.Fatal(err)
	}
	dtb, _ := p.Segment(RoleDTB)
	tree, err := fdt.Parse(dtb.Data)
	if err != nil {
		t.Fatal(err)
	}
	chosen := tree.Root.Child("chosen")
	for _, name := range ppc64Stale {
		if _, found := chosen.Property(name); found {
			t.Errorf("/chosen has %s, which is of the kernel before", name)
		}
	}
	be := binary.BigEndian
	words := func(values ...uint64) (b []byte) {
		for _, v := range values {
			b = be.AppendUint64(b, v)
		}
		return b
	}
	// RTAS lies behind the first node's crash memory, and the crash memory ends in the block that was added.
	if got, _ := tree.Root.Child("memory@0").Property("linux,usable-memory"); !bytes.Equal(got, words(0, 0x30000000)) {
		t.Errorf("linux,usable-memory of the first node is %x", got)
	}
	if got, _ := tree.Root.Child("ibm,dynamic-reconfiguration-memory").Property("linux,drconf-usable-memory"); !bytes.Equal(got, words(1, 0x30000000, 0x4000000, 0, 0, 0, 0)) {
		t.Errorf("linux,drconf-usable-memory is %x", got)
	}
	var reserved memmap.Set
	for _, r := range tree.Reserved {
		reserved = reserved.Union(memmap.NewSet(memmap.Range{Start: memmap.PhysAddr(r.Addr), End: memmap.PhysAddr(r.Addr + r.Size)}))
	}
	want := []memmap.Range{{Start: 0x10000, End: 0x20000000}, {Start: 0x2ffff000, End: 0x2ffff85c}}
	for _, role := range []Role{RoleBackup, RoleElfcorehdr, RoleInitrd} {
		s, _ := p.Segment(role)
		want = append(want, s.Range())
	}
	if missing := memmap.NewSet(want...).Minus(reserved); !missing.Empty() {
		t.Errorf("%v is not reserved: %v", missing, reserved)
	}
	for _, s := range p.Segments {
		if s.Range().Overlaps(memmap.Range{Start: 0x2ffff000, End: 0x30000000}) || s.Range().End > 0x30000000 {
			t.Errorf("%s at %v lies on RTAS, or beyond what is accessible without translation", s.Role, s.Range())
		}
	}
	purgatory, _ := p.Segment(RolePurgatory)
	kernel, _ := p.Segment(RoleKernel)
	if !bytes.Equal(purgatory.Data[4:0x100], kernel.Data[4:0x100]) || binary.LittleEndian.Uint32(kernel.Data[0x5c:]) != 1 {
		t.Error("the purgatory's beginning is not the kernel's, or the kernel is not told to run where it is loaded")
	}
	// The memory of RTAS is in the dump, that of the crash kernel is not, and what is at 0 is read from the backup.
	backup, _ := p.Segment(RoleBackup)
	if first := p.Header.Loads[0]; first.Phys != 0 || first.MemSize != 64<<10 || first.Offset != uint64(backup.Phys) {
		t.Errorf("the first memory of the header is %+v; want 64 KiB at 0, read from %v", first, backup.Phys)
	}
	if ram := host.Dump.Excluded(); ram.Contains(memmap.Range{Start: 0x2ffff000, End: 0x30000000}) || !ram.Contains(memmap.Range{Start: 0x20000000, End: 0x2ffff000}) {
		t.Errorf("left out of the dump is %v", ram)
	}
}

// A kernel that runs at its link address only can't be a crash kernel.
func TestPPC64Relocatable(t *testing.T) {
	b := imagetest.SmallPPC64()
	copy(b[0x1000+0x5c:], "\x01\x00\x00\x00")
	if _, err := New(kexectest.NewPPC64Machine(t).Host("ppc64le"), segmentSpec(machine.Crash, b)); err == nil || !strings.Contains(err.Error(), "CONFIG_RELOCATABLE") {
		t.Errorf("New() = %v; want that the kernel can't run where it is loaded", err)
	}
}

// Damaged lists of memory blocks are refused, and never lead beyond their bounds.
func FuzzPPC64Blocks(f *testing.F) {
	node := kexectest.PPC64Tree().Child("ibm,dynamic-reconfiguration-memory")
	v, _ := node.Property("ibm,dynamic-memory-v2")
	f.Add(v, true)
	f.Add([]byte{0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, v []byte, grouped bool) {
		n := &fdt.Node{}
		n.SetUint64("ibm,lmb-size", 1<<28)
		name := "ibm,dynamic-memory"
		if grouped {
			name += "-v2"
		}
		n.Set(name, v)
		blocks, err := ppc64Blocks(n)
		if err != nil {
			return
		}
		want := uint64(binary.BigEndian.Uint32(v))
		if grouped {
			want = 0
			for b := v[4:]; len(b) > 0; b = b[24:] {
				want += uint64(binary.BigEndian.Uint32(b))
			}
		}
		if uint64(len(blocks)) != want || len(blocks) > maxBlocks {
			t.Errorf("%d blocks of %x; want %d", len(blocks), v, want)
		}
	})
}
