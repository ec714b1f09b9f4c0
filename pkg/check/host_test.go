package check

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

func TestHost(t *testing.T) {
	noCrash := strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1)
	tests := []struct {
		name   string
		change func(*kexectest.Machine)
		kind   machine.Kind
		check  advice.CheckID
		level  advice.Level
		errno  unix.Errno
		detail string // part of detail or remedy
	}{
		{"all right", func(*kexectest.Machine) {}, machine.Crash, "crash memory", advice.OK, 0, "128 MiB"},
		{"no crashkernel=", func(m *kexectest.Machine) {
			m.Write("proc/iomem", noCrash)
			m.Write("proc/cmdline", "root=/dev/vda1\n")
		}, machine.Crash, "crash memory", advice.Failure, unix.EADDRNOTAVAIL, "without crashkernel="},
		{"reservation failed", func(m *kexectest.Machine) { m.Write("proc/iomem", noCrash) }, machine.Crash, "crash memory", advice.Failure, unix.EADDRNOTAVAIL, "nokaslr"},
		{"not asked for boot", func(m *kexectest.Machine) { m.Write("proc/iomem", noCrash) }, machine.Boot, "permission", advice.OK, 0, ""},
		{"little crash memory", func(m *kexectest.Machine) {
			m.Write("proc/iomem", strings.Replace(kexectest.Iomem, "36000000-3dffffff", "36000000-39ffffff", 1))
		}, machine.Crash, "crash memory", advice.OK, 0, "64 MiB"}, // whether that is enough, Reservation tells
		{"addresses hidden", func(m *kexectest.Machine) {
			m.Write("proc/iomem", "00000000-00000000 : System RAM\n  00000000-00000000 : Crash kernel\n")
		}, machine.Crash, "crash memory", advice.Unknown, 0, "root"},
		{"no capability", func(m *kexectest.Machine) { m.Write("proc/self/status", "CapEff:\t0000000000000000\n") }, machine.Crash, "permission", advice.Failure, unix.EPERM, "CAP_SYS_BOOT"},
		{"disabled", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_disabled", "1\n") }, machine.Boot, "kexec_load_disabled", advice.Failure, unix.EPERM, "next boot"},
		{"limit spent", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_limit_panic", "0\n") }, machine.Crash, "kexec_load_limit_panic", advice.Failure, unix.EPERM, "no load is left"},
		{"limit low", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_limit_reboot", "2\n") }, machine.Boot, "kexec_load_limit_reboot", advice.Warning, 0, "is 2"},
		{"lockdown", func(m *kexectest.Machine) {
			m.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
		}, machine.Crash, "lockdown", advice.Warning, unix.EPERM, "integrity"},
		{"no kexec_file", func(m *kexectest.Machine) { m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n") }, machine.Crash, "kexec support", advice.Warning, unix.ENOSYS, "segments"},
		{"no kexec", func(m *kexectest.Machine) { m.Write("boot/config-6.12.1", "CONFIG_SMP=y\n") }, machine.Crash, "kexec support", advice.Failure, unix.ENOSYS, "CONFIG_KEXEC_FILE"},
		{"no vmcore", func(m *kexectest.Machine) {
			m.Write("boot/config-6.12.1", "CONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DUMP=y\n")
		}, machine.Crash, "crash kernel support", advice.Warning, 0, "PROC_VMCORE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := kexectest.NewMachine(t)
			tt.change(m)
			findings := Host(m.Host("x86_64"), tt.kind)
			for _, f := range findings {
				if f.Check != tt.check {
					continue
				}
				if f.Level != tt.level || !strings.Contains(f.Detail+f.Remedy, tt.detail) {
					t.Errorf("%s = %s: %s -> %s; want %s with %q", f.Check, f.Level, f.Detail, f.Remedy, tt.level, tt.detail)
				}
				if tt.errno != 0 && !f.Explains(tt.errno) {
					t.Errorf("%s does not explain %v", f.Check, tt.errno)
				}
				if err := advice.FirstFailure(findings); (err != nil) != (tt.level == advice.Failure) {
					t.Errorf("FirstFailure = %v at level %s", err, tt.level)
				}
				return
			}
			t.Errorf("Host has no check %q", tt.check)
		})
	}
}

// Every errno that kernel-side code documents for the two calls has a hint of
// its own, which speaks of nothing that was not asked for.
func TestErrnoHints(t *testing.T) {
	for _, arch := range machine.Arches() {
		for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EBUSY, unix.ENOSYS, unix.ENOEXEC, unix.EINVAL, unix.EADDRNOTAVAIL, unix.ENOMEM,
			unix.ETXTBSY, unix.EKEYREJECTED, unix.ENODATA, unix.ENOKEY, unix.ENOPKG, unix.EBADMSG, unix.ELIBBAD, unix.EMSGSIZE, unix.EFBIG, unix.EIO, unix.EFAULT} {
			for _, method := range []plan.Method{plan.File, plan.Segments} {
				for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
					hint := Attempt{Plan: new(plan.Plan), Kind: kind, Method: method}.hint(arch, errno)
					if hint == seeDmesg || strings.Contains(hint, "\n") {
						t.Errorf("hint for %s, %v = %q; want one line of its own", method, errno, hint)
					}
					if kind == machine.Boot && strings.Contains(hint, "crash") && errno != unix.EBUSY {
						t.Errorf("hint for %v of an ordinary kexec = %q; want no word of crash memory", errno, hint)
					}
					if strings.Contains(hint, "--method segments") && !plan.CanPlanSegments(arch) {
						t.Errorf("hint for %v on %s = %q, which gokexec can't do there", errno, arch.Name, hint)
					}
				}
			}
			if hint := (Attempt{Kind: machine.Crash, Method: plan.File}).hint(arch, errno); strings.Contains(hint, "image") || strings.Contains(hint, "initrd") {
				t.Errorf("hint for %v of an unload = %q; want no word of an image", errno, hint)
			}
		}
	}
}

// On ppc64le the crash memory is found in the device tree, and who can't load there
// is told why and what can.
func TestPPC64(t *testing.T) {
	m := kexectest.EmptyMachine(t)
	m.Write("proc/iomem", "00000000-1ffffffff : System RAM\n100000000000-1000ffffffff : /pci@800000020000000\n")
	m.Write("proc/cmdline", "root=/dev/sda2 crashkernel=512M\n")
	m.Write("proc/meminfo", "MemTotal: 8388608 kB\n")
	arch, err := machine.ArchByName("ppc64le")
	if err != nil {
		t.Fatal(err)
	}
	read := func() *machine.Host {
		t.Helper()
		host, err := machine.ReadHost(os.DirFS(m.Dir), arch)
		if err != nil {
			t.Fatal(err)
		}
		return host
	}
	if f := plan.CheckCrashMemory(read()); f.Level != advice.Failure || !strings.Contains(f.Detail, "booted with crashkernel=512M") || strings.Contains(f.Remedy, "high") {
		t.Errorf("without a reservation: %+v", f)
	}
	const chosen = "sys/firmware/devicetree/base/chosen/linux,crashkernel-"
	m.Write(chosen+"base", "\x00\x00\x00\x00\x10\x00\x00\x00")
	m.Write(chosen+"size", "\x00\x00\x00\x00\x20\x00\x00\x00")
	host := read()
	if region, found := host.CrashRegion(); !found || region != (memmap.Range{Start: 0x10000000, End: 0x30000000}) {
		t.Errorf("CrashRegion = %v, %t; want what the device tree tells", region, found)
	}
	e := imagetest.GoodELF(elf.EM_PPC64, binary.LittleEndian)
	spec := func(method plan.Method) *plan.Spec {
		return &plan.Spec{Kind: machine.Crash, Method: method, Kernel: plan.FromBytes("vmlinux", e.Bytes())}
	}
	p, err := plan.New(host, spec(plan.Auto))
	if err != nil || p.Method != plan.File {
		t.Fatalf("New = %+v, %v; want a plan by kexec_file_load", p, err)
	}
	if err := advice.FirstFailure(append(Host(host, machine.Crash), p.Check(host)...)); err != nil {
		t.Errorf("Check = %v", err)
	}
	// Not any ELF file can be loaded by kexec_load.
	if _, err := plan.New(host, spec(plan.Segments)); err == nil || !strings.Contains(advice.Hint(err), "CONFIG_RELOCATABLE=y") {
		t.Errorf("by kexec_load: %v, hint %q", err, advice.Hint(err))
	}
}

func TestExplainPassesOtherErrors(t *testing.T) {
	err := errors.New("disk on fire")
	if got := Explain(os.DirFS("/nonexistent"), kexectest.Arch(t, "x86_64"), Attempt{}, err); got != err {
		t.Errorf("Explain(no errno) = %v; want it unchanged", got)
	}
}

// On arm64 two errnos mean what they don't elsewhere.
func TestExplainARM64(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 4096, kexectest.VA48)
	arch, err := machine.ArchByName("aarch64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		errno unix.Errno
		kind  machine.Kind
		want  string
	}{
		{unix.EBUSY, machine.Boot, "CPUs are stuck in the kernel"},
		{unix.EINVAL, machine.Crash, "a zboot image or a UKI that was not unpacked"},
	} {
		got := Explain(os.DirFS(m.Dir), arch, Attempt{Plan: &plan.Plan{Image: &bootimage.Image{Format: bootimage.FormatARM64, Machine: arch.Machine}, Kernel: new(plan.Payload), Arch: arch}, Kind: tt.kind, Method: plan.File}, tt.errno)
		if hint := advice.Hint(got); !strings.Contains(hint, tt.want) {
			t.Errorf("Explain(%v) = %v, hint %q; want %q", tt.errno, got, hint, tt.want)
		}
	}
}
