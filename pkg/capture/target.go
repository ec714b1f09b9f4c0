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
		return nilSafe(newPinned(r.sys, t.Path, when))
	}
	ref, err := parseDevice(t.Device)
	if err != nil {
		return nil, err
	}
	finder := &deviceFinder{sys: r.sys, touch: touch}
	node, found, err := finder.wait(ctx, ref, r.cfg.deviceTimeout())
	if err != nil {
		return nil, err
	}
	if ref.key != "" {
		r.say("%s is %s", ref, node)
	}
	if t.Type == TargetRaw {
		s, err := newRaw(r.sys, node, t.Overwrite, when)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return r.mount(t, index, node, found, when)
}

func nilSafe(s *directorySink, err error) (sink, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// mount mounts a filesystem and makes the dump's directory in it.
func (r *run) mount(t Target, index int, node string, found []Signature, when time.Time) (sink, error) {
	types, err := fsTypes(t.FSType, node, found)
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
		return nil, explainMount(err, types[0])
	}
	dir := path.Join(point, t.Path)
	s, err := func() (*directorySink, error) {
		if err := mkdirAll(r.sys, point, dir, 0o755); err != nil {
			return nil, err
		}
		return newDirectory(r.sys, dir, point, when)
	}()
	if err != nil {
		return nil, errors.Join(err, r.sys.Unmount(point))
	}
	s.after = func() error { return r.sys.Unmount(point) }
	return s, nil
}

// fsTypes are the types to mount a device as, in order.
func fsTypes(configured, node string, found []Signature) ([]string, error) {
	if configured != "" {
		return []string{configured}, nil
	}
	var names []string
	for _, s := range found {
		if !s.Mountable {
			names = append(names, s.String())
			continue
		}
		if s.Type == "ext2" || s.Type == "ext3" {
			// ext4's driver serves them, where it is built to.
			return []string{s.Type, "ext4"}, nil
		}
		return []string{s.Type}, nil
	}
	if len(names) == 0 {
		names = append(names, "nothing")
	}
	return nil, fmt.Errorf("%s holds no filesystem to save on: found %s; name its fstype if it has one", node, strings.Join(names, ", "))
}

func explainMount(err error, fstype string) error {
	switch {
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
func mkdirAll(sys System, root, dir string, perm fs.FileMode) error {
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
