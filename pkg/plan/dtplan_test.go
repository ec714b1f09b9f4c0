package plan

import (
	"bytes"
	"debug/elf"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// dtMachines are machines of all sorts, each with a kernel for it.
type dtMachine struct {
	name, arch string
	machine    func(t testing.TB) *kexectest.Machine
	kernel     []byte
	offset     uint64 // of the Image from its base
	virt       uint64 // of the first RAM
}

func dtMachines() []dtMachine {
	arm := func(page uint64, va kexectest.VABits) func(t testing.TB) *kexectest.Machine {
		return func(t testing.TB) *kexectest.Machine { return kexectest.NewARM64Machine(t, page, va) }
	}
	riscv := func(t testing.TB) *kexectest.Machine { return kexectest.NewRISCVMachine(t) }
	return []dtMachine{
		{"arm64-4k", "arm64", arm(4<<10, kexectest.VA48), imagetest.SmallARM64(nil), 0, 0xffff000000000000},
		{"arm64-16k-52bit", "arm64", arm(16<<10, kexectest.VA52), imagetest.SmallARM64(nil), 0, 0xfff0000000000000},
		{"arm64-64k-52bit", "arm64", arm(64<<10, kexectest.VA52), imagetest.SmallARM64(func(a *imagetest.ARM64) { a.Flags = 0xe }), 0, 0xfff0000000000000},
		{"arm64-text-offset", "arm64", arm(4<<10, kexectest.VA48), imagetest.SmallARM64(func(a *imagetest.ARM64) { a.TextOffset, a.Flags = 0x80000, 2 }), 0x80000, 0xffff000000000000},
		{"arm64-vmlinux", "arm64", arm(4<<10, kexectest.VA48), imagetest.VmlinuxOf(elf.EM_AARCH64, imagetest.SmallARM64(nil)), 0, 0xffff000000000000},
		{"arm64-acpi", "arm64", func(t testing.TB) *kexectest.Machine { return acpiMachine(t) }, imagetest.SmallARM64(nil), 0, 0xffff000000000000},
		{"riscv64", "riscv64", riscv, imagetest.SmallRISCV(), 0, 0xff60000000000000},
		{"riscv64-vmlinux", "riscv64", riscv, imagetest.VmlinuxOf(elf.EM_RISCV, imagetest.SmallRISCV()), 0, 0xff60000000000000},
	}
}

// acpiMachine has what UEFI's stub leaves of a device tree, more RAM above 4 GiB,
// a crash region there and a low one.
func acpiMachine(t testing.TB) *kexectest.Machine {
	m := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48)
	iomem := strings.Replace(kexectest.IomemARM64, "4010000000", "100000000-17fffffff : System RAM\n  150000000-157ffffff : Crash kernel\n  17ff00000-17fffffff : reserved\n4010000000", 1)
	m.Write("proc/iomem", iomem+"8000000000-800fffffff : System RAM (kmem)\n")
	m.WriteKcore(memmap.Range{Start: 0x40000000, End: 0x60000000}, memmap.Range{Start: 0x100000000, End: 0x180000000})
	root := &fdt.Node{}
	chosen := root.Make("chosen")
	chosen.SetString("bootargs", "quiet")
	chosen.SetUint64("linux,uefi-system-table", 0x5ff00018)
	chosen.Set("rng-seed", []byte("spent"))
	m.WriteTree(&fdt.Tree{Root: root})
	return m
}

func TestDTPlans(t *testing.T) {
	for _, tt := range dtMachines() {
		for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
			m := tt.machine(t)
			host := m.Host(tt.arch)
			p, err := New(host, segmentSpec(kind, tt.kernel))
			if err != nil {
				t.Errorf("%s, %v: %v", tt.name, kind, err)
				continue
			}
			t.Run(tt.name+"-"+kind.String(), func(t *testing.T) { checkDTPlan(t, &tt, host, kexectest.NewKernel(m), p) })
		}
	}
}

