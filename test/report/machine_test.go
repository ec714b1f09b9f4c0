package report

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Guest paths.
const (
	guestKernel = "/boot/vmlinuz"
	guestInitrd = "/boot/capture.img"
	guestModule = "/lib/crashmodule.ko"
)

// machine is one for a crash whose log is on the console, and with dump in a dump as well.
func machine(t *testing.T, k *vmlab.Kernel, c crash, dump bool) vmlab.Config {
	t.Helper()
	busybox := vmlab.GetArchPackage(t, "trixie", "busybox-static", k.Arch)
	cfg := vmlab.Config{
		Kernel: k, Memory: 512, Cmdline: "oops=panic",
		Files: []vmlab.File{vmlab.Executable("/bin/busybox", busybox.Path("usr/bin/busybox"))},
	}
	if c.param != "" {
		cfg.Files = append(cfg.Files, vmlab.File{Path: guestModule, Source: vmlab.TestModule(t, k, "crashmodule")})
	}
	if !dump {
		return cfg
	}
	disk, target := vmlab.Disk{}, []string{"--set", "nvme", "raw:/dev/nvme0n1"}
	if k.Arch == "riscv64" {
		disk.Bus, target = "virtio", []string{"--set", "virtio_blk", "raw:/dev/vda"} // see archMachineFor of test/vm
	}
	cfg.CrashKernel, cfg.Disks = "128M", []vmlab.Disk{disk}
	cfg.Files = append(cfg.Files,
		vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
		vmlab.File{Path: guestKernel, Source: k.Image},
		vmlab.File{Path: guestInitrd, Source: captureInitramfs(t, k, target...)})
	return cfg
}

// captureInitramfs builds one on the host, as for another machine.
func captureInitramfs(t *testing.T, k *vmlab.Kernel, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "capture.img")
	argv := append([]string{"initramfs", "-o", out, "--sysroot", k.ModulesRoot, "--kernel", k.Release,
		"--arch", k.Arch, "--init", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)}, args...)
	text, err := exec.Command(vmlab.BuildTest(t, "./cmd/gokexec", runtime.GOARCH), argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("gokexec %s: %v\n%s", strings.Join(argv, " "), err, text)
	}
	return out
}

// crashed is what a crash left.
type crashed struct {
	log  string // of the dump, or the console's
	disk string // of the dump, if there is one
}

// run boots a machine, lets so many processes run, crashes it, and waits for its end.
func run(t *testing.T, cfg vmlab.Config, c crash, processes int) crashed {
	t.Helper()
	g := vmlab.Boot(t, cfg)
	dump := cfg.CrashKernel != ""
	if dump {
		t.Log(strings.TrimSpace(g.Must("gokexec", "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", cfg.Kernel.ConsoleArg())))
	}
	if processes > 0 {
		g.Must("busybox", "sh", "-c", fmt.Sprintf("for i in $(busybox seq %d); do busybox true; done", processes))
	}
	for _, setting := range c.sysctl {
		name, value, _ := strings.Cut(setting, "=")
		g.WriteFile(path.Join("/proc/sys", name), value)
	}
	if c.param != "" {
		g.Must("busybox", "insmod", guestModule)
		g.Start("busybox", "sh", "-c", "echo "+c.param+" > /sys/module/crashmodule/parameters/crash")
	} else {
		c.trigger(g)
	}
	end := g.WaitEnd()
	if end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset\n%s", end.Reason, g.VM.Console())
	}
	if !dump {
		return crashed{log: g.VM.Console()}
	}
	disk := g.VM.Disk(0)
	return crashed{savedLog(t, disk), disk}
}

// savedLog reads the log out of the tar stream on a disk.
func savedLog(t *testing.T, disk string) string {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var log []byte
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && h.Name == capture.LogName {
			log, err = io.ReadAll(tr)
		}
		if err != nil {
			t.Fatalf("tar on the disk: %v", err)
		}
	}
	if log == nil {
		t.Fatalf("the disk has no %s", capture.LogName)
	}
	return string(log)
}
