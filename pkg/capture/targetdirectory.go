package capture

import (
	"context"
	"fmt"
	"syscall"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// TargetDirectory is a directory of a mounted filesystem.
const TargetDirectory TargetType = "directory"

func directoryKind() targetKind {
	return targetKind{
		name: TargetDirectory, prefix: "dir", usage: "dir:PATH", place: InDirectory,
		parse:    func(rest string) (Target, error) { return Target{Path: blkid.Unescape(rest)}, nil },
		text:     func(t Target) string { return blkid.Escape(t.Path) },
		own:      func(t Target) Target { return Target{Type: t.Type, Path: t.Path} },
		fields:   "a path",
		validate: func(t Target) error { return validPath(t.Path) },
		lost: func(t Target) string {
			return fmt.Sprintf("a directory (%s) is in memory in an initramfs; name its filesystem's device", t.Path)
		},
		open: openDirectory,
	}
}

func openDirectory(_ context.Context, o *opening) (sink, error) {
	dir := o.target.Path
	info, err := o.sys.Stat(dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: %w", dir, syscall.ENOTDIR)
	}
	s, err := newPinned(o.sys, dir, o.when, o.cfg.reserve(), o.keepDumps())
	if err != nil {
		return nil, err
	}
	return s, nil
}
