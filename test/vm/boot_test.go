package vm

import (
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// An ordinary kexec: the second kernel comes up with the new command line,
// without a reset in between.
func TestVMBootFileLoad(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		kernel, err := os.ReadFile(k.Image)
		if err != nil {
			t.Fatal(err)
		}
		packed := imagetest.Compress(t, "zstd", kernel)
		initrd := agentInitramfs(t, k)
		// Named here, since it goes into the UKI before the machine is made.
		cfg := vmlab.Config{Kernel: k, Channel: "uart"}
		cfg.Files = []vmlab.File{
			vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image},
			{Path: "/boot/vmlinuz.zst", Data: packed},
			{Path: "/boot/initrd", Data: initrd},
			{Path: "/boot/uki.efi", Data: imagetest.PE(0x8664,
				imagetest.Section{Name: ".linux", Data: kernel}, imagetest.Section{Name: ".initrd", Data: initrd},
				imagetest.Section{Name: ".cmdline", Data: []byte(cfg.AgentCmdline() + ` second.kernel="yes it is"`)})},
		}
		g := vmlab.Boot(t, cfg)
		if r := g.Run(gokexec, "exec", "--force"); r.Code != 3 || !strings.Contains(r.Stderr, "no kernel is loaded") {
			t.Errorf("exec with nothing loaded: exit code %d, %q; want 3 and why", r.Code, r.Stderr)
		}
		// Unpacked in memory: a compressed kernel, and a UKI with its own initrd and command line.
		g.Must(gokexec, "load", "--boot", "/boot/vmlinuz.zst", "--initrd", "/boot/initrd")
		if r := g.Run(gokexec, "unload", "--boot"); r.Code != 0 {
			t.Errorf("unload --boot: exit code %d: %s", r.Code, r.Stderr)
		}
		g.Must(gokexec, "load", "--boot", "/boot/uki.efi")
		first := g.VM.Hello.BootID
		// It never answers: the kernel under it goes away.
		g.Start(gokexec, "exec")
		hello := g.WaitHello()
		if hello.BootID == first || !strings.Contains(hello.Cmdline, `second.kernel="yes it is"`) {
			t.Errorf("the second kernel is %+v; want another boot, with the new command line", hello)
		}
		g.Reboot("poweroff")
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Errorf("the machine ended by %q; want guest-shutdown", end.Reason)
		}
	}, "bookworm-cloud", "backports-cloud")
}

func agentInitramfs(t *testing.T, k *vmlab.Kernel) []byte {
	t.Helper()
	files, err := vmlab.AgentFiles(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := vmlab.Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
