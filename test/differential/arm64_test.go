package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// inventARM64 is an arm64 machine with RAM in banks of which the first, at 1 GiB,
// has the kernel; a crash region, perhaps with a low one; more or less
// of all of it reserved; memory that came later.
func inventARM64(t *testing.T, seed uint64) *testMachine {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 64))
	va := kexectest.VA48
	if r.IntN(3) == 0 {
		va = kexectest.VA52
	}
	m := &testMachine{Machine: kexectest.NewARM64Machine(t, 4<<10, va), name: fmt.Sprintf("arm64 machine %d, %d bits", seed, va)}
	var b strings.Builder
	line := func(depth int, start, end uint64, name string) {
		fmt.Fprintf(&b, "%s%08x-%08x : %s\n", strings.Repeat("  ", depth), start, end-1, name)
	}
	const textAt, textVirt, mib = 0x40200000, 0xffff800080000000, 1 << 20 // as NewARM64Machine has it
	// reserve reserves pieces of a range, up to its end.
	reserve := func(at, end uint64) {
		for at += r.Uint64N(64*mib) &^ 0xfff; at < end; at += r.Uint64N(256*mib) &^ 0xfff {
			stop := min(at+(1+r.Uint64N(4096))<<12, end)
			line(1, at, stop, "reserved")
			at = stop + 0x1000
		}
	}
	bank := uint64(0x40000000)
	end := bank + (512+r.Uint64N(2048))*mib
	code, data := textAt+(16+r.Uint64N(16))*mib, textAt+(40+r.Uint64N(8))*mib
	crash := (64 + 2*r.Uint64N(64)) * mib
	crashAt := data + (2*mib+r.Uint64N(end-data-crash-4*mib))&^(2*mib-1)
	line(0, 0x9000000, 0x9001000, "pl011@9000000")
	line(0, bank, end, "System RAM")
	line(1, textAt, code, "Kernel code")
	line(1, code, data-8*mib, "reserved")
	line(1, data-8*mib, data, "Kernel data")
	reserve(data, crashAt)
	line(1, crashAt, crashAt+crash, "Crash kernel")
	reserve(crashAt+crash, end)
	high := r.IntN(3) == 0
	for at := end; r.IntN(40) != 0; {
		at += r.Uint64N(64*mib) &^ 0xfff
		size := (2 + r.Uint64N(1024)) * mib
		switch r.IntN(8) {
		case 0:
			line(0, at, at+size, []string{"reserved", "PCI ECAM", "ACPI reclaim region"}[r.IntN(3)])
		case 1:
			line(0, at, at+size, []string{"CXL Window 0", "Persistent Memory"}[r.IntN(2)])
			line(1, at+mib/2, at+size, "dax0.0")
			line(2, at+mib, at+size, []string{"System RAM (kmem)", "System RAM (virtio_mem)"}[r.IntN(2)])
		default:
			line(0, at, at+size, "System RAM")
			if high && size > 300*mib {
				line(1, at+8*mib, at+200*mib, "Crash kernel")
				reserve(at+200*mib, at+size)
				high = false
			} else {
				reserve(at, at+size)
			}
		}
		if at += size; r.IntN(20) == 0 {
			at += 1 << 36
		}
	}
	m.text = b.String()
	m.Write("proc/iomem", m.text)
	iomem, err := memmap.ParseIomem(strings.NewReader(m.text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", m.name, err, m.text)
	}
	m.WriteKcore(iomem.SystemRAM().Ranges()...)
	m.padKcore(t)
	m.Write("proc/kallsyms", fmt.Sprintf("%x T _text\n%x T _stext\n", uint64(textVirt), uint64(textVirt+0x10000)))
	m.Write("proc/mounts", "")
	cpus := 1 + r.IntN(6)
	for n := range cpus {
		m.WriteCPU(n, 0x5fee1000+uint64(n)<<12)
	}
	m.Write("sys/devices/system/cpu/possible", fmt.Sprintf("0-%d\n", cpus-1))
	return m
}

