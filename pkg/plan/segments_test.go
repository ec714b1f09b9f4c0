package plan

import (
	"bytes"
	"debug/elf"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// checkSegmentPlan holds what must be true of every plan by kexec_load, and hands
// it to the fake kernel.
func checkSegmentPlan(t testing.TB, host *machine.Host, k *kexectest.Kernel, p *Plan) {
	t.Helper()
	if err := advice.FirstFailure(p.Check(host)); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := k.KexecLoad(uint64(p.Entry), p.KernelSegments(), p.LoadFlags); err != nil {
		t.Errorf("the kernel refuses: %v", err)
	}
	roles := map[Role]int{}
	var used, last memmap.Set
	for i := range p.Segments {
		s := &p.Segments[i]
		roles[s.Role]++
		if uint64(s.Phys)%max(s.Align, memmap.PageSize) != 0 || s.MemSize%memmap.PageSize != 0 || used.Overlaps(s.Range()) || uint64(len(s.Data)) > s.MemSize {
			t.Errorf("%s at %v: not aligned to %#x, not whole pages, or on another", s.Role, s.Range(), s.Align)
		}
		used = used.Union(memmap.NewSet(s.Range()))
		if elfFirst := bytes.HasPrefix(s.Data, []byte(elf.ELFMAG)); elfFirst != (s.Role == RoleElfcorehdr) && p.Hotplug {
			t.Errorf("%s begins with the ELF magic: %t", s.Role, elfFirst)
		}
		if want := s.Role != RolePurgatory && s.Role != RoleBackup && !(s.Role == RoleElfcorehdr && p.Hotplug); s.Checked != want {
			t.Errorf("%s is in the digest: %t; want %t", s.Role, s.Checked, want)
		}
	}
	for role, n := range roles {
		if n != 1 {
			t.Errorf("%d segments are %s; want 1", n, role)
		}
	}
	checkE820(t, host, p, used, last)
	checkDigest(t, host, p)
}

func checkE820(t testing.TB, host *machine.Host, p *Plan, used, last memmap.Set) {
	t.Helper()
	for _, e := range p.E820 {
		if e.Empty() || last.Overlaps(e.Range) {
			t.Errorf("e820: %v %v is empty or overlaps another", e.Range, e.Type)
		}
		last = last.Union(memmap.NewSet(e.Range))
	}
	ram := ramOf(p.E820)
	if p.Kind == machine.Boot {
		if !used.Minus(ram).Empty() {
			t.Errorf("segments %v are not in the RAM that the new kernel sees", used.Minus(ram))
		}
		return
	}
	region, _ := host.CrashRegion()
	for _, role := range []Role{RoleElfcorehdr, RoleBackup} {
		if s, ok := p.Segment(role); ok && ram.Overlaps(s.Range()) {
			t.Errorf("the new kernel takes the %s at %v for RAM", role, s.Range())
		}
	}
	own := memmap.NewSet(host.Crash...).Union(lowRAM(host.Iomem))
	if extra := ram.Minus(own); !extra.Empty() {
		t.Errorf("the new kernel takes %v for RAM: that is what it should save", extra)
	}
	free := memmap.NewSet(region).Minus(used)
	if free.Size() < ControlPages(host) {
		t.Errorf("%d bytes are left for control pages; want %d", free.Size(), ControlPages(host))
	}
	header, _ := p.Segment(RoleElfcorehdr)
	if header.Phys != region.Start || !free.Contains(memmap.Range{Start: header.Range().End, End: header.Range().End + memmap.PhysAddr(ControlPages(host))}) {
		t.Errorf("the elfcorehdr is at %v, and %v is free; want it at the beginning of %v, and room behind it", header.Range(), free, region)
	}
	if !strings.HasPrefix(p.KernelCmdline, "elfcorehdr="+header.Phys.String()) {
		t.Errorf("command line %q does not tell of the elfcorehdr at %v", p.KernelCmdline, header.Phys)
	}
	got, err := elfcore.ParseHeader(header.Data)
	if err != nil || !reflect.DeepEqual(got, p.Header) {
		t.Errorf("the elfcorehdr reads back as %+v, %v; want %+v", got, err, p.Header)
	}
}

// checkDigest computes what the purgatory will, of memory as the kernel fills it.
func checkDigest(t testing.TB, host *machine.Host, p *Plan) {
	t.Helper()
	var all []purgatory.Segment
	for _, s := range p.Segments {
		if s.Checked {
			size := int(host.PageUp(uint64(len(s.Data))))
			all = append(all, purgatory.Segment{Data: append(bytes.Clone(s.Data), make([]byte, size-len(s.Data))...), MemSize: uint64(size)})
		}
	}
	if sum, err := purgatory.Digest(all); err != nil || sum != p.Digest {
		t.Errorf("digest of the segments = %x, %v; the plan has %x", sum, err, p.Digest)
	}
	s, _ := p.Segment(RolePurgatory)
	if !bytes.Contains(s.Data, p.Digest[:]) || p.Entry != s.Phys+purgatory.Entry {
		t.Errorf("the purgatory at %v, entered at %v, does not hold the digest", s.Phys, p.Entry)
	}
}

func segmentSpec(kind machine.Kind, kernel []byte) *Spec {
	return &Spec{Kind: kind, Method: Segments, Kernel: FromBytes("kernel", kernel), Initrd: FromBytes("initrd", bytes.Repeat([]byte("initrd"), 3000)),
		Cmdline: "console=ttyS0", Seed: bytes.Repeat([]byte{7}, SeedSize)}
}

func TestSegmentPlans(t *testing.T) {
	tests := []struct {
		name    string
		machine func(m *kexectest.Machine)
		spec    func(s *Spec)
		kernel  []byte
		flags   kexec.LoadFlags
		roles   string
	}{
		{name: "bzImage", kernel: imagetest.SmallBzImage().Bytes(), flags: kexec.LoadOnCrash, roles: "elfcorehdr kernel initrd boot_params purgatory backup"},
		{name: "hotplug", kernel: imagetest.SmallBzImage().Bytes(), machine: func(m *kexectest.Machine) { m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n") },
			flags: kexec.LoadOnCrash | kexec.LoadUpdateElfcorehdr, roles: "elfcorehdr kernel initrd boot_params purgatory backup"},
		{name: "hotplug off", kernel: imagetest.SmallBzImage().Bytes(), machine: func(m *kexectest.Machine) { m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n") },
			spec: func(s *Spec) { s.Hotplug = HotplugOff }, flags: kexec.LoadOnCrash, roles: "elfcorehdr kernel initrd boot_params purgatory backup"},
		{name: "initrd like an ELF file", kernel: imagetest.SmallBzImage().Bytes(), machine: func(m *kexectest.Machine) { m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n") },
			spec:  func(s *Spec) { s.Initrd = FromBytes("initrd", []byte("\x7fELF...")) },
			flags: kexec.LoadOnCrash, roles: "elfcorehdr kernel initrd boot_params purgatory backup"},
		{name: "vmlinux", kernel: imagetest.SmallVmlinux(), flags: kexec.LoadOnCrash, roles: "elfcorehdr kernel initrd boot_params purgatory backup"},
		{name: "no initrd, serial, no checks", kernel: imagetest.SmallBzImage().Bytes(), spec: func(s *Spec) {
			s.Initrd, s.Serial, s.NoChecks, s.Seed = nil, Serial{Port: 0x3f8, Baud: 115200}, true, nil
		},
			flags: kexec.LoadOnCrash, roles: "elfcorehdr kernel boot_params purgatory backup"},
		{name: "boot", kernel: imagetest.SmallBzImage().Bytes(), spec: func(s *Spec) { s.Kind = machine.Boot }, roles: "purgatory boot_params kernel initrd"},
		{name: "boot a vmlinux", kernel: imagetest.SmallVmlinux(), spec: func(s *Spec) { s.Kind = machine.Boot }, roles: "purgatory boot_params kernel initrd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := kexectest.NewMachine(t)
			if tt.machine != nil {
				tt.machine(m)
			}
			spec := segmentSpec(machine.Crash, tt.kernel)
			if tt.spec != nil {
				tt.spec(spec)
			}
			host := m.Host("x86_64")
			p, err := New(host, spec)
			if err != nil {
				t.Fatal(err)
			}
			k := kexectest.NewKernel(m)
			k.HotplugFlag = host.ElfcorehdrSize > 0
			checkSegmentPlan(t, host, k, p)
			var roles []string
			for _, s := range p.Segments {
				roles = append(roles, string(s.Role))
			}
			if got := strings.Join(roles, " "); got != tt.roles || p.LoadFlags != tt.flags {
				t.Errorf("segments = %s, flags %v; want %s, %v", got, p.LoadFlags, tt.roles, tt.flags)
			}
			if s, _ := p.Segment(RoleElfcorehdr); p.Hotplug && s.MemSize != elfcore.HotplugSegmentSize(917616, 4096) {
				t.Errorf("the elfcorehdr has %d bytes of memory; want room for what the kernel writes", s.MemSize)
			}
			again, err := New(m.Host("x86_64"), spec)
			if err != nil || !reflect.DeepEqual(again.SegmentPlan, p.SegmentPlan) {
				t.Errorf("the same inputs give another plan (%v)", err)
			}
		})
	}
}

// A vmlinux is laid out as its PT_LOADs say, moved as a whole.
func TestVMLinuxLayout(t *testing.T) {
	m := kexectest.NewMachine(t)
	host := m.Host("x86_64")
	crash, err := New(host, segmentSpec(machine.Crash, imagetest.SmallVmlinux()))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := New(host, segmentSpec(machine.Boot, imagetest.SmallVmlinux()))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := boot.Segment(RoleKernel)
	if s.Phys != 0x1000000 || boot.KernelEntry != 0x1000040 {
		t.Errorf("kernel for boot is at %v, entered at %v; want where it is linked", s.Phys, boot.KernelEntry)
	}
	c, _ := crash.Segment(RoleKernel)
	if !bytes.Equal(c.Data, s.Data) || c.MemSize != 0x501000 || crash.KernelEntry != c.Phys+0x40 || uint64(c.Phys)%vmlinuxAlign != 0 {
		t.Errorf("crash kernel at %v, %#x bytes, entered at %v", c.Phys, c.MemSize, crash.KernelEntry)
	}
	if !bytes.HasPrefix(s.Data[0x200000:], []byte("per-CPU\x00")) || !bytes.HasPrefix(s.Data[0x201000:], []byte("init")) {
		t.Error("the parts are not where their physical addresses say")
	}
}

func TestSegmentRefusals(t *testing.T) {
	fixed := imagetest.SmallBzImage()
	fixed.Relocatable = false
	small := imagetest.SmallBzImage()
	small.InitSize = 127 << 20
	tests := []struct {
		name    string
		machine func(m *kexectest.Machine)
		spec    func(s *Spec)
		want    error
		message string
	}{
		{"no hotplug", nil, func(s *Spec) { s.Hotplug = HotplugOn }, unix.EINVAL, "crash_elfcorehdr_size"},
		{"not relocatable", nil, func(s *Spec) { s.Kernel = FromBytes("k", fixed.Bytes()) }, unix.ENOEXEC, "CONFIG_RELOCATABLE"},
		{"no room", nil, func(s *Spec) { s.Kernel = FromBytes("k", small.Bytes()) }, unix.EADDRNOTAVAIL, "enlarge crashkernel="},
		{"no kcore", func(m *kexectest.Machine) { m.Remove("proc/kcore") }, nil, kcore.ErrKcoreUnreadable, "/proc/kcore"},
		{"no notes", func(m *kexectest.Machine) { m.Remove("sys/devices") }, nil, nil, "elfcorehdr can't be built"},
		{"no crash memory", func(m *kexectest.Machine) { m.Write("proc/iomem", "00100000-3ffdefff : System RAM\n") }, nil, unix.EADDRNOTAVAIL, "no memory is reserved"},
		{"lockdown", func(m *kexectest.Machine) {
			m.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
		}, nil, unix.EPERM, "refuses kexec_load"},
		{"arm64 image", nil, func(s *Spec) { s.Kernel = FromBytes("k", imagetest.GoodARM64().Bytes()) }, unix.ENOEXEC, "is for aarch64"},
		{"long command line", nil, func(s *Spec) { s.Cmdline = strings.Repeat("x", 2020) }, cmdline.ErrBad, "too long"},
		{"boot: over half of memory", nil, func(s *Spec) {
			s.Kind, s.Initrd = machine.Boot, FromBytes("i", make([]byte, 450<<20))
		}, unix.EINVAL, "half"},
	}
	for _, tt := range tests {
		m := kexectest.NewMachine(t)
		if tt.machine != nil {
			tt.machine(m)
		}
		spec := segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())
		if tt.spec != nil {
			tt.spec(spec)
		}
		host := m.Host("x86_64")
		p, err := New(host, spec)
		if err == nil {
			err = advice.FirstFailure(p.Check(host))
		}
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error = %v; want %v", tt.name, err, tt.want)
			continue
		}
		if text := err.Error() + " " + advice.Hint(err); !strings.Contains(text, tt.message) || strings.Contains(text, "\n") {
			t.Errorf("%s: message and hint = %q; want %q in one line", tt.name, text, tt.message)
		}
	}
}

// The kernel that is fixed to an address is taken where that address is free.
func TestFixedKernel(t *testing.T) {
	fixed := imagetest.SmallBzImage()
	fixed.Relocatable, fixed.PrefAddress = false, 0x38000000
	m := kexectest.NewMachine(t)
	host := m.Host("x86_64")
	p, err := New(host, segmentSpec(machine.Crash, fixed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := p.Segment(RoleKernel); s.Phys != 0x38000000 {
		t.Errorf("the kernel is at %v; want 0x38000000", s.Phys)
	}
	checkSegmentPlan(t, host, kexectest.NewKernel(m), p)
}