// checkDTPlan holds what must be true of every plan.
func checkDTPlan(t *testing.T, tt *dtMachine, host *machine.Host, k *kexectest.Kernel, p *Plan) {
	if err := advice.FirstFailure(p.Check(host)); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := k.KexecLoad(uint64(p.Entry), p.KernelSegments(), p.LoadFlags); err != nil {
		t.Errorf("the kernel refuses: %v", err)
	}
	var used memmap.Set
	for _, s := range p.Segments {
		if used.Overlaps(s.Range()) || uint64(s.Phys)%host.PageSize != 0 || s.MemSize%host.PageSize != 0 || uint64(s.Phys)%s.Align != 0 {
			t.Errorf("%s at %v: on another, or not in whole pages of %#x bytes, or not aligned to %#x", s.Role, s.Range(), host.PageSize, s.Align)
		}
		if s.Checked != (s.Role != RolePurgatory) {
			t.Errorf("%s is in the digest: %t", s.Role, s.Checked)
		}
		used = used.Union(memmap.NewSet(s.Range()))
	}
	checkDigest(t, host, p)
	kernel, _ := p.Segment(RoleKernel)
	if uint64(kernel.Phys)%imageAlign != tt.offset || p.KernelEntry != kernel.Phys || !bytes.HasPrefix(kernel.Data[100:], []byte("kernel")[(100-64)%6:]) {
		t.Errorf("the kernel is at %v, entered at %v; want %#x from an aligned base, entered there", kernel.Phys, p.KernelEntry, tt.offset)
	}
	initrd, _ := p.Segment(RoleInitrd)
	if kernel.Phys>>35 != initrd.Phys>>35 && initrd.Phys-kernel.Phys > 31<<30 {
		t.Errorf("initrd at %v, kernel at %v: no window of 32 GiB has both", initrd.Phys, kernel.Phys)
	}
	checkTold(t, host, p)
	if p.Kind == machine.Boot {
		if bad := used.Minus(destinations(host)); !bad.Empty() || p.Header != nil {
			t.Errorf("segments at %v, which is reserved or no RAM; header %v", bad, p.Header)
		}
		return
	}
	at, _ := p.Segment(RoleElfcorehdr)
	header, err := elfcore.ParseHeader(at.Data)
	if err != nil || !reflect.DeepEqual(header, p.Header) {
		t.Fatalf("the elfcorehdr reads back as %+v, %v; want %+v", header, err, p.Header)
	}
	region, _ := host.CrashRegion()
	if first := at.Phys == region.Start; first != (host.Arch.Machine == elf.EM_AARCH64) {
		t.Errorf("the elfcorehdr is at %v of %v", at.Phys, region)
	}
	ram := host.Dump.Iomem.SystemRAM().Ranges()
	for _, l := range header.Loads[1:] {
		if l.Virt-uint64(l.Phys)+uint64(ram[0].Start) != tt.virt {
			t.Errorf("%v is mapped at %#x; the first RAM is at %#x", l.Phys, l.Virt, tt.virt)
		}
	}
	if text := header.Loads[0]; text.Virt-uint64(text.Phys) != 0xffff80003fe00000 && text.Virt-uint64(text.Phys) != 0xfffffffeffe00000 {
		t.Errorf("the kernel text is %+v; want it where VMCOREINFO says", text)
	}
}

// checkTold reads the device tree as the new kernel does.
func checkTold(t *testing.T, host *machine.Host, p *Plan) {
	t.Helper()
	dtb, _ := p.Segment(RoleDTB)
	tree, err := fdt.Parse(dtb.Data)
	if err != nil {
		t.Fatal(err)
	}
	chosen := tree.Root.Child("chosen")
	if args, _ := chosen.Property("bootargs"); string(args) != p.Cmdline+"\x00" {
		t.Errorf("bootargs = %q; want %q", args, p.Cmdline)
	}
	initrd, _ := p.Segment(RoleInitrd)
	start, _ := chosen.Uint("linux,initrd-start")
	if end, _ := chosen.Uint("linux,initrd-end"); start != uint64(initrd.Phys) || end-start != uint64(len(initrd.Data)) {
		t.Errorf("the initrd is from %#x to %#x; want %d bytes at %v", start, end, len(initrd.Data), initrd.Phys)
	}
	kaslr, _ := chosen.Property("kaslr-seed")
	rng, _ := chosen.Property("rng-seed")
	if len(kaslr) != 8 || len(rng) != 32 || bytes.Equal(kaslr, make([]byte, 8)) || bytes.Equal(rng[:8], kaslr) {
		t.Errorf("kaslr-seed %x, rng-seed %x; want 8 and 32 random bytes", kaslr, rng)
	}
	if len(tree.Reserved) != 0 {
		t.Errorf("%v is reserved still; want the old initrd freed", tree.Reserved)
	}
	for _, kept := range []string{"stdout-path", "linux,uefi-system-table"} {
		before, had := host.DeviceTree.Root.Child("chosen").Property(kept)
		if after, has := chosen.Property(kept); had != has || !bytes.Equal(before, after) {
			t.Errorf("%s = %q; want %q", kept, after, before)
		}
	}
	header, crash := chosen.Property("linux,elfcorehdr")
	usable, _ := chosen.Property("linux,usable-memory-range")
	if !crash {
		if p.Kind == machine.Crash || len(usable) > 0 {
			t.Errorf("linux,elfcorehdr: %t, usable memory %x; want both in a crash kernel's tree alone", crash, usable)
		}
		return
	}
	cells, err := tree.Root.Cells()
	if err != nil {
		t.Fatal(err)
	}
	at, _ := p.Segment(RoleElfcorehdr)
	if rs, err := cells.Ranges(header); err != nil || !slices.Equal(rs, []fdt.Reservation{{Addr: uint64(at.Phys), Size: at.MemSize}}) {
		t.Errorf("linux,elfcorehdr = %v, %v; want %v", rs, err, at.Range())
	}
	var want []fdt.Reservation
	for _, r := range slices.Backward(host.Crash) {
		want = append(want, fdt.Reservation{Addr: uint64(r.Start), Size: r.Size()})
	}
	if rs, err := cells.Ranges(usable); err != nil || !slices.Equal(rs, want) {
		t.Errorf("linux,usable-memory-range = %v, %v; want %v", rs, err, want)
	}
}

