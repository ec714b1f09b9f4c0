package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// open waits for a target's device, mounts what is to be mounted and begins a
// dump there.
func (r *run) open(ctx context.Context, index int, touch func()) (sink, error) {
	t := r.cfg.Targets[index]
	when := r.start
	if r.base.CrashTime != nil {
		when = *r.base.CrashTime
	}
	if t.Type == TargetDirectory {
		info, err := r.sys.Stat(t.Path)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, fmt.Errorf("%s: %w", t.Path, syscall.ENOTDIR)
		}
		return nilSafe(newPinned(r.sys, t.Path, when, r.cfg.reserve()))
	}
	ref, err := blkid.ParseRef(t.Device)
	if err != nil {
		return nil, err
	}
	finder := &deviceFinder{sys: r.sys, touch: touch}
	device, err := finder.wait(ctx, ref, r.cfg.deviceTimeout())
	if err != nil {
		return nil, err
	}
	if ref.Key != "" {
		r.say("%s is %s", ref, device.Node)
	}
	if t.Type == TargetRaw {
		s, err := newRaw(r.sys, device.Node, rawPolicy{t.Overwrite, r.cfg.keepDump()}, when)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	members, err := finder.btrfsOptions(ctx, device.Btrfs, r.cfg.deviceTimeout())
	if err != nil {
		return nil, err
	}
	t.MountOptions = joinOptions(members, t.MountOptions)
	return r.mount(t, index, device, when)
}

func nilSafe(s *directorySink, err error) (sink, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// mount mounts a filesystem and makes the dump's directory in it.
func (r *run) mount(t Target, index int, device *blkid.Device, when time.Time) (sink, error) {
	node := device.Node
	types, err := fsTypes(t.FSType, node, &device.Contents)
	if err != nil {
		return nil, err
	}
	point := path.Join(r.opt.MountPoint, strconv.Itoa(index))
	if err := mkdirAll(r.sys, "/", point, 0o755); err != nil {
		return nil, err
	}
	for _, fstype := range types {
		if err = r.sys.Mount(node, point, fstype, t.MountOptions); err == nil || !errors.Is(err, syscall.ENODEV) {
			break
		}
	}
	if err != nil {
		return nil, explainMount(err, types[0], t.MountOptions)
	}
	dir := path.Join(point, t.Path)
	s, err := func() (*directorySink, error) {
		if err := mkdirAll(r.sys, point, dir, 0o755); err != nil {
			return nil, err
		}
		return newDirectory(r.sys, dir, point, when, r.cfg.reserve())
	}()
	if err != nil {
		return nil, errors.Join(err, r.sys.Unmount(point))
	}
	s.after = func() error { return r.sys.Unmount(point) }
	return s, nil
}

// fsTypes are the types to mount a device as, in order. A member of something
// has none, whatever is configured.
func fsTypes(configured, node string, c *blkid.Contents) ([]string, error) {
	if v := c.Verdict(); v.Kind == blkid.Member {
		return nil, fmt.Errorf("%s holds %s: %w", node, c, blkid.ErrMember)
	}
	if configured != "" {
		return blkid.Signature{Type: configured}.MountTypes(), nil
	}
	var mountable []blkid.Signature
	for _, s := range c.Signatures {
		if s.Mountable {
			mountable = append(mountable, s)
		}
	}
	switch len(mountable) {
	case 0:
		return nil, fmt.Errorf("%s holds no filesystem to save on: found %s; name its fstype if it has one", node, c)
	case 1:
		return mountable[0].MountTypes(), nil
	}
	return nil, fmt.Errorf("%s holds %s, and which of them it is can't be told: name its fstype, or remove what is left over from earlier use (wipefs)", node, c)
}

func explainMount(err error, fstype, options string) error {
	switch {
	case errors.Is(err, syscall.ENOENT) && strings.Contains(options, "subvol"):
		return fmt.Errorf("%w (is the subvolume gone? options %s)", err, options)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w (this kernel has no driver for %s loaded)", err, fstype)
	case errors.Is(err, syscall.EUCLEAN), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w (the filesystem is damaged)", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w (not a filesystem of type %s, or an option it doesn't know)", err, fstype)
	}
	return err
}

// mkdirAll makes the directories below root on the way to dir. A symbolic link
// on the way is refused: in an initramfs it would lead out of the filesystem,
// and the dump into memory.
func mkdirAll(sys Files, root, dir string, perm fs.FileMode) error {
	rest := strings.Trim(strings.TrimPrefix(dir, root), "/")
	if rest == "" {
		return nil
	}
	at := root
	for name := range strings.SplitSeq(rest, "/") {
		at = path.Join(at, name)
		info, err := sys.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := sys.Mkdir(at, perm); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0 && root != "/":
			return fmt.Errorf("/%s is a symbolic link; name the directory it leads to", strings.Trim(strings.TrimPrefix(at, root), "/"))
		case !info.IsDir() && info.Mode()&fs.ModeSymlink == 0:
			return fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
		}
	}
	return nil
}
