package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// TestVMArm arms a machine by its configuration, as its user does: faults leave what is armed, a DIMM that is
// hot-added has the initramfs built again where the kernel does not update the header itself (bookworm), nothing
// is written to a file, and the dump has what is in the DIMM.
func TestVMArm(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"trixie-cloud", "bookworm-cloud"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			armAndCrash(t, vmlab.GetTestKernel(t, name))
		})
	}
}

func armAndCrash(t *testing.T, k *vmlab.Kernel) {
	disk := emptyDisk(t, "var.img", 2<<30)
	run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, disk)
	cfg := vmlab.Config{
		Kernel: k, Memory: 640, CrashKernel: "192M", MaxMemory: 8192, Cmdline: "memhp_default_state=online_movable",
		Modules: []string{"ext4"}, Disks: []vmlab.Disk{{Source: disk}},
		Files: append(append(userland(t, k), moduleTree(t, k, "nvme", "ext4")...), kernelConfig(t, k)...),
	}
	h := &hotplugGuest{Guest: vmlab.Boot(t, cfg)}
	shell(h.Guest, "mkdir -p /var; mount -t ext4 /dev/nvme0n1 /var; mkdir /var/crash")
	files := func() string {
		return shell(h.Guest, "find /boot /etc /tmp /var /run -type f ! -name wanted | sort")
	}
	h.WriteFile("/etc/gokexec.conf", "[Kernel]\nAppend=console=ttyS0\n[Capture]\nTarget=/var/crash\nDumpLevel=0\nFinalAction=poweroff\n")
	before := files()
	t.Logf("%s", h.Must(gokexec, "arm", "--dry-run"))
	armed := h.Run(gokexec, "arm")
	if armed.Code != 0 || !strings.Contains(armed.Stdout, "dumps go to fs:UUID="+filesystemUUID+":/crash") {
		t.Fatalf("gokexec arm: exit code %d\n%s%s", armed.Code, armed.Stdout, armed.Stderr)
	}
	t.Logf("%s%s", armed.Stdout, armed.Stderr)
	for _, file := range strings.Fields(files()) {
		if !strings.Contains(before, file) && !strings.HasPrefix(file, "/run/gokexec/") {
			t.Errorf("gokexec arm left %s", file)
		}
	}
	h.wantStatus("armed", "accurate")
	h.Must(gokexec, "initramfs", "-o", guestInitrd, "--final-action", "poweroff", "/var/crash")
	again := h.Run(gokexec, "arm")
	plain := h.Run(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--reuse-cmdline", "--append", "console=ttyS0")
	t.Logf("armed within %v and again within %v (%v of CPU time, %d MiB); a plain load takes %v (%v)",
		armed.Duration, again.Duration, again.UserTime+again.SysTime, again.MaxRSS>>20, plain.Duration, plain.UserTime+plain.SysTime)
	h.Must(gokexec, "arm")
	unless := h.Run(gokexec, "arm", "--unless-armed")
	if !strings.Contains(unless.Stdout, "armed already") {
		t.Errorf("gokexec arm --unless-armed: %s%s", unless.Stdout, unless.Stderr)
	}
	t.Logf("armed already: %v", unless.Duration)

	armFaults(t, h)

	first := h.wantStatus("after the faults", "accurate")
	if first.Last == nil {
		t.Fatal("what is loaded is not gokexec's any more")
	}
	found, err := h.VM.Glob(t.Context(), "/sys/devices/system/memory/crash_hotplug")
	if err != nil {
		t.Fatal(err)
	}
	h.updates = len(found) > 0
	_, at := h.addDIMM()
	h.checkAdded(first, at)
	h.Must(gokexec, "reload") // also where the kernel has updated the header
	h.wantStatus("reloaded", "accurate")

	nonce, err := h.VM.PlantBetween(t.Context(), 50, 4<<30, uint64(at.End))
	if err != nil {
		t.Fatal(err)
	}
	shell(h.Guest, "sync")
	h.Crash()
	if end := h.WaitEnd(); end.Reason != "guest-shutdown" {
		t.Fatalf("the machine ended by %q; want guest-shutdown, the final action\n%s", end.Reason, h.VM.Console())
	}
	out := t.TempDir()
	run(t, "debugfs", "-R", "rdump /crash "+out, disk)
	dirs, err := filepath.Glob(filepath.Join(out, "crash", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("/var/crash holds %v, %v; want one dump", dirs, err)
	}
	checkDumpDir(t, dirs[0], func(d kdumpfile.Dump) {
		if err := checkNonce(d, nonce); err != nil {
			t.Error(err)
		}
	})
}

// armFaults are what is wrong with a machine or its configuration: what is armed stays.
func armFaults(t *testing.T, h *hotplugGuest) {
	t.Helper()
	digest := func() string { return shell(h.Guest, "busybox sha256sum /run/gokexec/crash.json") }
	before := digest()
	for _, tt := range []struct{ name, do, undo, says string }{
		{"target not mounted", "echo '/dev/x /data ext4 nofail 0 0' >/etc/fstab; mkdir -p /data/crash /etc/gokexec.conf.d; printf '[Capture]\\nTarget=\\nTarget=/data/crash\\n' >/etc/gokexec.conf.d/x.conf", "rm /etc/gokexec.conf.d/x.conf", "/data is not mounted"},
		{"target in memory", "printf '[Capture]\\nTarget=\\nTarget=/tmp\\n' >/etc/gokexec.conf.d/x.conf", "rm /etc/gokexec.conf.d/x.conf", "is on memory"},
		{"kernel file missing", "mv /boot /boot2", "mv /boot2 /boot", "was not found"},
		{"module tree missing", "mv /lib/modules /lib/modules2", "mv /lib/modules2 /lib/modules", "its driver is a module"},
		{"bad value", "printf '[Capture]\\nDumpLevel=x\\n' >/etc/gokexec.conf.d/x.conf", "rm /etc/gokexec.conf.d/x.conf", "/etc/gokexec.conf.d/x.conf:2: [Capture] DumpLevel=x: "},
	} {
		shell(h.Guest, tt.do)
		r := h.Run(gokexec, "arm")
		if r.Code != 1 || !strings.Contains(r.Stderr, tt.says) {
			t.Errorf("%s: exit code %d\n%s%s\nwant 1 and %q", tt.name, r.Code, r.Stdout, r.Stderr, tt.says)
		}
		shell(h.Guest, tt.undo)
		if digest() != before || h.ReadFile("/sys/kernel/kexec_crash_loaded") != "1\n" {
			t.Errorf("%s: what was armed is not armed any more", tt.name)
		}
	}
}

// kernelConfig is a kernel's configuration, from which gokexec knows what the kernel can unpack.
func kernelConfig(t *testing.T, k *vmlab.Kernel) []vmlab.File {
	t.Helper()
	source := filepath.Join(k.ModulesRoot, "boot", "config-"+k.Release)
	if _, err := os.Stat(source); err != nil {
		t.Fatal(err)
	}
	return []vmlab.File{{Path: "/boot/config-" + k.Release, Source: source}}
}
