package differential

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// dump is what a crash load says of the dump to be.
type dump struct {
	ram   memmap.Set // PT_LOADs, without the kernel text
	notes map[memmap.PhysAddr]uint64
	info  [2]uint64       // VMCOREINFO: address, size
	text  [3]uint64       // address, virtual address, size
	virt  map[uint64]bool // virtual less physical addresses of RAM
	owned memmap.Set      // RAM of the crash kernel, and what lies in it that is not to be seen as RAM
}

var (
	headerLine = regexp.MustCompile(`^(Elf|vmcoreinfo|Kernel text Elf) header: p_type = (\d+), p_offset = 0x([0-9a-f]+) p_paddr = 0x([0-9a-f]+) p_vaddr = 0x([0-9a-f]+) p_filesz = 0x[0-9a-f]+ p_memsz = 0x([0-9a-f]+)$`)
	mapLine    = regexp.MustCompile(`^([0-9a-f]{16})-([0-9a-f]{16}) \((\d+)\)$`)
)

// parseKexec reads what kexec -d prints.
func parseKexec(t *testing.T, out string) *dump {
	t.Helper()
	d := &dump{notes: map[memmap.PhysAddr]uint64{}, virt: map[uint64]bool{}}
	hex := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var ram []memmap.Range
	var blocks []memmap.Range // of the last memory map printed
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if f := headerLine.FindStringSubmatch(line); f != nil {
			paddr, vaddr, size := hex(f[4]), hex(f[5]), hex(f[6])
			switch {
			case f[1] == "vmcoreinfo":
				d.info = [2]uint64{paddr, size}
			case f[1] == "Kernel text Elf":
				d.text = [3]uint64{paddr, vaddr, size}
			case f[2] == "4":
				d.notes[memmap.PhysAddr(paddr)] = size
			default:
				ram = append(ram, memmap.Range{Start: memmap.PhysAddr(paddr), End: memmap.PhysAddr(paddr + size)})
				d.virt[vaddr-paddr] = true
			}
		} else if strings.HasPrefix(line, "Memmap after") {
			blocks = nil
		} else if f := mapLine.FindStringSubmatch(line); f != nil && f[3] == "0" {
			blocks = append(blocks, memmap.RangeTo(memmap.PhysAddr(hex(f[1])), memmap.PhysAddr(hex(f[2]))))
		}
	}
	d.ram, d.owned = memmap.NewSet(ram...), memmap.NewSet(blocks...)
	return d
}

// planDump is the same of a plan of gokexec's.
func planDump(p *plan.Plan) *dump {
	d := &dump{notes: map[memmap.PhysAddr]uint64{}, virt: map[uint64]bool{}}
	for _, n := range p.Header.CPUNotes {
		d.notes[n.Addr] = n.Size
	}
	d.info = [2]uint64{uint64(p.Header.VMCoreInfo.Addr), p.Header.VMCoreInfo.Size}
	var ram, owned []memmap.Range
	for i, l := range p.Header.Loads {
		if i == 0 {
			d.text = [3]uint64{uint64(l.Phys), l.Virt, l.MemSize}
			continue
		}
		ram = append(ram, memmap.Range{Start: l.Phys, End: l.Phys + memmap.PhysAddr(l.MemSize)})
		d.virt[l.Virt-uint64(l.Phys)] = true
	}
	for _, e := range p.E820 {
		if e.Type == machine.E820RAM {
			owned = append(owned, e.Range)
		}
	}
	d.ram, d.owned = memmap.NewSet(ram...), memmap.NewSet(owned...)
	return d
}

// kexecTools is Debian's, run so that it sees a machine's tree and can load
// nothing: not even where the host could.
func kexecTools(t *testing.T) func(dir, image string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("kexec-tools comes from Debian's archive: skipped by -short")
	}
	if os.Geteuid() != 0 {
		skip(t, "root is needed, for a mount namespace")
	}
	for _, tool := range []string{"unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, err.Error())
		}
	}
	program, err := vmlab.GetTestPackage(t, "bookworm", "kexec-tools").HostProgram("usr/sbin/kexec")
	if err != nil {
		t.Fatal(err)
	}
	return func(dir, image string) string {
		argv := []string{"--bounding-set", "-sys_boot", "unshare", "-m", "sh", "-c",
			`mount --bind "$1/sys" /sys && mount --bind "$1/proc" /proc && shift && exec "$@"`, "sh", dir}
		argv = append(append(argv, program.Argv...), "-c", "-d", "-p", image, "--append=console=ttyS0")
		out, err := exec.Command("setpriv", argv...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "kexec_load failed") {
			t.Fatalf("kexec -c -d -p: %v; want that only the system call fails\n%s", err, out)
		}
		return string(out)
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
		t.Fatalf("can't be compared with the original: %s", why)
	}
	t.Skipf("COMPARISON WITH THE ORIGINAL SKIPPED: %s (GOKEXEC_VM_REQUIRED=1 makes this a failure)", why)
}