// A kernel that can update the header, as none for these architectures does yet,
// is given room, the flag that is not x86's, and a digest without the header.
func TestDTHotplug(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 64<<10, kexectest.VA52)
	m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
	host := m.Host("arm64")
	p, err := New(host, segmentSpec(machine.Crash, imagetest.SmallARM64(nil)))
	if err != nil {
		t.Fatal(err)
	}
	k := kexectest.NewKernel(m)
	k.HotplugFlag = true
	if err := k.KexecLoad(uint64(p.Entry), p.KernelSegments(), p.LoadFlags); err != nil {
		t.Errorf("the kernel refuses: %v", err)
	}
	s, _ := p.Segment(RoleElfcorehdr)
	if p.LoadFlags != kexec.LoadOnCrash|kexec.LoadHotplugSupport || s.Checked || s.MemSize != 15*64<<10 {
		t.Errorf("flags %v, header of %#x bytes, in the digest %t; want room for %#x, updated by the kernel", p.LoadFlags, s.MemSize, s.Checked, 15*64<<10)
	}
	checkTold(t, host, p)
}

// The purgatory for the plan has what the machine can do, and where to say what
// is wrong.
func TestDTPurgatory(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48)
	for _, tt := range []struct {
		serial, want string
		port         purgatory.Serial
	}{
		{"", "", purgatory.Serial{}},
		{"ttyAMA0", "", purgatory.Serial{Kind: purgatory.SerialPL011, Addr: 0x9000000}},
		{"pl011,0x1000", "", purgatory.Serial{Kind: purgatory.SerialPL011, Addr: 0x1000}},
		{"ttyS0", "no port in memory", purgatory.Serial{}},
		{"0x3f8", "no port in memory", purgatory.Serial{}},
	} {
		spec := segmentSpec(machine.Crash, imagetest.SmallARM64(nil))
		var err error
		if spec.Serial, err = ParseSerial(tt.serial); err != nil {
			t.Fatal(err)
		}
		host := m.Host("arm64")
		_, err = New(host, spec)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("--serial %q: New = %v; want %q", tt.serial, err, tt.want)
		}
		if port, err := spec.Serial.purgatory(host); err == nil && port != tt.port {
			t.Errorf("--serial %q is %+v; want %+v", tt.serial, port, tt.port)
		}
	}
	riscv := kexectest.NewRISCVMachine(t).Host("riscv64")
	if port, err := (Serial{}).purgatory(riscv); err != nil || port.Kind != purgatory.SerialSBI {
		t.Errorf("riscv64: %+v, %v; want the firmware's console", port, err)
	}
}

