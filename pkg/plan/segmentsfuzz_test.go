package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// inventMachine makes the memory map of a machine: RAM, holes, what is reserved,
// and a crash region or two. Addresses need not be page aligned, save those that
// the kernel aligns itself.
func inventMachine(r *rand.Rand) string {
	var b strings.Builder
	line := func(start, end uint64, name string) { fmt.Fprintf(&b, "%08x-%08x : %s\n", start, end-1, name) }
	low := 0x1000 + r.Uint64N(4)<<12
	line(0, low, "Reserved")
	for range 1 + r.IntN(3) {
		end := min(low+0x1000+r.Uint64N(0x60000), 0xa0000)
		if r.IntN(2) == 0 {
			end &^= 0xfff
		}
		if end <= low {
			break
		}
		line(low, end, "System RAM")
		low = (end+0xfff)&^0xfff + r.Uint64N(2)<<12
	}
	at := uint64(0x100000)
	crash := r.IntN(3)
	for i := range 3 + r.IntN(40) {
		size := (1 + r.Uint64N(64)) << 20
		switch kind := r.IntN(6); {
		case i == crash: // the high region, and RAM around it
			size = (64 + r.Uint64N(512)) << 20
			before := r.Uint64N(16) << 20
			line(at, at+before+size+1<<20, "System RAM")
			fmt.Fprintf(&b, "  %08x-%08x : Crash kernel\n", at+before, at+before+size-1)
			at += before + size + 1<<20
		case kind < 3:
			line(at, at+size-r.Uint64N(0x2000), "System RAM")
			at += size
		default:
			names := []string{"Reserved", "ACPI Tables", "ACPI Non-volatile Storage", "Persistent Memory", "Soft Reserved", "PCI Bus 0000:00", "Unusable memory"}
			line(at, at+size, names[r.IntN(len(names))])
			if r.IntN(3) == 0 {
				fmt.Fprintf(&b, "  %08x-%08x : Reserved\n", at, at+r.Uint64N(size))
			}
			at += size
		}
		at += r.Uint64N(4) << 20
		if r.IntN(10) == 0 {
			at += 4 << 30
		}
	}
	return b.String()
}

// checkInvented plans loads on an invented machine and holds every plan against
// the rules. It reports whether there was a plan.
func checkInvented(t testing.TB, seed uint64, m *kexectest.Machine) bool {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	text := inventMachine(r)
	m.Write("proc/iomem", text)
	iomem, err := memmap.ParseIomem(strings.NewReader(text))
	if err != nil {
		t.Fatalf("seed %d: the invented machine is wrong: %v\n%s", seed, err, text)
	}
	ram := iomem.SystemRAM()
	m.WriteKcore(ram.Ranges()...)
	m.Write("proc/meminfo", fmt.Sprintf("MemTotal: %d kB\n", ram.Size()>>10))
	hotplug := r.IntN(2) == 0
	m.Remove("sys/kernel/crash_elfcorehdr_size")
	if hotplug {
		m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
	}
	host, err := machine.ReadHost(os.DirFS(m.Dir), m86)
	if err != nil {
		t.Fatal(err)
	}
	host.Dump.Map.Text.Phys = 0x1000000 // the kernel code is in no resource of these machines
	host.Dump.Map.Text.MemSize, host.Dump.Map.Text.FileSize, host.Dump.Map.Text.Offset = 0x1000, 0x1000, 0x1000000

	z := imagetest.GoodBzImage()
	z.InitSize = uint32(1+r.IntN(4)) << 20 // small, for every byte is hashed
	z.PrefAddress = 16 << 20
	image := z.Bytes()
	if r.IntN(16) == 0 { // now and then: it is 2 MiB of mostly zeros, to be hashed twice
		image = imagetest.SmallVmlinux()
	}
	planned := false
	for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
		spec := segmentSpec(kind, image)
		spec.Initrd = FromBytes("initrd", make([]byte, 1+r.IntN(64<<10)))
		p, err := New(host, spec)
		var problem *advice.Problem
		if errors.As(err, &problem) {
			continue // no room; said so
		}
		if err != nil {
			t.Fatalf("seed %d: New(%v) error = %v; want a Problem", seed, kind, err)
		}
		if advice.FirstFailure(p.Check(host)) != nil && strings.Contains(advice.FirstFailure(p.Check(host)).Error(), "more than half") {
			continue
		}
		planned = true
		k := kexectest.NewKernel(m)
		k.HotplugFlag = hotplug
		checkSegmentPlan(t, host, k, p)
	}
	if t.Failed() {
		t.Logf("seed %d, machine:\n%s", seed, text)
	}
	return planned
}

// m86 is x86_64.
var m86 = machine.Arches()[0]

// Every plan obeys the rules, on machines of all shapes.
func TestInventedMachines(t *testing.T) {
	m := kexectest.NewMachine(t)
	planned := 0
	const machines = 200
	for seed := range uint64(machines) {
		if checkInvented(t, seed, m) {
			planned++
		}
		if t.Failed() {
			return
		}
	}
	if planned < machines/2 {
		t.Errorf("only %d of %d machines got a plan; want most", planned, machines)
	}
}

func FuzzSegmentPlan(f *testing.F) {
	m := kexectest.NewMachine(f)
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { checkInvented(t, seed, m.For(t)) })
}
