package kexectest

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Machine is a directory that looks like the /proc and /sys of a machine.
type Machine struct {
	t    testing.TB
	Dir  string
	arch mapping
}

// Iomem is a small x86 machine with 1 GiB of RAM and 128 MiB of crash memory.
const Iomem = `00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
000f0000-000fffff : System ROM
00100000-3ffdefff : System RAM
  01000000-01ffffff : Kernel code
  02000000-0261ffff : Kernel rodata
  02800000-02ac9b7f : Kernel data
  02f5d000-031fffff : Kernel bss
  36000000-3dffffff : Crash kernel
3ffdf000-3fffffff : Reserved
b0000000-bfffffff : PCI ECAM 0000 [bus 00-ff]
fec00000-fec003ff : IOAPIC 0
fee00000-fee00fff : Local APIC
`

// EmptyMachine makes a directory without anything in it.
func EmptyMachine(t testing.TB) *Machine {
	t.Helper()
	return &Machine{t: t, Dir: t.TempDir()}
}

// NewMachine makes an x86 machine without problems: nothing loaded, crash memory
// reserved, all permissions.
func NewMachine(t testing.TB) *Machine {
	t.Helper()
	m := EmptyMachine(t)
	m.arch = mapping{machine: elf.EM_X86_64, direct: PageOffset, text: 0x1000000, textSize: 0x2200000, textVirt: TextVirt}
	m.Write("proc/iomem", Iomem)
	m.writeCommon()
	m.writeDump()
	return m
}

// writeCommon writes what all architectures have.
func (m *Machine) writeCommon() {
	m.Write("proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz-6.12.1 root=/dev/vda1 ro quiet crashkernel=128M\n")
	m.Write("proc/meminfo", "MemTotal:         887040 kB\nMemFree:          700000 kB\n")
	m.Write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu lm\n\n")
	m.Write("proc/self/status", "Name:\tgokexec\nCapEff:\t000001ffffffffff\n")
	m.Write("proc/sys/kernel/osrelease", "6.12.1\n")
	m.Write("proc/sys/kernel/kexec_load_disabled", "0\n")
	m.Write("proc/sys/kernel/kexec_load_limit_panic", "-1\n")
	m.Write("proc/sys/kernel/kexec_load_limit_reboot", "-1\n")
	m.Write("sys/kernel/kexec_loaded", "0\n")
	m.Write("sys/kernel/kexec_crash_loaded", "0\n")
	m.Write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
	m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n# CONFIG_KEXEC_SIG_FORCE is not set\n")
}

// For is m for another test, or for a case of a fuzz target: making a machine of files takes longer than
// planning for it.
func (m *Machine) For(t testing.TB) *Machine {
	other := *m
	other.t = t
	return &other
}

// OpenMachine is a machine that another process has made.
func OpenMachine(t testing.TB, dir string) *Machine { return &Machine{t: t, Dir: dir} }

// Write sets a file of the machine; the path has no leading slash.
func (m *Machine) Write(path, content string) {
	m.t.Helper()
	full := filepath.Join(m.Dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// Remove removes a file.
func (m *Machine) Remove(path string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.Dir, path)); err != nil {
		m.t.Fatal(err)
	}
}

// number reads a sysctl or sysfs number.
func (m *Machine) number(path string) int {
	b, err := os.ReadFile(filepath.Join(m.Dir, path))
	if err != nil {
		m.t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(string(b), &n); err != nil {
		m.t.Fatalf("%s: %v", path, err)
	}
	return n
}

func (m *Machine) setNumber(path string, n int) {
	m.Write(path, strconv.Itoa(n)+"\n")
}

func (m *Machine) hasCrashMemory() bool {
	b, err := os.ReadFile(filepath.Join(m.Dir, "proc/iomem"))
	return err == nil && bytes.Contains(b, []byte("Crash kernel"))
}
