package reservation

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// virtual is a small virtual machine, with room below 4 GiB.
func virtual() Machine {
	return Machine{Arch: elf.EM_X86_64, Release: "6.12.1", Page: 4096, RAM: 4 * gib, LowRAM: memmap.NewSet(memmap.Range{Start: 1 << 20, End: 3 * gib}),
		Image: 57 * mib, Packed: 5 * mib, Unpacked: 14 * mib, PCIDevices: 6, AllCPUs: 2, Virtual: true}
}

func change(m Machine, f func(*Machine)) Machine { f(&m); return m }

func TestRecommend(t *testing.T) {
	base := virtual()
	least := Recommend(base)
	if least.Bytes < 96*mib || least.Bytes > 160*mib || least.Low != "" || least.Value != sizeText(least.Bytes) {
		t.Errorf("Recommend of a small virtual machine = %+v; want 96M to 160M", least)
	}
	// Each fact that takes memory makes it larger, and says so.
	for _, tt := range []struct {
		name   string
		change func(*Machine)
		more   uint64 // at least, bytes
		says   string
	}{
		{"larger kernel", func(m *Machine) { m.Image += 64 * mib }, 64 * mib, "kernel: 121 MiB"},
		{"larger initramfs", func(m *Machine) { m.Packed, m.Unpacked = 40*mib, 120*mib }, 141 * mib, "unpacked: 120 MiB"},
		{"CPUs", func(m *Machine) { m.CPUs = 9 }, 32 * mib, "more CPUs: 32 MiB"},
		{"physical", func(m *Machine) { m.Virtual, m.PCIDevices = false, 300 }, 40 * mib, "firmware and chipset"},
		{"memory encryption", func(m *Machine) { m.Encrypted = true }, 64 * mib, "bounce buffers: 64 MiB (memory is encrypted"},
		{"large pages", func(m *Machine) { m.Arch, m.Page = elf.EM_AARCH64, 64<<10 }, 64 * mib, "larger pages: 100 MiB"},
		{"SMMU", func(m *Machine) { m.Arch, m.SMMU = elf.EM_AARCH64, true }, 48 * mib, "SMMU: 64 MiB"},
		{"RAM without large pages", func(m *Machine) { m.Control = 64 * mib }, 64 * mib, "identity mapping"},
		{"not measured", func(m *Machine) { m.Arch, m.RAM, m.AllCPUs = elf.EM_PPC64, 100*gib, 64 }, 1900 * mib, "as Fedora, RHEL 10, 2112 MiB"},
	} {
		got := Recommend(change(base, tt.change))
		if got.Bytes < least.Bytes+tt.more-16*mib || !strings.Contains(strings.Join(got.Why, "\n"), tt.says) {
			t.Errorf("%s: %+v; want at least %d MiB, and %q", tt.name, got, (least.Bytes+tt.more)/mib, tt.says)
		}
		if v, err := Parse(got.Value); err != nil || v.Size(64*gib)%(16*mib) != 0 {
			t.Errorf("%s: value %s: %v", tt.name, got.Value, err)
		}
	}
}

