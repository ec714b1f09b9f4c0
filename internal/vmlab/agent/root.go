package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the host puts the files for a root on a disk, and where it is mounted.
const (
	rootFiles = "/lab/root"
	rootMount = "/lab/mnt"
)

// agentUnit starts the server under a systemd that finds it in /run: nothing of it
// is on the disk, and so not in the capture kernel that starts from it.
const agentUnit = `[Unit]
Description=Agent of the VM laboratory
[Service]
ExecStart=/run/lab/agent
OOMScoreAdjust=-1000
StandardOutput=journal+console
StandardError=journal+console
`

// rootedVar is set for an init that has a disk as its root already.
const rootedVar = "LAB_ROOTED"

// bareRoot says whether the agent is to be the init of the disk too.
func bareRoot() bool {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	return slices.Contains(strings.Fields(string(cmdline)), "lab.bare")
}

// rootDevice is what lab.root= on the kernel's command line names.
func rootDevice() string {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(cmdline)) {
		if device, ok := strings.CutPrefix(word, "lab.root="); ok {
			return device
		}
	}
	return ""
}

// switchRoot makes a disk the root and becomes its init; it returns only with an
// error.
func switchRoot(device string) error {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run", rootMount} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := unix.Mount(device, rootMount, "ext4", 0, "")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("mount %s: %w", device, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := copyTree(rootFiles, rootMount); err != nil {
		return err
	}
	if err := copyFile("/init", "/run/lab/agent", 0o755); err != nil {
		return err
	}
	wants := "/run/systemd/system/multi-user.target.wants"
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/run/systemd/system/lab-agent.service", []byte(agentUnit), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("../lab-agent.service", wants+"/lab-agent.service"); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := unix.Mount(dir, rootMount+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	// The initramfs stays below; what it holds is memory.
	if err := errors.Join(os.RemoveAll(rootFiles), os.RemoveAll("/lab/modules.d"), os.Remove("/init")); err != nil {
		return err
	}
	if err := os.Chdir(rootMount); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", rootMount, err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if bareRoot() {
		return unix.Exec("/run/lab/agent", []string{"/init"}, []string{rootedVar + "=1"})
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"TERM=dumb"})
}

// copyTree copies directories, files and links over what is there.
func copyTree(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err == nil {
				err = errors.Join(os.RemoveAll(target), os.Symlink(link, target))
			}
			return err
		}
		return copyFile(path, target, info.Mode().Perm())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing to be copied
	}
	return err
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
