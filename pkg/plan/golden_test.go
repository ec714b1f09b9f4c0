package plan

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

var update = flag.Bool("update", false, "write the golden plans anew")

// describe prints all of a plan but the purgatory's code.
func describe(p *Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kind %v, flags %v\nentry %v, kernel %v\ncmdline %s\n", p.Kind, p.LoadFlags, p.Entry, p.KernelEntry, p.KernelCmdline)
	for _, s := range p.Segments {
		fmt.Fprintf(&b, "segment %-11s %v aligned to %#x checked %t", s.Role, s.Range(), s.Align, s.Checked)
		if s.Role != RolePurgatory {
			fmt.Fprintf(&b, " %d bytes %x", len(s.Data), sha256.Sum256(s.Data))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "digest %x\n", p.Digest)
	for _, e := range p.E820 {
		fmt.Fprintf(&b, "e820 %v %v\n", e.Range, e.Type)
	}
	if p.Header != nil {
		for _, n := range p.Header.CPUNotes {
			fmt.Fprintf(&b, "note %v %d\n", n.Addr, n.Size)
		}
		for _, l := range p.Header.Loads {
			fmt.Fprintf(&b, "load %v+%#x virtual %#x from %#x\n", l.Phys, l.MemSize, l.Virt, l.Offset)
		}
	}
	return b.String()
}

// The plans are the same to the byte on every machine and architecture that
// makes them. After a change that is meant, go test -run Golden -update.
func TestGoldenPlans(t *testing.T) {
	firmware := []memmap.FirmwareEntry{
		{Range: memmap.Range{Start: 0, End: 0x9fc00}, Type: "System RAM"},
		{Range: memmap.Range{Start: 0x100000, End: 0x3ffdf000}, Type: "System RAM"},
		{Range: memmap.Range{Start: 0x3ffdf000, End: 0x40000000}, Type: "Reserved"},
	}
	tests := []struct {
		name    string
		machine func(t *testing.T) *kexectest.Machine
		spec    *Spec
	}{
		{"bios-crash", func(t *testing.T) *kexectest.Machine { return kexectest.NewMachine(t) }, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())},
		{"efi-crash-hotplug", func(t *testing.T) *kexectest.Machine {
			m := efiMachine(t)
			m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
			m.WriteCPU(7, 0x3fd88000)
			return m
		}, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())},
		{"vmlinux-crash-two-regions", func(t *testing.T) *kexectest.Machine {
			m := kexectest.NewMachine(t)
			m.Write("proc/iomem", kexectest.Iomem+"100000000-23fffffff : System RAM\n  228000000-237ffffff : Crash kernel\n240000000-24fffffff : System RAM (kmem)\n")
			m.WriteKcore(memmap.Range{Start: 0x1000, End: 0x9f000}, memmap.Range{Start: 0x100000, End: 0x3ffdf000}, memmap.Range{Start: 0x100000000, End: 0x250000000})
			return m
		}, segmentSpec(machine.Crash, imagetest.SmallVmlinux())},
		{"bios-boot", func(t *testing.T) *kexectest.Machine {
			m := kexectest.NewMachine(t)
			m.WriteFirmware(firmware...)
			return m
		}, segmentSpec(machine.Boot, imagetest.SmallBzImage().Bytes())},
		{"efi-boot-vmlinux", func(t *testing.T) *kexectest.Machine {
			m := efiMachine(t)
			m.WriteFirmware(firmware...)
			return m
		}, segmentSpec(machine.Boot, imagetest.SmallVmlinux())},
	}
	for _, tt := range tests {
		m := tt.machine(t)
		p, err := New(m.Host("x86_64"), tt.spec)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		golden(t, tt.name, describe(p))
	}
}

// golden compares a plan with the one in testdata, or puts it there.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "plans", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the plan is\n%s\nwant\n%s", name, got, want)
	}
}
