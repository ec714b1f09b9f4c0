package loader

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/memmap"
)

func x86(t *testing.T) Arch {
	t.Helper()
	a, err := ArchByName("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func readHost(t *testing.T, m *kexectest.Machine) *Host {
	t.Helper()
	h, err := ReadHost(os.DirFS(m.Dir), x86(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestReadHost(t *testing.T) {
	m := kexectest.NewMachine(t)
	m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
	m.Write("sys/kernel/kexec_crash_loaded", "1\n")
	m.Write("sys/firmware/efi/efivars/SecureBoot-8be4df61", "\x06\x00\x00\x00\x01")
	h := readHost(t, m)
	region, found := h.CrashRegion()
	if want := (memmap.Range{Start: 0x36000000, End: 0x3e000000}); !found || region != want {
		t.Errorf("CrashRegion() = %v, %t; want %v", region, found, want)
	}
	if h.Release != "6.12.1" || h.Lockdown != "none" || h.ElfcorehdrSize != 917616 || h.MemTotal != 887040<<10 {
		t.Errorf("ReadHost = release %q, lockdown %q, header size %d, memory %d", h.Release, h.Lockdown, h.ElfcorehdrSize, h.MemTotal)
	}
	if h.CrashLoaded == nil || !*h.CrashLoaded || h.BootLoaded == nil || *h.BootLoaded {
		t.Errorf("loaded = %v, %v; want true, false", h.CrashLoaded, h.BootLoaded)
	}
	if h.SecureBoot == nil || !*h.SecureBoot || h.CanBoot == nil || !*h.CanBoot {
		t.Errorf("SecureBoot, CanBoot = %v, %v; want true, true", h.SecureBoot, h.CanBoot)
	}
	if len(h.Unread) != 0 {
		t.Errorf("Unread = %v; want none", h.Unread)
	}
}

// 6.19 moved the files; the new names count first.
func TestReadHostNewNames(t *testing.T) {
	m := kexectest.NewMachine(t)
	m.Write("sys/kernel/kexec/crash_loaded", "1\n")
	m.Write("sys/kernel/kexec/crash_elfcorehdr_size", "4096\n")
	if h := readHost(t, m); h.CrashLoaded == nil || !*h.CrashLoaded || h.ElfcorehdrSize != 4096 {
		t.Errorf("ReadHost = loaded %v, header size %d; want true, 4096", h.CrashLoaded, h.ElfcorehdrSize)
	}
}

func TestReadHostEmptyTree(t *testing.T) {
	if _, err := ReadHost(os.DirFS(t.TempDir()), x86(t)); err == nil {
		t.Error("ReadHost(empty folder) = nil error; want one that names /proc")
	}
}

func TestCheckHost(t *testing.T) {
	noCrash := strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1)
	tests := []struct {
		name   string
		change func(*kexectest.Machine)
		kind   Kind
		check  string
		level  Level
		errno  unix.Errno
		detail string // part of detail or remedy
	}{
		{"all right", func(*kexectest.Machine) {}, Crash, "crash memory", OK, 0, "128 MiB"},
		{"no crashkernel=", func(m *kexectest.Machine) {
			m.Write("proc/iomem", noCrash)
			m.Write("proc/cmdline", "root=/dev/vda1\n")
		}, Crash, "crash memory", Failure, unix.EADDRNOTAVAIL, "without crashkernel="},
		{"reservation failed", func(m *kexectest.Machine) { m.Write("proc/iomem", noCrash) }, Crash, "crash memory", Failure, unix.EADDRNOTAVAIL, "nokaslr"},
		{"not asked for boot", func(m *kexectest.Machine) { m.Write("proc/iomem", noCrash) }, Boot, "permission", OK, 0, ""},
		{"little crash memory", func(m *kexectest.Machine) {
			m.Write("proc/iomem", strings.Replace(kexectest.Iomem, "36000000-3dffffff", "36000000-39ffffff", 1))
		}, Crash, "crash memory", Warning, 0, "64 MiB"},
		{"addresses hidden", func(m *kexectest.Machine) {
			m.Write("proc/iomem", "00000000-00000000 : System RAM\n  00000000-00000000 : Crash kernel\n")
		}, Crash, "crash memory", Unknown, 0, "root"},
		{"no capability", func(m *kexectest.Machine) { m.Write("proc/self/status", "CapEff:\t0000000000000000\n") }, Crash, "permission", Failure, unix.EPERM, "CAP_SYS_BOOT"},
		{"disabled", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_disabled", "1\n") }, Boot, "kexec_load_disabled", Failure, unix.EPERM, "next boot"},
		{"limit spent", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_limit_panic", "0\n") }, Crash, "kexec_load_limit_panic", Failure, unix.EPERM, "no load is left"},
		{"limit low", func(m *kexectest.Machine) { m.Write("proc/sys/kernel/kexec_load_limit_reboot", "2\n") }, Boot, "kexec_load_limit_reboot", Warning, 0, "is 2"},
		{"lockdown", func(m *kexectest.Machine) {
			m.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
		}, Crash, "lockdown", Warning, unix.EPERM, "integrity"},
		{"no kexec_file", func(m *kexectest.Machine) { m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n") }, Crash, "kexec support", Warning, unix.ENOSYS, "segments"},
		{"no kexec", func(m *kexectest.Machine) { m.Write("boot/config-6.12.1", "CONFIG_SMP=y\n") }, Crash, "kexec support", Failure, unix.ENOSYS, "CONFIG_KEXEC_FILE"},
		{"no vmcore", func(m *kexectest.Machine) {
			m.Write("boot/config-6.12.1", "CONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DUMP=y\n")
		}, Crash, "crash kernel support", Warning, 0, "PROC_VMCORE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := kexectest.NewMachine(t)
			tt.change(m)
			findings := CheckHost(readHost(t, m), tt.kind)
			for _, f := range findings {
				if f.Check != tt.check {
					continue
				}
				if f.Level != tt.level || !strings.Contains(f.Detail+f.Remedy, tt.detail) {
					t.Errorf("%s = %s: %s -> %s; want %s with %q", f.Check, f.Level, f.Detail, f.Remedy, tt.level, tt.detail)
				}
				if tt.errno != 0 && !f.explains(tt.errno) {
					t.Errorf("%s does not explain %v", f.Check, tt.errno)
				}
				if err := FirstFailure(findings); (err != nil) != (tt.level == Failure) {
					t.Errorf("FirstFailure = %v at level %s", err, tt.level)
				}
				return
			}
			t.Errorf("CheckHost has no check %q", tt.check)
		})
	}
}

// Every errno that kernel-side code documents for the two calls has a hint of
// its own.
func TestErrnoHints(t *testing.T) {
	fallback := errnoHint(File, unix.Errno(0x7fff))
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EBUSY, unix.ENOSYS, unix.ENOEXEC, unix.EINVAL, unix.EADDRNOTAVAIL, unix.ENOMEM,
		unix.ETXTBSY, unix.EKEYREJECTED, unix.ENODATA, unix.ENOKEY, unix.ENOPKG, unix.EBADMSG, unix.ELIBBAD, unix.EMSGSIZE, unix.EFBIG, unix.EIO, unix.EFAULT} {
		for _, method := range []Method{File, Segments} {
			if hint := errnoHint(method, errno); hint == fallback || strings.Contains(hint, "\n") {
				t.Errorf("errnoHint(%s, %v) = %q; want one line of its own", method, errno, hint)
			}
		}
	}
}

func TestExplainPassesOtherErrors(t *testing.T) {
	err := errors.New("disk on fire")
	if got := Explain(os.DirFS("/nonexistent"), x86(t), Attempt{}, err); got != err {
		t.Errorf("Explain(no errno) = %v; want it unchanged", got)
	}
}

// On arm64 two errnos mean what they don't elsewhere.
func TestExplainARM64(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 4096, kexectest.VA48)
	arch, err := ArchByName("aarch64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		errno unix.Errno
		kind  Kind
		want  string
	}{
		{unix.EBUSY, Boot, "CPUs are stuck in the kernel"},
		{unix.EINVAL, Crash, "a zboot image or a UKI that was not unpacked"},
	} {
		got := Explain(os.DirFS(m.Dir), arch, Attempt{Plan: &Plan{Image: &bootimage.Image{Format: bootimage.FormatARM64, Machine: arch.Machine}, Kernel: new(Payload), Arch: arch}, Kind: tt.kind, Method: File}, tt.errno)
		if hint := hintOf(got); !strings.Contains(hint, tt.want) {
			t.Errorf("Explain(%v) = %v, hint %q; want %q", tt.errno, got, hint, tt.want)
		}
	}
}
