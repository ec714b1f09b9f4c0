package capture

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// TargetFilesystem is a block device with a filesystem to be mounted.
const TargetFilesystem TargetType = "filesystem"

func filesystemKind() targetKind {
	return targetKind{
		name: TargetFilesystem, prefix: "fs", usage: "fs:DEVICE[:PATH]", place: OnFilesystem,
		parse: parseFilesystem,
		text: func(t Target) string {
			return deviceText(t.Device) + ":" + blkid.Escape(path.Join("/", t.Path))
		},
		own: func(t Target) Target {
			return Target{Type: t.Type, Device: t.Device, Path: t.Path, FSType: t.FSType, MountOptions: t.MountOptions, Stack: t.Stack}
		},
		fields:   "a device, a path, a type, mount options and a stack",
		validate: validFilesystem,
		lost:     func(Target) string { return "" },
		open:     openFilesystem,
	}
}

// parseFilesystem reads DEVICE[:PATH]. The path begins at the first ":/".
func parseFilesystem(rest string) (Target, error) {
	if device, dir, ok := strings.Cut(rest, ":/"); ok {
		return Target{Device: device, Path: path.Clean(blkid.Unescape("/" + dir))}, nil
	}
	if device, dir, ok := withoutSlash(rest); ok {
		return Target{}, fmt.Errorf("the path must begin with a slash: fs:%s:/%s", device, dir)
	}
	return Target{Device: rest, Path: "/"}, nil
}

// withoutSlash finds a relative path behind a device in whose name no colon can
// be. A label may have one, and so may udev's by-path and by-id.
func withoutSlash(s string) (device, dir string, found bool) {
	device, dir, found = strings.Cut(s, ":")
	key, _, keyed := strings.Cut(device, "=")
	plain := keyed && (key == "UUID" || key == "PARTUUID") || strings.HasPrefix(device, "/dev/disk/by-uuid/") ||
		strings.HasPrefix(device, "/dev/disk/by-partuuid/") || strings.HasPrefix(device, "/dev/") && !strings.HasPrefix(device, "/dev/disk/")
	return device, dir, found && plain && dir != ""
}

func validFilesystem(t Target) error {
	if t.Path != "" {
		if err := validPath(t.Path); err != nil {
			return err
		}
	}
	if strings.Contains("/"+t.Path+"/", "/../") {
		return fmt.Errorf("path %q leads out of the filesystem", t.Path)
	}
	return validDevice(t.Device)
}

func openFilesystem(ctx context.Context, o *opening) (sink, error) {
	p, err := o.device(ctx)
	if err != nil {
		return nil, err
	}
	if o.target.Stack == nil {
		p.options, err = o.finder.btrfsOptions(ctx, p.Btrfs, o.cfg.deviceTimeout())
	}
	var s sink
	if err == nil {
		s, err = o.mount(p)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return s, nil
}

// mount mounts a filesystem and makes the dump's directory in it.
func (o *opening) mount(p *place) (sink, error) {
	options := joinOptions(p.options, o.target.MountOptions)
	types, err := fsTypes(o.target.FSType, p.Node, &p.Contents)
	if err != nil {
		return nil, err
	}
	point := o.mountPoint
	if err := mkdirAll(o.sys, "/", point, 0o755); err != nil {
		return nil, err
	}
	for _, fstype := range types {
		if err = o.sys.Mount(p.Node, point, fstype, options); err == nil || !errors.Is(err, syscall.ENODEV) {
			break
		}
	}
	if err != nil {
		return nil, explainMount(err, types[0], options)
	}
	unmount := func() error { return o.sys.Unmount(point) }
	dir := path.Join(point, o.target.Path)
	err = mkdirAll(o.sys, point, dir, 0o755)
	if err != nil {
		return nil, errors.Join(err, unmount())
	}
	s, err := newDirectory(p.files(o.sys), dir, point, o.when, o.cfg.reserve(), o.keepDumps())
	if err != nil {
		return nil, errors.Join(err, unmount())
	}
	s.after = func() error { return errors.Join(unmount(), p.close()) }
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
