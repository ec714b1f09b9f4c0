package plan

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// efiMachine is booted by UEFI, with a framebuffer, a disk with an EDD, and all
// fields of boot_params set that a next kernel is told.
func efiMachine(t testing.TB) *kexectest.Machine {
	m := kexectest.NewMachine(t)
	b := make([]byte, machine.BootParamsSize)
	for i := range screenInfoSize {
		b[i] = byte(i + 1)
	}
	le.PutUint64(b[machine.OffsetRSDP:], 0x3fb7e014)
	copy(b[bpEFIInfo:], "EL64")
	le.PutUint32(b[bpEFIInfo+4:], 0x3f9ec018) // systab
	le.PutUint32(b[bpEFIDescSize:], 48)
	le.PutUint32(b[bpEFIDescSize+4:], 1)
	le.PutUint32(b[bpEFIMemmap:], 0x12345000)
	le.PutUint32(b[machine.OffsetEFIMemmapSize:], 48*100)
	b[bpEDDEntries], b[bpEDDSigEntries], b[bpSecureBoot] = 1, 2, 3
	copy(b[bpEDDSig:], "sig1sig2")
	copy(b[bpEDD:], "an edd_info")
	le.PutUint32(b[bpSubarch:], 0)
	m.Write("sys/kernel/boot_params/data", string(b))
	m.Write("sys/firmware/efi/systab", "ACPI20=0x3fb7e014\nACPI=0x3fb7e000\nSMBIOS3=0x3f9c8000\nSMBIOS=0x3f9cb000\n")
	m.Write("sys/firmware/efi/fw_vendor", "0x3fbee018\n")
	m.Write("sys/firmware/efi/config_table", "0x3f9eb718\n")
	for i, name := range []string{"10", "0", "2"} {
		dir := "sys/firmware/efi/runtime-map/" + name + "/"
		m.Write(dir+"type", fmt.Sprintf("%#x\n", 5+i))
		m.Write(dir+"phys_addr", fmt.Sprintf("%#x\n", 0x3f000000+i<<16))
		m.Write(dir+"virt_addr", fmt.Sprintf("%#x\n", uint64(0xfffffffeffe00000)+uint64(i)<<16))
		m.Write(dir+"num_pages", "0x10\n")
		m.Write(dir+"attribute", "0x800000000000000f\n")
	}
	return m
}

// setupList walks the setup_data list of a boot_params segment.
func setupList(t *testing.T, s Segment) map[setupType][]byte {
	t.Helper()
	nodes := map[setupType][]byte{}
	next := le.Uint64(s.Data[bpSetupData:])
	for next != 0 {
		at := next - uint64(s.Phys)
		if at%8 != 0 || at+setupDataHead > uint64(len(s.Data)) {
			t.Fatalf("setup_data at %#x is not in the segment at %v", next, s.Range())
		}
		n := s.Data[at:]
		size := le.Uint32(n[12:])
		nodes[setupType(le.Uint32(n[8:]))] = n[setupDataHead : setupDataHead+size]
		next = le.Uint64(n)
	}
	return nodes
}

