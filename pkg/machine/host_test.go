package machine_test

import (
	"os"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

func TestReadHost(t *testing.T) {
	m := kexectest.NewMachine(t)
	m.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
	m.Write("sys/kernel/kexec_crash_loaded", "1\n")
	m.Write("sys/firmware/efi/efivars/SecureBoot-8be4df61", "\x06\x00\x00\x00\x01")
	h := m.Host("x86_64")
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
	if h := m.Host("x86_64"); h.CrashLoaded == nil || !*h.CrashLoaded || h.ElfcorehdrSize != 4096 {
		t.Errorf("ReadHost = loaded %v, header size %d; want true, 4096", h.CrashLoaded, h.ElfcorehdrSize)
	}
}

func TestReadHostEmptyTree(t *testing.T) {
	if _, err := machine.ReadHost(os.DirFS(t.TempDir()), kexectest.Arch(t, "x86_64")); err == nil {
		t.Error("machine.ReadHost(empty directory) = nil error; want one that names /proc")
	}
}
