package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// Guest paths.
const (
	guestKernel = "/boot/vmlinuz"
	guestInitrd = "/boot/capture.img"
	gokexec     = "gokexec"
)

// wholeMemory makes a dump that has all memory byte by byte, to be compared.
var wholeMemory = []string{"--format", "elf", "--dump-level", "0"}

// crashMachine is a machine with a raw NVMe disk for the dump, gokexec, its
// own kernel as the crash kernel, and a capture initramfs made by gokexec.
func crashMachine(t *testing.T, k *vmlab.Kernel, args ...string) vmlab.Config {
	t.Helper()
	if len(args) == 0 {
		args = append(slices.Clone(wholeMemory), "--set", "nvme", "raw:/dev/nvme0n1")
	}
	return vmlab.Config{
		Kernel: k, Memory: 512, CrashKernel: "128M",
		Disks: []vmlab.Disk{{}}, Modules: anyModule(k),
		Files: append(userland(t, k), vmlab.File{Path: guestInitrd, Source: captureInitramfs(t, k, args...)}),
	}
}

// anyModule is a module that needs no hardware, for a dump that has one; built kernels have none.
func anyModule(k *vmlab.Kernel) []string {
	if k.ModulesRoot == "" {
		return nil
	}
	return []string{"dummy"}
}

// userland is gokexec, a kernel to load, and a shell to make trouble with.
func userland(t *testing.T, k *vmlab.Kernel) []vmlab.File {
	t.Helper()
	return append(shellFiles(t, k),
		vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
		vmlab.File{Path: guestKernel, Source: k.Image})
}

// shellFiles are a shell with its tools, and a user who is not root.
func shellFiles(t *testing.T, k *vmlab.Kernel) []vmlab.File {
	t.Helper()
	busybox := vmlab.GetArchPackage(t, "trixie", "busybox-static", k.Arch)
	return []vmlab.File{
		vmlab.Executable("/bin/busybox", busybox.Path("usr/bin/busybox")),
		{Path: "/bin/sh", Link: "/bin/busybox"},
		{Path: "/etc/passwd", Data: []byte("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")},
	}
}

// shell runs a script that has to succeed.
func shell(g *vmlab.Guest, script string) string {
	g.T.Helper()
	return g.Must("busybox", "sh", "-e", "-c", script)
}

// captureInitramfs builds one on the host, as for another machine.
func captureInitramfs(t *testing.T, k *vmlab.Kernel, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "capture.img")
	argv := append([]string{"initramfs", "-o", out, "--sysroot", k.ModulesRoot, "--kernel", k.Release,
		"--arch", k.Arch, "--init", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)}, args...)
	cmd := exec.Command(vmlab.BuildTest(t, "./cmd/gokexec", runtime.GOARCH), argv...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("gokexec %s: %v\n%s", strings.Join(argv, " "), err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 6<<20 {
		t.Errorf("the capture initramfs of %s has %d bytes; want a few MB", k.Name, info.Size())
	}
	t.Logf("%s: %s", k.Name, strings.TrimSpace(string(text)))
	return out
}

// loadCrash loads the crash kernel, and checks the status before and after.
func loadCrash(t *testing.T, g *vmlab.Guest, more ...string) {
	t.Helper()
	if r := g.Run(gokexec, "status"); r.Code != 3 {
		t.Errorf("status before the load: exit code %d; want 3\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	argv := append([]string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0"}, more...)
	t.Logf("%s", strings.TrimSpace(g.Must(argv...)))
	var status struct {
		CrashLoaded bool   `json:"crash_loaded"`
		CrashBytes  uint64 `json:"crash_memory_bytes"`
	}
	if err := json.Unmarshal([]byte(g.Must(gokexec, "status", "--json")), &status); err != nil {
		t.Fatalf("status --json: %v", err)
	}
	if !status.CrashLoaded || status.CrashBytes != 128<<20 {
		t.Errorf("status after the load = %+v; want loaded, 128 MiB", status)
	}
}