func TestBootParams(t *testing.T) {
	m := efiMachine(t)
	host := m.Host("x86_64")
	if len(host.Unread) != 0 {
		t.Fatalf("Unread = %v; want none", host.Unread)
	}
	p, err := New(host, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := p.Segment(RoleBootParams)
	kernel, _ := p.Segment(RoleKernel)
	initrd, _ := p.Segment(RoleInitrd)
	b := s.Data
	at := func(low, high int) uint64 { return uint64(le.Uint32(b[low:])) | uint64(le.Uint32(b[high:]))<<32 }
	text, _, _ := bytes.Cut(b[at(bpCmdline, bpExtCmdline)-uint64(s.Phys):], []byte{0})
	efiAt := at(bpEFIMemmap, bpEFIMemmapHi) - uint64(s.Phys)
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"screen_info", string(b[4:screenInfoSize]), string(host.X86.BootParams[4:screenInfoSize])},
		{"acpi_rsdp_addr", le.Uint64(b[machine.OffsetRSDP:]), uint64(0x3fb7e014)},
		{"setup_header", string(b[0x1f1:0x20f]), string(imagetest.SmallBzImage().Bytes()[0x1f1:0x20f])},
		{"type_of_loader", b[bpLoaderType], byte(0xd0)},
		{"initrd", at(bpRamdisk, bpExtRamdisk), uint64(initrd.Phys)},
		{"initrd size", at(bpRamdiskSize, bpExtRamdiskSize), uint64(len(initrd.Data))},
		{"command line", string(text), p.KernelCmdline},
		{"EDD", string(b[bpEDD:bpEDD+11]) + string(b[bpEDDSig:bpEDDSig+8]), "an edd_infosig1sig2"},
		{"EDD counts", [2]byte{b[bpEDDEntries], b[bpEDDSigEntries]}, [2]byte{1, 2}},
		{"secure_boot", b[bpSecureBoot], byte(3)},
		{"efi_info", string(b[bpEFIInfo : bpEFIInfo+12]), "EL64\x18\xc0\x9e\x3f\x30\x00\x00\x00"},
		{"EFI map size", le.Uint32(b[machine.OffsetEFIMemmapSize:]), uint32(3 * 48)},
		{"first of the EFI map", le.Uint64(b[efiAt+8:]), uint64(0x3f010000)},
		{"last of the EFI map", le.Uint64(b[efiAt+96+8:]), uint64(0x3f000000)},
		{"attribute", le.Uint64(b[efiAt+32:]), uint64(0x800000000000000f)},
		{"e820_entries", int(b[bpE820Entries]), len(p.E820)},
		{"kernel entry", p.KernelEntry, kernel.Phys + 0x200},
		{"sentinel", b[0x1ef], byte(0)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %#v; want %#v", tt.what, tt.got, tt.want)
		}
	}
	nodes := setupList(t, s)
	if efi := nodes[setupEFI]; len(efi) != efiSetupSize || le.Uint64(efi) != 0x3fbee018 || le.Uint64(efi[16:]) != 0x3f9eb718 || le.Uint64(efi[24:]) != 0x3f9cb000 {
		t.Errorf("SETUP_EFI = % x", efi)
	}
	if seed := nodes[setupRNGSeed]; !bytes.Equal(seed, bytes.Repeat([]byte{7}, SeedSize)) || len(nodes) != 2 {
		t.Errorf("setup_data = %v; want SETUP_EFI and the seed", nodes)
	}
}

