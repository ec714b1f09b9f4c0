package debian

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// The life of a machine that its own boot loader starts, by GRUB under BIOS: the package is installed, gokexec setup reserves
// memory, after the reboot the machine is armed, after a kernel upgrade it is armed for the new kernel, a drill
// passes, and the package goes with all that it did.
func TestVMSetupGRUB(t *testing.T) {
	upgrades := map[string]string{"bookworm": "trixie-cloud", "trixie": "backports-cloud"}
	setUpMatrix(t, "grub", upgrades, func(m *ownBoot) {
		m.install("/boot/grub/grub.cfg")
		m.armed()
		m.upgradeKernel()
		m.armed()
		m.drill()
		m.remove("/boot/grub/grub.cfg")
	})
}

// The same by systemd-boot under UEFI, with a unified kernel image.
func TestVMSetupUKI(t *testing.T) {
	setUpMatrix(t, "uki", map[string]string{"trixie": ""}, func(m *ownBoot) {
		m.install("/etc/kernel/cmdline")
		m.armed()
		m.drill()
		m.remove("/etc/kernel/cmdline")
	})
}

// setUpMatrix runs a test on the suites that GOKEXEC_VM_DEBIAN names, each with the packages of a kernel in kernelDir. These
// tests boot many times, and are not in every run of the matrix.
func setUpMatrix(t *testing.T, loader string, kernels map[string]string, test func(m *ownBoot)) {
	if os.Getenv("GOKEXEC_VM_DEBIAN") == "" {
		t.Skip("not in this run: it needs GOKEXEC_VM_DEBIAN=bookworm,trixie (make vm-setup)")
	}
	vmlab.SuiteMatrix(t, slices.Sorted(maps.Keys(kernels)), func(t *testing.T, suite string) {
		d := vmlab.TestBootable(t, suite, loader)
		m := &ownBoot{t: t, debian: d, config: vmlab.Config{
			Kernel: d.Kernel, Memory: 1024, BootDisk: true, Disks: []vmlab.Disk{{Source: d.TestDisk(t)}},
			Files: []vmlab.File{{Path: guestDeb, Source: debFile(t)}},
		}}
		if loader == "uki" {
			m.config.Firmware = "uefi"
		}
		if name := kernels[suite]; name != "" {
			debs, err := vmlab.KernelPackages(t.Context(), name, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, deb := range debs {
				m.config.Files = append(m.config.Files, vmlab.File{Path: kernelDir + filepath.Base(deb), Source: deb})
			}
		}
		m.boot()
		m.config.Files = nil // they are on the disk
		test(m)
	})
}

// kernelDir is where the guest has the packages of another kernel.
const kernelDir = "/root/kernel/"

// ownBoot is a machine over its reboots.
type ownBoot struct {
	t      *testing.T
	debian *vmlab.Debian
	config vmlab.Config
	g      *vmlab.Guest
	before string // the boot loader's file, before setup
}

func (m *ownBoot) boot() {
	m.t.Helper()
	m.g = boot(m.t, m.config)
}

// restart ends the running system as how does, and boots again.
func (m *ownBoot) restart(how ...string) {
	m.t.Helper()
	m.g.Start(how...)
	if end, err := waitLong(m.g); err != nil || end.Reason != "guest-reset" {
		m.t.Fatalf("after %q the machine ended by %q, %v; want guest-reset", how, end.Reason, err)
	}
	m.boot()
}

// must runs a command that has to succeed and may take several steps' time.
func (m *ownBoot) must(argv ...string) string {
	m.t.Helper()
	r, err := m.g.VM.Run(m.t.Context(), vmlab.Command{Argv: argv, Timeout: 15 * time.Minute})
	if err != nil || r.Code != 0 {
		m.t.Fatalf("%q: exit code %d, %v\n%s%s", argv, r.Code, err, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr
}

// install installs the package and sets the machine up; config is the file that the kernel's command line comes from.
func (m *ownBoot) install(config string) {
	m.t.Helper()
	m.before = m.g.ReadFile(config)
	m.t.Log(m.must("apt-get", "install", "-q", "-y", "--no-install-recommends", guestDeb))
	if got := m.g.ReadFile(config); got != m.before {
		m.t.Errorf("the installation of the package changed %s", config)
	}
	m.t.Log(m.must("gokexec", "setup", "--dry-run"))
	if got := m.g.ReadFile(config); got != m.before {
		m.t.Errorf("gokexec setup --dry-run changed %s", config)
	}
	m.t.Log(m.must("gokexec", "setup"))
	if !strings.Contains(m.g.ReadFile(config), "crashkernel=") {
		m.t.Fatalf("after gokexec setup %s has no crashkernel=", config)
	}
	if said := m.must("gokexec", "setup"); !strings.Contains(said, "nothing to do") {
		m.t.Errorf("gokexec setup, again, says %q; want nothing to do", said)
	}
	if r := m.g.Run("gokexec", "status"); r.Code != 3 {
		m.t.Errorf("before the reboot gokexec status exits with %d; want 3\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	m.restart("systemctl", "reboot")
}

// armed checks that the machine is armed for the kernel that runs.
func (m *ownBoot) armed() {
	m.t.Helper()
	r := m.g.Run("gokexec", "status")
	m.t.Log(r.Stdout, r.Stderr)
	if r.Code != 0 {
		m.t.Fatalf("gokexec status exits with %d\n%s", r.Code, m.g.Run("sh", "-c", "journalctl -b --no-pager -u 'gokexec*' | tail -40").Stdout)
	}
	release := strings.TrimSpace(m.g.Must("uname", "-r"))
	for _, want := range []string{release, "/var/crash"} {
		if !strings.Contains(r.Stdout, want) {
			m.t.Errorf("gokexec status does not mention %s", want)
		}
	}
	if r := m.g.Run("gokexec", "check"); r.Code != 0 {
		m.t.Errorf("gokexec check exits with %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	noFailures(m.g)
}

func (m *ownBoot) upgradeKernel() {
	m.t.Helper()
	old := strings.TrimSpace(m.g.Must("uname", "-r"))
	m.t.Log(m.must("sh", "-c", "apt-get install -q -y --no-install-recommends "+kernelDir+"*.deb"))
	m.restart("systemctl", "reboot")
	if release := strings.TrimSpace(m.g.Must("uname", "-r")); release == old {
		m.t.Errorf("after the upgrade %s runs still", old)
	}
}

// drill crashes the machine and waits until the dump was verified.
func (m *ownBoot) drill() {
	m.t.Helper()
	m.restart("gokexec", "drill", "--yes", "--delay", "0s")
	eventually(m.g, "the drill was verified", func() bool {
		return strings.TrimSpace(m.g.Run("systemctl", "is-active", "gokexec-drill.service").Stdout) != "activating"
	})
	m.t.Log(m.g.Run("sh", "-c", "journalctl -b --no-pager -u gokexec-drill; ls -lR /var/crash").Stdout)
	r := m.g.Run("gokexec", "status")
	m.t.Log(r.Stdout)
	if r.Code != 0 || !strings.Contains(r.Stdout, "passed") {
		m.t.Errorf("after the drill gokexec status exits with %d:\n%s", r.Code, r.Stdout)
	}
	noFailures(m.g)
}

// remove removes the package, and what setup did.
func (m *ownBoot) remove(config string) {
	m.t.Helper()
	m.t.Log(m.must("apt-get", "remove", "-q", "-y", "gokexec"))
	if strings.Contains(m.g.ReadFile(config), "crashkernel=") {
		m.t.Errorf("after the removal of the package %s still has crashkernel=", config)
	}
	if left := m.g.Run("sh", "-c", "ls /etc/default/grub.d/*gokexec* /var/lib/gokexec/setup.json").Stdout; left != "" {
		m.t.Errorf("after the removal of the package there is still %s", left)
	}
	noFailures(m.g)
}
