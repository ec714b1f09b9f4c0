package storage

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Elsewhere is Resolve for a target of another machine, of which only the names are known.
// A name that can't exist in a capture kernel is refused; what could not be checked is a
// warning.
func Elsewhere(_ context.Context, t capture.Target) (*Resolved, error) {
	if err := named(t); err != nil {
		return nil, fmt.Errorf("target %s: %w", t, err)
	}
	r := &Resolved{Target: t}
	if t.FSType != "" {
		r.FSType, r.Drivers = t.FSType, []string{t.FSType}
	}
	r.warn("target %s is on another machine: not checked whether it exists, what it holds and which drivers it needs", t)
	if ref, err := blkid.ParseRef(t.Device); err == nil && ref.Key == "" {
		r.warn("%s may be another disk in the capture kernel: name it by UUID=, PARTUUID=, WWID= or SERIAL=", ref)
	}
	return r, nil
}

func named(t capture.Target) error {
	const instead = "name the device: fs:UUID=...:PATH, or raw:PARTUUID=..."
	if t.Place() == capture.InDirectory {
		return refuse(instead, "%s is a directory; only its own machine knows the device", t.Path)
	}
	if t.Remote() {
		return refuse("build the initramfs on that machine, as gokexec arm does", "%s is reached over the network; only its own machine knows how", t)
	}
	ref, err := blkid.ParseRef(t.Device)
	if err != nil {
		return err
	}
	if err := CheckFSType(t.FSType); err != nil {
		return err
	}
	if ref.Key != "" {
		return nil
	}
	switch k, absent := absentName(ref.Value); {
	case absent:
		return k.refuse(ref.Value)
	case strings.HasPrefix(ref.Value, "/dev/disk/"):
		return refuse("name it by UUID=, PARTUUID=, or as sysfs does: WWID=, SERIAL=", "%s is a link made by udev, which does not run in the capture kernel", ref.Value)
	case !strings.HasPrefix(path.Dir(ref.Value)+"/", "/dev/"):
		return refuse(instead, "%s is no device", ref.Value)
	}
	return nil
}