// Without runtime services the kernel is not told of EFI at all, but of ACPI.
func TestBootParamsNoRuntime(t *testing.T) {
	m := efiMachine(t)
	m.Remove("sys/firmware/efi/runtime-map")
	p, err := New(m.Host("x86_64"), segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := p.Segment(RoleBootParams)
	if !bytes.Equal(s.Data[bpEFIInfo:bpEFIInfo+efiInfoSize], make([]byte, efiInfoSize)) || le.Uint64(s.Data[machine.OffsetRSDP:]) != 0x3fb7e014 {
		t.Errorf("efi_info = % x, acpi_rsdp_addr = %#x", s.Data[bpEFIInfo:bpEFIInfo+efiInfoSize], le.Uint64(s.Data[machine.OffsetRSDP:]))
	}
}

// A kernel that may be too old for acpi_rsdp_addr gets it on the command line.
func TestOldKernelRSDP(t *testing.T) {
	for _, tt := range []struct {
		protocol uint16
		cmdline  string
		want     bool
	}{{0x20d, "a=b", true}, {0x20f, "a=b", false}, {0x20d, "acpi_rsdp=0x1", false}} {
		z := imagetest.SmallBzImage()
		z.Protocol = tt.protocol
		spec := segmentSpec(machine.Crash, z.Bytes())
		spec.Cmdline = tt.cmdline
		p, err := New(efiMachine(t).Host("x86_64"), spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(p.KernelCmdline, "acpi_rsdp=0x3fb7e014 "); got != tt.want {
			t.Errorf("protocol %#x, %q: command line %q; acpi_rsdp= is wanted: %t", tt.protocol, tt.cmdline, p.KernelCmdline, tt.want)
		}
	}
}

// More ranges than boot_params holds go into a SETUP_E820_EXT, no RAM among them.
func TestManyRanges(t *testing.T) {
	for _, n := range []int{100, 120, 130, 500, 8192} {
		m := kexectest.NewMachine(t)
		var extra strings.Builder
		for i := range n {
			fmt.Fprintf(&extra, "%08x-%08x : Reserved\n", 0x40000000+i<<16, 0x40000fff+i<<16)
		}
		// Before the crash memory's own, in part.
		m.Write("proc/iomem", strings.Replace(kexectest.Iomem, "b0000000-bfff", extra.String()+"b0000000-bfff", 1))
		host := m.Host("x86_64")
		p, err := New(host, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		checkSegmentPlan(t, host, kexectest.NewKernel(m), p)
		s, _ := p.Segment(RoleBootParams)
		table := s.Data[bpE820 : bpE820+e820EntrySize*int(s.Data[bpE820Entries])]
		inline := len(table) / e820EntrySize
		table = append(bytes.Clone(table), setupList(t, s)[setupE820Ext]...)
		if len(table) != e820EntrySize*len(p.E820) || inline > maxE820 {
			t.Errorf("%d ranges: %d bytes of e820, %d entries in boot_params; want %d entries", n, len(table), inline, len(p.E820))
		}
		var got []E820Entry
		for i := 0; i < len(table); i += e820EntrySize {
			start := memmap.PhysAddr(le.Uint64(table[i:]))
			e := E820Entry{memmap.Range{Start: start, End: start + memmap.PhysAddr(le.Uint64(table[i+8:]))}, machine.E820Type(le.Uint32(table[i+16:]))}
			if e.Type == machine.E820RAM && i/e820EntrySize >= maxE820 {
				t.Errorf("%d ranges: RAM %v is entry %d, behind those of boot_params", n, e.Range, i/e820EntrySize)
			}
			got = append(got, e)
		}
		if !ramOf(got).Equal(ramOf(p.E820)) {
			t.Errorf("%d ranges: RAM is %v; want %v", n, ramOf(got), ramOf(p.E820))
		}
		auto := segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())
		auto.Method = Auto
		if p, err := New(host, auto); err != nil || (p.Method == Segments) != (n > maxE820) {
			t.Errorf("%d ranges: auto takes %v, %v", n, p.Method, err)
		}
	}
}

// A map for boot is the firmware's, less what the running kernel found reserved.
func TestBootE820(t *testing.T) {
	m := kexectest.NewMachine(t)
	m.WriteFirmware(
		memmap.FirmwareEntry{Range: memmap.Range{Start: 0, End: 0x9fc00}, Type: "System RAM"},
		memmap.FirmwareEntry{Range: memmap.Range{Start: 0xf0000, End: 0x100000}, Type: "Reserved"},
		memmap.FirmwareEntry{Range: memmap.Range{Start: 0x100000, End: 0x3fff0000}, Type: "System RAM"},
		memmap.FirmwareEntry{Range: memmap.Range{Start: 0x3fff0000, End: 0x40000000}, Type: "ACPI Tables"},
	)
	host := m.Host("x86_64")
	want := []E820Entry{
		{memmap.Range{Start: 0, End: 0x9fc00}, machine.E820RAM},
		{memmap.Range{Start: 0xf0000, End: 0x100000}, machine.E820Reserved},
		{memmap.Range{Start: 0x100000, End: 0x3ffdf000}, machine.E820RAM},
		{memmap.Range{Start: 0x3ffdf000, End: 0x3fff0000}, machine.E820Reserved},
		{memmap.Range{Start: 0x3fff0000, End: 0x40000000}, machine.E820ACPI},
	}
	if got := bootE820(host); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("bootE820 = %v; want %v", got, want)
	}
	m.Remove("sys/firmware/memmap")
	if got := ramOf(bootE820(m.Host("x86_64"))); !got.Equal(host.Iomem.BootRAM()) {
		t.Errorf("without a firmware map RAM is %v; want that of /proc/iomem", got)
	}
}
