package debian

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// An initramfs that initramfs-tools makes, and one that dracut makes, each with the
// package's hook in the Debian that the package is installed in, saves a crash by gokexec.
func TestVMInitramfsBuilders(t *testing.T) {
	vmlab.DebianMatrix(t, []string{"trixie"}, captureByBuilders)
}

func captureByBuilders(t *testing.T, d *vmlab.Debian) {
	tree := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Tree(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	deb, err := os.ReadFile(debFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, guestDeb), deb, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := vmlab.Chroot(t.Context(), tree, "dpkg -i "+guestDeb+`
export GOKEXEC_CAPTURE_TARGETS=raw:`+dumpDevice+`
mkinitramfs -o /boot/initramfs-tools.img `+d.Kernel.Release+`
dracut --quiet --no-hostonly --no-kernel --no-early-microcode --compress 'gzip -1' \
	--modules 'base udev-rules rootfs-block gokexec' /boot/dracut.img `+d.Kernel.Release+"\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(said)
	for _, b := range []struct{ name, image, root string }{
		{"initramfs-tools", "initramfs-tools.img", rootDevice},
		{"dracut", "dracut.img", rootDevice},
		// A root that never appears is no reason to lose the dump.
		{"dracut without its root", "dracut.img", "UUID=00000000-0000-0000-0000-000000000000"},
	} {
		t.Run(b.name, func(t *testing.T) {
			g := vmlab.Boot(t, vmlab.Config{
				Kernel: d.Kernel, Memory: 640, CrashKernel: "256M", Disks: []vmlab.Disk{{Source: d.TestDisk(t)}, {}},
				Files: []vmlab.File{
					vmlab.Executable("/bin/gokexec", filepath.Join(tree, "usr/sbin/gokexec")),
					{Path: "/boot/vmlinuz", Source: d.Kernel.Image},
					{Path: "/boot/initrd", Source: filepath.Join(tree, "boot", b.image)},
				},
			})
			g.Must("gokexec", "load", "--crash", "/boot/vmlinuz", "--initrd", "/boot/initrd", "--cmdline", "console=ttyS0 gokexec.format=elf gokexec.dump_level=0 root="+b.root)
			nonce := g.Plant(100)
			lastWords := "gokexec-test: the last words before " + b.name
			g.WriteFile("/dev/kmsg", "<3>"+lastWords+"\n")
			g.Crash()
			waitCapture(g)
			checkRawDump(t, g.VM.Disk(1), nonce, lastWords)
		})
	}
}

// gokexec exec asks systemd, which shuts down and has kexec -e jump, that is gokexec again.
func TestVMExecThroughSystemd(t *testing.T) {
	vmlab.DebianMatrix(t, []string{"trixie"}, func(t *testing.T, d *vmlab.Debian) {
		cfg := machine(t, d, d.TestDisk(t))
		cfg.Files = append(cfg.Files, secondKernel(t, d)...)
		g := boot(t, cfg)
		g.Must("dpkg", "-i", guestDeb)
		kexecThroughSystemd(t, g)
	})
}

// secondKernel is the initramfs after the kexec: the laboratory's agent alone.
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
// then runs kexec -e, which is gokexec again.
func kexecThroughSystemd(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	first := g.VM.Hello.BootID
	g.Must("gokexec", "load", "--boot", "/boot/vmlinuz-"+g.VM.Config.Kernel.Release, "--initrd", "/boot/agent.img",
		"--cmdline", g.VM.Config.AgentCmdline()+" second.kernel")
	g.Start("gokexec", "exec")
	hello := waitAgain(g)
	if hello.BootID == first || !strings.Contains(hello.Cmdline, "second.kernel") {
		t.Fatalf("the kernel after gokexec exec is %+v; want another boot, with second.kernel", hello)
	}
	console := plain(g.VM.Console())
	for _, want := range []string{"kexec.target", "All filesystems unmounted"} {
		if !strings.Contains(console, want) {
			t.Errorf("the console has no %q: systemd was to shut down first", want)
		}
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
