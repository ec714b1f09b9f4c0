package vmlab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tools is a disk with an ext4 that has packages of Debian, and all they depend on, unpacked: a root for a guest that
// runs their programs with nothing else about. No script of a package has run.
type Tools struct {
	Versions map[string]string // of the packages that were asked for
	disk     string
}

// baseTools are what a root needs for scripts.
var baseTools = []string{"base-files", "coreutils", "dash", "grep", "sed", "mount", "util-linux", "kmod"}

// toolsVersion is of what this file makes of the packages.
const toolsVersion = "1"

// ToolsDisk returns, for amd64, a disk with packages of a suite ("bookworm", "trixie"), and makes it when it isn't in
// the cache. Newer versions are looked for at most once a day. It is used like this, and stays as it is:
//
//	vmlab.Config{Kernel: k, Disks: []vmlab.Disk{tools.Disk(), ...}, Root: vmlab.ToolsRoot, Bare: true}
//
// Kernel modules for it come in Config.Files, from [Kernel.ModuleTree].
func ToolsDisk(ctx context.Context, suiteName string, packages ...string) (*Tools, error) {
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	unlock, err := c.lockApt(ctx, suiteName, "amd64")
	if err != nil {
		return nil, err
	}
	defer unlock()
	names := append(slices.Clone(baseTools), packages...)
	all := hash(append(slices.Clone(names), toolsVersion)...)
	record, err := current(ctx, c, c.path("tools", suiteName+"-"+all+".json"), nil, func() (debianRecord, error) {
		return makeTools(ctx, c, suiteName, all, names)
	})
	if err != nil {
		return nil, fmt.Errorf("disk with %s of Debian %s: %w", strings.Join(packages, ", "), suiteName, err)
	}
	return &Tools{record.Versions, c.path(record.Dir, "disk.img")}, nil
}

func hash(words ...string) string {
	h := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(h[:8])
}

func makeTools(ctx context.Context, c cache, suiteName, all string, names []string) (debianRecord, error) {
	a, err := openApt(ctx, c, suiteName, "amd64")
	if err != nil {
		return debianRecord{}, err
	}
	record := debianRecord{Versions: map[string]string{}, recorded: recorded{Resolved: time.Now()}}
	words := []string{all}
	for _, name := range names {
		fields, err := a.candidate(ctx, name)
		if err != nil {
			return debianRecord{}, err
		}
		record.Versions[name] = fields["version"]
		words = append(words, fields["version"])
	}
	record.Dir = filepath.Join("tools", suiteName+"-"+all, hash(words...))
	err = unpackInto(c.path(record.Dir), func(tmp string) error {
		root := filepath.Join(tmp, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
		if err := a.unpackAll(ctx, root, names...); err != nil {
			return err
		}
		if err := finishTools(root); err != nil {
			return err
		}
		if _, err := runTool(ctx, tmp, "mke2fs", "-q", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
			"-d", "root", "disk.img", "2G"); err != nil {
			return err
		}
		return os.RemoveAll(root)
	})
	if err == nil {
		removeOlder(c.path("tools", suiteName+"-"+all), c.path(record.Dir))
	}
	return record, err
}

// finishTools gives an unpacked tree what scripts of packages would.
func finishTools(root string) error {
	for _, dir := range []string{"doc", "man", "locale"} {
		if err := os.RemoveAll(filepath.Join(root, "usr/share", dir)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "mnt", "root", "etc", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\ndisk:x:6:\n", "etc/fstab": "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	err := os.Symlink("/proc/self/mounts", filepath.Join(root, "etc/mtab"))
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	if _, missing := os.Stat(filepath.Join(root, "bin/sh")); missing != nil && err == nil {
		err = os.Symlink("dash", filepath.Join(root, "bin/sh"))
	}
	return err
}

// ToolsRoot is the device of the disk in a guest that has it as the first of its virtio disks.
const ToolsRoot = "/dev/vda"

// Disk is the disk for a guest. What the guest writes to it is lost.
func (x *Tools) Disk() Disk {
	return Disk{Source: x.disk, Bus: "virtio", Serial: "tools", Drive: "snapshot=on"}
}

// TestTools is ToolsDisk for a test.
func TestTools(t testing.TB, suiteName string, packages ...string) *Tools {
	t.Helper()
	Require(t, "amd64")
	if _, err := lookTool("mke2fs"); err != nil {
		missing := []Missing{{"mke2fs", "e2fsprogs", "making a disk of Debian's packages"}}
		unable(t, "missing %v; %s", missing, InstallHint(missing))
	}
	x, err := ToolsDisk(t.Context(), suiteName, packages...)
	if err != nil {
		unable(t, "%v", err)
	}
	return x
}