// Where nothing is free below 4 GiB the reservation is above, with a small one below for DMA, if the kernel
// knows the words.
func TestRecommendHigh(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    Machine
		high bool
	}{
		{"room below", virtual(), false},
		{"little below", change(virtual(), func(m *Machine) { m.LowRAM = memmap.NewSet(memmap.Range{End: 300 * mib}) }), true},
		{"pieces below", change(virtual(), func(m *Machine) {
			m.LowRAM = memmap.NewSet(memmap.Range{End: gib / 4}, memmap.Range{Start: gib, End: gib + gib/4})
		}), true},
		{"old arm64", change(virtual(), func(m *Machine) {
			m.Arch, m.Release, m.LowRAM = elf.EM_AARCH64, "5.10.0", memmap.NewSet(memmap.Range{End: 300 * mib})
		}), false},
		{"not known", change(virtual(), func(m *Machine) { m.LowRAM = memmap.Set{} }), false},
	} {
		got := Recommend(tt.m)
		words := got.String()
		if high := strings.Contains(words, ",high"); high != tt.high || high != strings.HasSuffix(words, " crashkernel=72M,low") || high != (got.Low != "") {
			t.Errorf("%s: %s; want high: %t", tt.name, words, tt.high)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, row := range defaultRows() {
		if v, err := Parse(row.value); err != nil || v.Size(1<<45) == 0 {
			t.Errorf("%s: %v, %v", row.name, v, err)
		}
	}
	arm := change(virtual(), func(m *Machine) { m.Arch, m.Page, m.RAM = elf.EM_AARCH64, 64<<10, 128*gib })
	for _, tt := range []struct {
		m    Machine
		name string
		want uint64 // MiB
	}{
		{virtual(), "Fedora, RHEL 10", 256},
		{change(virtual(), func(m *Machine) { m.Encrypted = true }), "Fedora, RHEL 10", 320},
		{change(virtual(), func(m *Machine) { m.RAM = gib }), "Fedora, RHEL 10", 0},
		{change(virtual(), func(m *Machine) { m.RAM = gib }), "Debian, kdump-tools", 192},
		{virtual(), "Ubuntu 24.10 to 26.04", 512},
		{arm, "Fedora, RHEL 10", 676},
		{change(arm, func(m *Machine) { m.SMMU = true }), "Fedora, RHEL 10", 676 + 384},
		{change(virtual(), func(m *Machine) { m.Arch, m.RAM, m.AllCPUs = elf.EM_PPC64, 32*gib, 16 }), "Fedora, RHEL 10", 1040},
	} {
		found := false
		for _, d := range Defaults(tt.m) {
			if d.Name == tt.name {
				found = true
				if d.Bytes != tt.want*mib {
					t.Errorf("%s of %v with %d GiB = %d MiB; want %d", d.Name, tt.m.Arch, tt.m.RAM/gib, d.Bytes/mib, tt.want)
				}
			}
		}
		if !found {
			t.Errorf("no row of %s for %v", tt.name, tt.m.Arch)
		}
	}
}

// What was measured is what the sum gives for that machine, and the recommendation has a margin over it.
func TestMeasured(t *testing.T) {
	for _, row := range MeasuredTable() {
		m := Machine{Arch: row.Arch, Page: 4096, Virtual: true, Image: row.ImageKiB << 10, Packed: row.PackedKiB << 10, Unpacked: row.UnpackedKiB << 10}
		if got := m.Need(); got < row.SmallestMiB*mib {
			t.Errorf("%s, %s: %d MiB are needed by the sum, %d were", row.Release, row.Target, got/mib, row.SmallestMiB)
		}
		if got := Recommend(m).Bytes; got < row.SmallestMiB*mib+marginLeast {
			t.Errorf("%s, %s: %d MiB are recommended, %d were needed", row.Release, row.Target, got/mib, row.SmallestMiB)
		}
	}
}

func TestCheck(t *testing.T) {
	low := func(n uint64) memmap.Range { return memmap.Range{Start: gib, End: gib + memmap.PhysAddr(n*mib)} }
	high := func(n uint64) memmap.Range { return memmap.Range{Start: 8 * gib, End: 8*gib + memmap.PhysAddr(n*mib)} }
	for _, tt := range []struct {
		name   string
		crash  []memmap.Range
		change func(*Machine)
		want   advice.Level
		says   string
	}{
		{"none", nil, nil, advice.Unknown, "no crash memory"},
		{"enough", []memmap.Range{low(128)}, nil, advice.OK, "128 MiB are reserved, a capture of this machine needs about "},
		{"too small", []memmap.Range{low(80)}, nil, advice.Warning, "may run out of memory"},
		{"a large initramfs", []memmap.Range{low(192)}, func(m *Machine) { m.Packed, m.Unpacked = 40*mib, 120*mib }, advice.Warning, "may run out"},
		{"both", []memmap.Range{low(72), high(160)}, nil, advice.OK, "232 MiB"},
		{"high alone", []memmap.Range{high(256)}, nil, advice.Warning, "64 MiB of it below 4 GiB"},
		{"the low one is not loaded into", []memmap.Range{low(256), high(64)}, nil, advice.Warning, "320 MiB are reserved"},
		{"encrypted", []memmap.Range{low(128)}, func(m *Machine) { m.Encrypted = true }, advice.Warning, "may run out"},
	} {
		m := virtual()
		if m.Crash = tt.crash; tt.change != nil {
			tt.change(&m)
		}
		f := Check(m)
		if f.Level != tt.want || !strings.Contains(f.Detail, tt.says) || (f.Level == advice.Warning) != strings.Contains(f.Remedy, "boot with crashkernel=") {
			t.Errorf("%s: %+v; want %v, %q", tt.name, f, tt.want, tt.says)
		}
	}
}

func TestSpare(t *testing.T) {
	size := Recommend(virtual()).Bytes
	high := Recommend(change(virtual(), func(m *Machine) { m.LowRAM = memmap.NewSet(memmap.Range{End: 300 * mib}) })).Bytes - leastLow
	for _, tt := range []struct {
		name  string
		crash []memmap.Range
		want  uint64
	}{
		{"none", nil, 0},
		{"exact", []memmap.Range{{Start: gib, End: gib + memmap.PhysAddr(size)}}, 0},
		{"small", []memmap.Range{{Start: gib, End: gib + 64*mib}}, 0},
		{"large", []memmap.Range{{Start: gib, End: gib + 512*mib}}, 512*mib - size},
		{"high, beside a low one", []memmap.Range{{Start: gib, End: gib + 256*mib}, {Start: 8 * gib, End: 9 * gib}}, gib - high},
	} {
		if got := Spare(change(virtual(), func(m *Machine) { m.Crash = tt.crash })); got != tt.want {
			t.Errorf("%s: %d MiB to spare; want %d", tt.name, got/mib, tt.want/mib)
		}
	}
}