// gokexec and kexec-tools agree on what is dumped. They differ on purpose in
// this, and in nothing else:
//
//   - kexec-tools backs up, and gives the crash kernel, only the first range of RAM
//     below 640 KiB. gokexec takes all of it.
//   - kexec-tools rounds what it takes out of the crash memory to 1 KiB, so that
//     crumbs of less than a page stay RAM. gokexec rounds to pages.
//   - Places in the crash memory differ: gokexec puts the elfcorehdr first.
func TestVMDifferential(t *testing.T) {
	kexec := kexecTools(t)
	z := imagetest.GoodBzImage()
	z.InitSize = 1 << 20
	image := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(image, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	arch, err := machine.ArchByName("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	one := func(t *testing.T, m *testMachine) {
		t.Helper()
		theirs := parseKexec(t, kexec(m.Dir, image))
		host, err := machine.ReadHost(os.DirFS(m.Dir), arch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.New(host, &plan.Spec{Kind: machine.Crash, Method: plan.Segments, Kernel: plan.FromBytes("vmlinuz", z.Bytes()), Cmdline: "console=ttyS0"})
		if err != nil {
			t.Fatalf("%s: %v\n%s", m.name, err, m.text)
		}
		compare(t, m, p, planDump(p), theirs)
		if t.Failed() {
			t.Fatalf("%s:\n%s", m.name, m.text)
		}
	}
	const machines = 250
	for seed := range uint64(machines) {
		one(t, invent(t, seed))
	}
	trees, err := filepath.Glob("testdata/machines/*.tar.gz")
	if err != nil || len(trees) == 0 {
		t.Fatalf("no collected machines: %v", err)
	}
	for _, tree := range trees {
		one(t, collected(t, tree))
	}
}

// compareHeaders holds the elfcorehdrs against each other.
func compareHeaders(t *testing.T, m *testMachine, ours, theirs *dump) {
	t.Helper()
	if !ours.ram.Equal(theirs.ram) {
		t.Errorf("%s: dumped RAM lacks %v, has %v in addition to what kexec-tools has", m.name, theirs.ram.Minus(ours.ram), ours.ram.Minus(theirs.ram))
	}
	if ours.info != theirs.info || ours.text != theirs.text {
		t.Errorf("%s: VMCOREINFO %#x, text %#x; kexec-tools %#x, %#x", m.name, ours.info, ours.text, theirs.info, theirs.text)
	}
	for v := range theirs.virt {
		if !ours.virt[v] || len(ours.virt) != 1 {
			t.Errorf("%s: direct map at %v; kexec-tools %v", m.name, ours.virt, theirs.virt)
		}
	}
	for at, size := range theirs.notes {
		if ours.notes[at] != size {
			t.Errorf("%s: notes at %v have %d bytes; kexec-tools %d", m.name, at, ours.notes[at], size)
		}
	}
	if len(ours.notes) != len(theirs.notes) {
		t.Errorf("%s: notes of %d CPUs; kexec-tools %d", m.name, len(ours.notes), len(theirs.notes))
	}
}

func compare(t *testing.T, m *testMachine, p *plan.Plan, ours, theirs *dump) {
	t.Helper()
	compareHeaders(t, m, ours, theirs)
	// The memory of the crash kernel, but for the segments that it must not see:
	// they are in different places of the highest region.
	iomem, err := memmap.ParseIomem(strings.NewReader(m.text))
	if err != nil {
		t.Fatal(err)
	}
	crash := iomem.CrashKernel()
	top := crash[len(crash)-1]
	const hidden = 2 << 20 // backup and elfcorehdr are less
	if lost := memmap.NewSet(crash...).Minus(ours.owned); lost.Size() > hidden || !memmap.NewSet(top).Intersect(lost).Equal(lost) {
		t.Errorf("%s: the crash kernel is not given %v of its memory", m.name, lost)
	}
	diff := ours.owned.Minus(theirs.owned).Union(theirs.owned.Minus(ours.owned)).Minus(memmap.NewSet(top))
	low := iomem.BootRAM().Intersect(memmap.NewSet(memmap.Range{End: 640 << 10}))
	if m.low > 1 {
		diff = diff.Minus(low)
	}
	if !diff.Empty() {
		t.Errorf("%s: RAM of the crash kernel differs from kexec-tools' in %v", m.name, diff)
	}
	if !low.Minus(ours.owned).Empty() || p.Header == nil {
		t.Errorf("%s: the crash kernel is not given the low memory %v", m.name, low.Minus(ours.owned))
	}
}
