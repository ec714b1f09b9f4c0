package debian

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// An initramfs that initramfs-tools makes, and one that dracut makes, each with the
// package's hook, saves a crash by gokexec. Before the first, the machine goes by gokexec
// exec through systemd into a second kernel.
func TestVMInitramfsBuilders(t *testing.T) {
	d := vmlab.GetTestDebian(t, "trixie")
	disk := d.TestDisk(t)
	builders := []struct{ name, image, build string }{
		{"initramfs-tools", "/boot/tools.img", "mkinitramfs -o /boot/tools.img $(uname -r)"},
		{"dracut", "/boot/dracut.img", "dracut --quiet --no-hostonly --no-kernel --no-early-microcode --compress 'gzip -1' --modules 'base udev-rules rootfs-block gokexec' /boot/dracut.img $(uname -r)"},
	}
	for i, b := range builders {
		t.Run(b.name, func(t *testing.T) {
			cfg := machine(t, d, disk)
			if i == 0 {
				cfg.Files = append(cfg.Files, secondKernel(t, d)...)
			}
			g := boot(t, cfg)
			if i == 0 {
				g.Must("dpkg", "-i", guestDeb)
			}
			script := "GOKEXEC_CAPTURE_TARGETS=raw:" + dumpDevice + " " + b.build
			built, err := g.VM.Run(t.Context(), vmlab.Command{Argv: []string{"sh", "-e", "-c", script}, Timeout: 8 * time.Minute})
			if err != nil || built.Code != 0 {
				t.Fatalf("%s: %v, %+v", script, err, built)
			}
			t.Logf("%s took %v: %s", b.build, built.Duration.Round(time.Second), built.Stderr)
			root := ""
			if i == 0 {
				kexecThroughSystemd(t, g)
				root = "/mnt"
			}
			g.Must(root+"/usr/sbin/gokexec", "load", "--crash", root+"/boot/vmlinuz-"+d.Kernel.Release, "--initrd", root+b.image,
				"--cmdline", "console=ttyS0 root="+rootDevice)
			nonce := g.Plant(100)
			lastWords := "gokexec-test: the last words before " + b.name
			g.WriteFile("/dev/kmsg", "<3>"+lastWords+"\n")
			g.Crash()
			waitCapture(g)
			checkRawDump(t, g.VM.Disk(1), nonce, lastWords)
		})
	}
}

// secondKernel is the initramfs behind the kexec: the laboratory's agent alone.
func secondKernel(t *testing.T, d *vmlab.Debian) []vmlab.File {
	t.Helper()
	files, err := vmlab.AgentFiles(t.Context(), d.Kernel, "nvme", "virtio_pci", "virtio_console")
	if err != nil {
		t.Fatal(err)
	}
	image, err := vmlab.Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	return []vmlab.File{{Path: "/boot/agent.img", Data: image}}
}

// kexecThroughSystemd reboots by gokexec exec, which asks systemd; systemd-shutdown
// then runs kexec -e, which is gokexec again. The disk is at /mnt then.
func kexecThroughSystemd(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	first := g.VM.Hello.BootID
	g.Must("gokexec", "load", "--boot", "/boot/vmlinuz-"+g.VM.Config.Kernel.Release, "--initrd", "/boot/agent.img",
		"--cmdline", g.VM.Config.AgentCmdline()+" crashkernel=256M second.kernel")
	g.Start("gokexec", "exec")
	hello := waitAgain(g)
	if hello.BootID == first || !strings.Contains(hello.Cmdline, "second.kernel") {
		t.Fatalf("the kernel behind gokexec exec is %+v; want another boot, with second.kernel", hello)
	}
	console := plain(g.VM.Console())
	for _, want := range []string{"kexec.target", "All filesystems unmounted"} {
		if !strings.Contains(console, want) {
			t.Errorf("the console has no %q: systemd was to shut down first", want)
		}
	}
	if err := g.VM.Mount(t.Context(), rootDevice, "/mnt", "ext4", ""); err != nil {
		t.Fatal(err)
	}
}

// plain drops the colours of systemd's words.
func plain(console string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(console, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, func(r rune) bool { return r >= '@' && r <= '~' })
		console = after[end+1:]
	}
}

// checkRawDump looks at what gokexec wrote to a raw disk: the log, and the nonce at
// its physical addresses.
func checkRawDump(t *testing.T, disk string, nonce *vmlab.Nonce, lastWords string) {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := ""
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("tar on the disk: %v", err)
		}
		if path.Base(h.Name) == path.Base(capture.LogName) {
			text, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			log = string(text)
		}
	}
	if !strings.Contains(log, lastWords) {
		t.Errorf("the saved log of %d bytes lacks %q", len(log), lastWords)
	}
	dump, err := capture.OpenRaw(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	core, err := elfcore.New(dump, dump.Size())
	if err != nil {
		t.Fatal(err)
	}
	err = nonce.Check(func(b []byte, phys uint64) error {
		_, err := core.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil {
		t.Errorf("nonce: %v", err)
	}
}