// kexecToolsARM64 is kexecTools of arm64, under qemu-user.
func kexecToolsARM64(t *testing.T) func(dir, image string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "root is needed, for a mount namespace")
	}
	for _, tool := range []string{"qemu-aarch64", "unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, err.Error())
		}
	}
	p, err := vmlab.GetPackage(t.Context(), "sid", "kexec-tools", "arm64")
	if err != nil {
		skip(t, err.Error())
	}
	program, err := p.HostProgram("usr/sbin/kexec")
	if err != nil {
		t.Fatal(err)
	}
	return func(dir, image string) string {
		argv := []string{"--bounding-set", "-sys_boot", "unshare", "-m", "sh", "-c",
			`mount --bind "$1/sys" /sys && mount --bind "$1/proc" /proc && shift && exec "$@"`, "sh", dir, "qemu-aarch64"}
		argv = append(append(argv, program.Argv...), "-c", "-d", "-p", image, "--command-line=console=ttyAMA0")
		out, err := exec.Command("setpriv", argv...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "kexec_load failed") {
			t.Fatalf("kexec -c -d -p: %v; want that only the system call fails\n%s", err, out)
		}
		return string(out)
	}
}

var segmentField = regexp.MustCompile(`(?m)^segment\[0\]\.(mem|memsz) *= 0x([0-9a-f]+)$`)

// On arm64 too gokexec and kexec-tools agree on what is dumped, on where the
// kernel is put and how much memory it is given. They differ on purpose in this:
//
//   - kexec-tools leaves memory out of the dump that a driver has added
//     ("System RAM (kmem)", "System RAM (virtio_mem)"); gokexec has it.
//   - The other segments are in other places: gokexec puts the elfcorehdr first.
//     Where nothing is in the way the kernel is at the region's start in kexec-tools',
//     and after the small segments in gokexec's, both at a multiple of 2 MiB.
//   - gokexec's device tree has a new rng-seed and linux,booted-from-kexec.
func TestVMDifferentialARM64(t *testing.T) {
	vmlab.NotByDefault(t)
	kexec := kexecToolsARM64(t)
	kernel := imagetest.GoodARM64().Bytes()
	image := filepath.Join(t.TempDir(), "Image")
	if err := os.WriteFile(image, kernel, 0o600); err != nil {
		t.Fatal(err)
	}
	arch, err := machine.ArchByName("aarch64")
	if err != nil {
		t.Fatal(err)
	}
	const machines = 60
	for seed := range uint64(machines) {
		m := inventARM64(t, seed)
		out := kexec(m.Dir, image)
		theirs := parseKexec(t, out)
		host, err := machine.ReadHost(os.DirFS(m.Dir), arch)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.New(host, &plan.Spec{Kind: machine.Crash, Method: plan.Segments, Kernel: plan.FromBytes("Image", kernel), Cmdline: "console=ttyAMA0"})
		if err != nil {
			t.Fatalf("%s: %v\n%s", m.name, err, m.text)
		}
		added := host.Iomem.SystemRAM().Minus(host.Iomem.BootRAM())
		ours := planDump(p)
		if !added.Minus(ours.ram).Empty() {
			t.Errorf("%s: dumped RAM lacks %v, which drivers have added", m.name, added.Minus(ours.ram))
		}
		theirs.ram = theirs.ram.Union(added)
		compareHeaders(t, m, ours, theirs)
		s, _ := p.Segment(plan.RoleKernel)
		for _, f := range segmentField.FindAllStringSubmatch(out, 2) {
			v, err := strconv.ParseUint(f[2], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if f[1] == "memsz" && v != s.MemSize || f[1] == "mem" && (v-uint64(s.Phys))%(2<<20) != 0 {
				t.Errorf("%s: the kernel is %v; kexec-tools' %s is %#x", m.name, s.Range(), f[1], v)
			}
		}
		if t.Failed() {
			t.Fatalf("%s:\n%s", m.name, m.text)
		}
	}
}
