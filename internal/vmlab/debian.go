package vmlab

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Debian is an installed Debian with a cloud kernel of its own: the disk of a machine, never started.
type Debian struct {
	Suite    string
	Kernel   *Kernel           // the installed one
	Versions map[string]string // of some packages
	disk     string
}

// debianKernels names what the suites' own kernels are called here.
var debianKernels = map[string]string{"bookworm": "bookworm-cloud", "trixie": "trixie-cloud"}

//go:embed debian.sh
var debianRecipe string

//go:embed bootable.sh
var bootableRecipe string

// installation is a way to install a Debian.
type installation struct {
	name     string // of its directory in the cache
	recipe   string // shell script: SUITE SOURCES APTCONF and argument
	argument string
	packages []string // whose versions tell one installation from another
}

// withKdumpTools has Debian's own kdump, initramfs-tools and dracut. Its disk is an ext4.
func withKdumpTools() installation {
	return installation{name: "debian", recipe: debianRecipe,
		packages: []string{"kdump-tools", "kexec-tools", "makedumpfile", "initramfs-tools-core", "dracut-core", "systemd", "linux-image-cloud-amd64"}}
}

// bootable has partitions and a boot loader.
func bootable(loader string) (installation, error) {
	own, ok := map[string][]string{"grub": {"grub-pc"}, "uki": {"systemd-boot", "systemd-ukify"}}[loader]
	if !ok {
		return installation{}, fmt.Errorf("no boot loader %q is known here", loader)
	}
	return installation{name: "debian-" + loader, recipe: bootableRecipe, argument: loader,
		packages: append(own, "initramfs-tools-core", "systemd", "linux-image-cloud-amd64")}, nil
}

type debianRecord struct {
	Versions map[string]string `json:"versions"`
	recorded
}

// GetDebian returns the Debian of a suite ("bookworm", "trixie"), for amd64, with kdump-tools,
// makedumpfile, initramfs-tools and dracut, and
// installs it when it isn't in the cache: less than a minute, by mmdebstrap, which
// has to run as root. Newer versions of the packages are looked for at most once a
// day.
func GetDebian(ctx context.Context, suiteName string) (*Debian, error) {
	d, err := withKdumpTools().get(ctx, suiteName)
	if err != nil {
		return nil, fmt.Errorf("install Debian %s: %w", suiteName, err)
	}
	return d, nil
}

// GetBootable returns a Debian of a suite whose disk has partitions and a boot loader that starts
// it ([Config.BootDisk]): "grub" by BIOS, "uki" (systemd-boot and a unified kernel image) by UEFI.
// It has no kdump of Debian's.
func GetBootable(ctx context.Context, suiteName, loader string) (*Debian, error) {
	how, err := bootable(loader)
	if err != nil {
		return nil, err
	}
	d, err := how.get(ctx, suiteName)
	if err != nil {
		return nil, fmt.Errorf("install Debian %s with %s: %w", suiteName, loader, err)
	}
	return d, nil
}

func (how installation) get(ctx context.Context, suiteName string) (*Debian, error) {
	name, ok := debianKernels[suiteName]
	if !ok {
		return nil, errors.New("no such suite is known here")
	}
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	unlock, err := c.lockApt(ctx, suiteName, "amd64")
	if err != nil {
		return nil, err
	}
	defer unlock()
	good := func(r debianRecord) bool { return strings.HasSuffix(r.Dir, how.key(r.Versions)) }
	record, err := current(ctx, c, c.path(how.name, suiteName+".json"), good, func() (debianRecord, error) {
		newer, err := how.install(ctx, c, suiteName)
		if err == nil {
			removeOlder(c.path(how.name, suiteName), c.path(newer.Dir))
		}
		return newer, err
	})
	if err != nil {
		return nil, err
	}
	k, err := findKernel(c.path(record.Dir))
	if err != nil {
		return nil, err
	}
	k.Name, k.Arch, k.Version = name, "amd64", record.Versions["linux-image-cloud-amd64"]
	return &Debian{Suite: suiteName, Kernel: k, Versions: record.Versions, disk: c.path(record.Dir, "disk.img")}, nil
}