func TestDTRefusals(t *testing.T) {
	arm := func(change func(m *kexectest.Machine)) func(t testing.TB) *kexectest.Machine {
		return func(t testing.TB) *kexectest.Machine {
			m := kexectest.NewARM64Machine(t, 64<<10, kexectest.VA52)
			if change != nil {
				change(m)
			}
			return m
		}
	}
	tests := []struct {
		name    string
		machine func(t testing.TB) *kexectest.Machine
		spec    func(s *Spec)
		want    string
	}{
		{"old kernel", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.ImageSize = 0 }))
		}, "image_size is 0"},
		{"big-endian", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.Flags |= 1 }))
		}, "big-endian"},
		{"text_offset", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.TextOffset = 0x81000 }))
		}, "no multiple of this machine's pages"},
		{"text_offset too large", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.TextOffset = 1 << 40 }))
		}, "text_offset is"},
		{"huge", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.ImageSize = 1 << 60 }))
		}, "no kernel is larger"},
		{"no room", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.ImageSize = 200 << 20 }))
		}, "do not fit the crash memory"},
		{"vmlinux without a header", arm(nil), func(s *Spec) {
			s.Kernel = FromBytes("kernel", imagetest.VmlinuxOf(elf.EM_AARCH64, make([]byte, 0x8000)))
		}, "header of an Image"},
		{"for riscv64", arm(nil), func(s *Spec) { s.Kernel = FromBytes("kernel", imagetest.SmallRISCV()) }, "this machine is aarch64"},
		{"no device tree", arm(func(m *kexectest.Machine) { m.Remove("sys/firmware/fdt") }), nil, "neither /sys/firmware/fdt nor"},
		{"bad device tree", arm(func(m *kexectest.Machine) { m.Write("sys/firmware/fdt", "no tree") }), nil, "invalid device tree"},
		{"bad --dtb", arm(nil), func(s *Spec) { s.DTB = FromBytes("x.dtb", []byte("no tree")) }, "x.dtb: invalid device tree"},
		{"large --dtb", arm(nil), func(s *Spec) { s.DTB = FromBytes("x.dtb", make([]byte, 3<<20)) }, "at most"},
		{"--dtb by kexec_file_load", arm(nil), func(s *Spec) { s.Method, s.DTB = File, FromBytes("x.dtb", []byte("tree")) }, "takes no device tree"},
		{"one word for addresses", arm(func(m *kexectest.Machine) {
			m.Write("proc/iomem", strings.Replace(kexectest.IomemARM64, "4010000000", "100000000-17fffffff : System RAM\n  150000000-157ffffff : Crash kernel\n4010000000", 1))
			root := &fdt.Node{}
			root.Set("#address-cells", []byte{0, 0, 0, 1})
			m.WriteTree(&fdt.Tree{Root: root})
		}), nil, "does not fit into 1 cells"},
	}
	for _, tt := range tests {
		spec := segmentSpec(machine.Crash, imagetest.SmallARM64(nil))
		if tt.spec != nil {
			tt.spec(spec)
		}
		if _, err := New(tt.machine(t).Host("arm64"), spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v; want an error about %q", tt.name, err, tt.want)
		}
	}
}

// The tables of an ITS are in the way of an ordinary kexec, unless UEFI tells of
// them.
func TestCheckInterrupts(t *testing.T) {
	for _, tt := range []struct {
		name      string
		its, uefi bool
		kind      machine.Kind
		want      advice.Level
	}{{"its", true, false, machine.Boot, advice.Warning}, {"its, UEFI", true, true, machine.Boot, advice.OK}, {"none", false, false, machine.Boot, advice.OK}, {"crash", true, false, machine.Crash, advice.OK}} {
		m := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48)
		root := &fdt.Node{}
		if tt.its {
			root.Make("intc").Make("its@8080000").Set("compatible", []byte("x\x00arm,gic-v3-its\x00"))
		}
		if tt.uefi {
			root.Make("chosen").SetUint64("linux,uefi-system-table", 1)
		}
		m.WriteTree(&fdt.Tree{Root: root})
		host := m.Host("arm64")
		p, err := New(host, segmentSpec(tt.kind, imagetest.SmallARM64(nil)))
		if err != nil {
			t.Fatal(err)
		}
		got := advice.OK
		for _, f := range p.Check(host) {
			got = max(got, f.Level)
		}
		if got != tt.want {
			t.Errorf("%s: the worst finding is %v; want %v: %+v", tt.name, got, tt.want, p.Check(host))
		}
	}
}

// A kernel without kexec_file_load says so in its configuration, or by ENOSYS: both
// lead to segments; so does --dtb. The device tree of the machine may be one of
// directories.
func TestDTAuto(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48)
	spec := segmentSpec(machine.Crash, imagetest.SmallARM64(nil))
	spec.Method = Auto
	p, err := New(m.Host("arm64"), spec)
	if err != nil || p.Method != Segments || !strings.Contains(p.Why, "CONFIG_KEXEC_FILE") {
		t.Fatalf("New = %+v, %v; want segments, because of the configuration", p, err)
	}
	m.Remove("boot/config-6.12.1")
	if p, err = New(m.Host("arm64"), spec); err != nil || p.Method != File || !p.Fallback {
		t.Fatalf("New = %+v, %v; want the file method with segments to fall back on", p, err)
	}
	if p, err = fallBack(m.Host("arm64"), p); err != nil || p.Method != Segments || len(p.Segments) != 5 {
		t.Fatalf("the fallback is %+v, %v; want 5 segments", p, err)
	}
	m.Remove("sys/firmware/fdt")
	m.Write("sys/firmware/devicetree/base/compatible", "directories\x00")
	tree := &fdt.Tree{Root: &fdt.Node{}}
	tree.Root.SetString("compatible", "given")
	b, err := tree.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"directories", "given"} {
		if want == "given" {
			spec.DTB = FromBytes("given.dtb", b)
		} else {
			spec.Method = Segments
		}
		p, err := New(m.Host("arm64"), spec)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := p.Segment(RoleDTB)
		got, err := fdt.Parse(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		if c, _ := got.Root.Property("compatible"); string(c) != want+"\x00" {
			t.Errorf("compatible = %q; want %q", c, want)
		}
		spec.Method = Auto
	}
}
