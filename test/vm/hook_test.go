package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// The disk stops answering during the capture, under the hook of another initramfs: that too
// ends in the action, although the process that wrote can't be killed, nor waited for.
func TestVMHookDeadDisk(t *testing.T) {
	vmlab.NotByDefault(t)
	t.Parallel()
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	disk := emptyDisk(t, "dead.img", 1<<30)
	cfg := vmlab.Config{
		Kernel: k, Memory: 512, CrashKernel: "128M",
		Files: append(userland(t, k), vmlab.File{Path: guestInitrd, Source: hookInitramfs(t, k, "virtio_pci", "virtio_blk")}),
		Args:  []string{"-drive", "if=none,id=dead,format=raw,cache=unsafe,throttling.bps-write=20000000,file=" + disk, "-device", "virtio-blk-pci,drive=dead"},
	}
	g := vmlab.Boot(t, cfg)
	loadCrash(t, g, "--append", "console=ttyS0 gokexec.target=raw:/dev/vda gokexec.stall_timeout=10 gokexec.format=elf gokexec.dump_level=0")
	g.Crash()
	waitAllocated(g, disk, 16<<20)
	// A byte a second: no request is ever answered, and none fails.
	g.HMP("block_set_io_throttle dead 0 0 1 0 0 0")
	dead := time.Now()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the action", end.Reason)
	}
	t.Logf("the machine was reset %v after the disk's death", time.Since(dead).Round(time.Second))
	for _, want := range []string{capture.ErrStalled.Error() + " for 10s", "gokexec: reboot"} {
		if !strings.Contains(g.VM.Console(), want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

// hookInitramfs is one whose init is a shell script, with the hook that the packages
// bring.
func hookInitramfs(t *testing.T, k *vmlab.Kernel, modules ...string) string {
	t.Helper()
	script := "#!/bin/busybox sh\nfor d in proc sys dev; do busybox mkdir -p /$d; done\n" +
		"busybox mount -t proc proc /proc; busybox mount -t sysfs sysfs /sys; busybox mount -t devtmpfs dev /dev\n"
	files := append(shellFiles(t, k),
		vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
		vmlab.Executable("/bin/gokexec-capture", "../../dist/initramfs/gokexec-capture"),
		vmlab.File{Path: "/bin/sleep", Link: "/bin/busybox"})
	loaded, err := k.ModuleFiles(modules...)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, loaded...)
	script += "while read -r module; do busybox insmod $module; done </lab/modules\n/bin/gokexec-capture\necho the hook has returned $?\nbusybox poweroff -f\n"
	files = append(files, vmlab.File{Path: "/init", Data: []byte(script), Mode: 0o755})
	image, err := vmlab.Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "hook.img")
	if err := os.WriteFile(out, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// As the init of a kernel that no panic has started gokexec says so, and hands over.
func TestVMInitElsewhere(t *testing.T) {
	t.Parallel()
	k := vmlab.GetTestKernel(t, "bookworm-cloud")
	g := vmlab.Boot(t, vmlab.Config{Kernel: k, Files: userland(t, k), Init: "/bin/gokexec"})
	// The agent is /init, what the kernel would have started.
	g.WaitHello()
	for _, want := range []string{"gokexec: not the init of this kernel", "gokexec: handing over to /init"} {
		if !strings.Contains(g.VM.Console(), want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}
