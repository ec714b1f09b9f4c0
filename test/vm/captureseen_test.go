package vm

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// The initramfs is built on the machine itself, for the directory that its
// administrator sees: on a subvolume of a btrfs mirrored over two disks. Before it
// a disk is tried whose label takes some spelling, and that is too small. The
// dump is on both disks, where the subvolume is. The small disk has an f2fs where the
// kernel has its module.
func TestVMCaptureSeen(t *testing.T) {
	t.Parallel()
	name := "trixie-cloud"
	if generic := "trixie-generic"; slices.Contains(vmlab.MatrixNames(), generic) {
		name = generic
	}
	k := vmlab.GetTestKernel(t, name)
	tools := vmlab.GetArchPackage(t, "trixie", "btrfs-progs", k.Arch)
	mkfs, err := tools.HostProgram("sbin/mkfs.btrfs")
	if err != nil {
		t.Fatal(err)
	}
	btrfs, err := tools.GuestProgram("bin/btrfs")
	if err != nil {
		t.Fatal(err)
	}
	small, one, two := emptyDisk(t, "small.img", 100<<20), emptyDisk(t, "one.img", 2<<30), emptyDisk(t, "two.img", 2<<30)
	fstype, format := "ext4", []string{"mke2fs", "-q", "-t", "ext4", "-L"}
	if name == "trixie-generic" {
		mkfs, err := vmlab.GetArchPackage(t, "trixie", "f2fs-tools", k.Arch).HostProgram("sbin/mkfs.f2fs")
		if err != nil {
			t.Fatal(err)
		}
		fstype, format = "f2fs", append(mkfs.Argv, "-q", "-l")
	}
	run(t, append(format, "my data/x", small)...)
	run(t, append(mkfs.Argv, "-q", "-m", "raid1", "-d", "raid1", one, two)...)
	cfg := vmlab.Config{
		Kernel: k, Memory: 512, CrashKernel: "128M",
		Modules: []string{"crc32c_generic", "btrfs"}, // the first only a soft dependency, which the lab does not follow
		Disks:   []vmlab.Disk{{Source: one}, {Source: two}, {Source: small, Bus: "virtio"}},
		Files:   append(append(userland(t, k), btrfs.Files...), moduleTree(t, k, "nvme", "virtio_pci", "virtio_blk", "btrfs", fstype)...),
	}
	g := vmlab.Boot(t, cfg)
	g.Must(append(btrfs.Argv, "device", "scan")...)
	shell(g, "mkdir -p /top /var; mount -t btrfs /dev/nvme0n1 /top")
	g.Must(append(btrfs.Argv, "subvolume", "create", "/top/root")...)
	shell(g, "umount /top; mount -t btrfs -o subvol=root /dev/nvme0n1 /var; mkdir /var/dumps; ln -s dumps /var/crash")

	for _, device := range []string{"raw:/dev/nvme0n1", "fs:/dev/nvme1n1"} {
		if r := g.Run(gokexec, "check", "--target", device); device[:3] == "raw" != (r.Code == 1) {
			t.Errorf("check --target %s: exit code %d\n%s%s", device, r.Code, r.Stdout, r.Stderr)
		}
	}
	built := g.Run(gokexec, "initramfs", "-o", guestInitrd, "--format", "elf", "--dump-level", "0", "--final-action", "poweroff", `fs:LABEL=my\x20data\x2fx:/x`, "/var/crash")
	if built.Code != 0 || !strings.Contains(built.Stderr, ":/dumps (btrfs, subvol=/root)") {
		t.Fatalf("gokexec initramfs: exit code %d\n%s%s", built.Code, built.Stdout, built.Stderr)
	}
	t.Logf("%s%s", built.Stderr, built.Stdout)
	loadCrash(t, g)
	nonce := g.Plant(50)
	shell(g, "sync")
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
		t.Fatalf("the machine ended by %q; want guest-shutdown, the final action", end.Reason)
	}
	restore, err := tools.HostProgram("bin/btrfs")
	if err != nil {
		t.Fatal(err)
	}
	for _, disk := range []string{one, two} {
		out := t.TempDir()
		run(t, append(restore.Argv, "restore", "-s", disk, out)...)
		dirs, err := filepath.Glob(filepath.Join(out, "root/dumps/*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("dumps in the subvolume on %s: %v, %v; want one", filepath.Base(disk), dirs, err)
		}
		result := checkDumpDir(t, dirs[0], func(d kdumpfile.Dump) {
			if err := checkNonce(d, nonce); err != nil {
				t.Error(err)
			}
		})
		if len(result.Errors) != 1 || !strings.Contains(result.Errors[0], `target fs:LABEL=my\x20data/x:/x`) || !strings.Contains(result.Errors[0], "no space left") {
			t.Errorf("errors = %q; want that the first disk was found and is too small", result.Errors)
		}
	}
}

// moduleTree is what a guest needs to build an initramfs with modules: the index
// files, and the modules with all that they need.
func moduleTree(t *testing.T, k *vmlab.Kernel, names ...string) []vmlab.File {
	t.Helper()
	files, err := k.ModuleTree(names...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
