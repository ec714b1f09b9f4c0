package storage

import (
	"context"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// xfsDevices finds the devices of an xfs whose log or realtime part is on others: those that were named, or those that
// it is mounted with (fs/xfs/xfs_super.c, xfs_fs_show_options). Its superblock does not name them.
func (m *Machine) xfsDevices(ctx context.Context, r *Resolved, d device) error {
	mounted := ""
	if mounts, err := m.mounts(); err == nil {
		for _, c := range mounts {
			if b, err := m.blockOf(c); err == nil && b.name == d.name {
				mounted = c.Super
			}
		}
	}
	for _, option := range []string{"logdev", "rtdev"} {
		named, rest := deviceOption(r.Target.MountOptions, option)
		r.Target.MountOptions = rest
		if named == "" {
			named, _ = deviceOption(mounted, option)
		}
		if named == "" {
			continue
		}
		b, err := m.blockByNode(named)
		if err != nil {
			return refuse("mount it by the name of the device that is there", "the %s of the xfs on %s, %s, is not known: %v", option, d.node(), named, err)
		}
		other, err := m.look(ctx, b)
		if err != nil {
			return err
		}
		if v := other.Verdict(); v.Kind == blkid.Filesystem {
			return refuse("name the right device", "%s can't be the %s of the xfs on %s: it holds a %s", b.node(), option, d.node(), v.Signature)
		}
		r.tops = append(r.tops, top{block: b, option: option})
	}
	if len(r.tops) == 1 {
		return refuse("mount it, so that the device can be seen, or name it: --mount-options logdev=/dev/NAME", "the xfs of %s has %s, and it is not known where", d.node(), d.Needs)
	}
	return nil
}