// key is of what the disk was made by and of.
func (how installation) key(versions map[string]string) string {
	h := sha256.New()
	fmt.Fprintln(h, how.recipe)
	for _, name := range how.packages {
		fmt.Fprintln(h, name, versions[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (how installation) install(ctx context.Context, c cache, suiteName string) (debianRecord, error) {
	a, err := openApt(ctx, c, suiteName, "amd64")
	if err != nil {
		return debianRecord{}, err
	}
	record := debianRecord{Versions: map[string]string{}, recorded: recorded{Resolved: time.Now()}}
	for _, name := range how.packages {
		fields, err := a.candidate(ctx, name)
		if err != nil {
			return debianRecord{}, err
		}
		record.Versions[name] = fields["version"]
	}
	record.Dir = filepath.Join(how.name, suiteName, how.key(record.Versions))
	if os.Geteuid() != 0 {
		if _, err := os.Stat(c.path(record.Dir)); err != nil {
			return debianRecord{}, errors.New("mmdebstrap and mke2fs need root, to give files their owners")
		}
	}
	err = unpackInto(c.path(record.Dir), func(tmp string) error {
		options, err := runTool(ctx, "", "apt-config", "dump", "Acquire")
		if err != nil {
			return err
		}
		aptConf := filepath.Join(tmp, "apt.conf")
		if err := os.WriteFile(aptConf, []byte(transportOptions(options)), 0o644); err != nil {
			return err
		}
		_, err = runTool(ctx, tmp, "sh", "-eu", "-c", how.recipe, how.name, suiteName, filepath.Join(a.dir, "parts", "debian.sources"), aptConf, how.argument)
		return err
	})
	return record, err
}

// transportOptions are those of apt's options that say how to reach an archive.
func transportOptions(dump string) string {
	var kept strings.Builder
	for line := range strings.Lines(dump) {
		for _, prefix := range []string{"Acquire::http", "Acquire::ftp", "Acquire::Check-", "Acquire::Retries"} {
			if strings.HasPrefix(line, prefix) {
				kept.WriteString(line)
			}
		}
	}
	return kept.String()
}

// removeOlder removes what no process can be using any more.
func removeOlder(dir, keep string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && name != keep && time.Since(info.ModTime()) > freshFor {
			_ = os.RemoveAll(name) // another process may have been faster
		}
	}
}

// CopyDisk makes a copy of the installation in a file; what isn't written takes no
// space.
func (d *Debian) CopyDisk(ctx context.Context, file string) error {
	_, err := runTool(ctx, "", "cp", "--sparse=always", "--reflink=auto", d.disk, file)
	return err
}

// DebianPrerequisites lists what is missing on this machine for GetDebian.
func DebianPrerequisites() []Missing {
	missing := Prerequisites("amd64")
	for _, tool := range []struct{ program, pkg string }{{"mmdebstrap", "mmdebstrap"}, {"mke2fs", "e2fsprogs"}, {"debugfs", "e2fsprogs"}, {"apt-config", "apt"}} {
		if _, err := lookTool(tool.program); err != nil {
			missing = append(missing, Missing{tool.program, tool.pkg, "installing Debian on a disk"})
		}
	}
	return missing
}

// ReadDisk copies a directory out of a disk's ext4, as its journal leaves it, into a
// directory of the host. The machine must have ended.
func ReadDisk(ctx context.Context, disk, directory, into string) error {
	// 1 is "errors were corrected", such as a journal that was replayed.
	_, err := runTool(ctx, "", "e2fsck", "-fy", disk)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return err
	}
	_, err = runTool(ctx, "", "debugfs", "-R", fmt.Sprintf("rdump %q %q", directory, into), disk)
	return err
}

// Tree copies the installation into a directory, to run its programs here: see [Chroot].
func (d *Debian) Tree(ctx context.Context, dir string) error {
	_, err := runTool(ctx, "", "debugfs", "-R", fmt.Sprintf("rdump / %q", dir), d.disk)
	return err
}

// Chroot runs a shell script as root of a tree, with a /proc, /sys and /dev that end
// with it, and returns what it printed.
func Chroot(ctx context.Context, dir, script string) (string, error) {
	const mounts = `mount -t proc proc /proc && mount -t sysfs -o ro sysfs /sys && mount -t devtmpfs dev /dev && . /tmp/vmlab-script`
	if err := os.WriteFile(filepath.Join(dir, "tmp", "vmlab-script"), []byte("set -e\n"+script), 0o644); err != nil {
		return "", err
	}
	return runTool(ctx, "", "unshare", "--mount", "--pid", "--fork", "chroot", dir, "/bin/sh", "-c", mounts)
}
