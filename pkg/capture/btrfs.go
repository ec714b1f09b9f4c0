package capture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// btrfsOptions waits until every member of a btrfs is there, and returns what
// mount(2) is to be told of them: a kernel without udev knows of no member but
// the one that is mounted. A filesystem of one device needs nothing. When
// members are missing after the timeout, the error says how many; it is not
// mounted degraded, as what is written then lacks its copies for good.
func (f *deviceFinder) btrfsOptions(ctx context.Context, one *blkid.BtrfsMember, timeout time.Duration) (string, error) {
	if one == nil || one.Devices <= 1 {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	finder := f.finder()
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		all, err := finder.Btrfs(ctx)
		f.touch()
		var options []string
		ids := make(map[uint64]bool)
		for _, d := range all {
			// What a filesystem grew from (a seed) has another UUID.
			if d.Btrfs.FSID == one.FSID || d.Btrfs.Seed {
				options = append(options, "device="+d.Node)
			}
			if d.Btrfs.FSID == one.FSID {
				ids[d.Btrfs.ID] = true
			}
		}
		if uint64(len(ids)) >= one.Devices {
			return strings.Join(options, ","), nil
		}
		select {
		case <-ctx.Done():
			why := fmt.Errorf("btrfs %s: %w within %v: %d of its %d devices are there", one.FSID, ErrNoDevice, timeout, len(ids), one.Devices)
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				why = fmt.Errorf("btrfs %s: %w", one.FSID, ctx.Err())
			}
			return "", errors.Join(why, err)
		case <-time.After(pause):
		}
	}
}

// joinOptions puts mount options together.
func joinOptions(options ...string) string {
	var all []string
	for _, o := range options {
		if o != "" {
			all = append(all, o)
		}
	}
	return strings.Join(all, ",")
}
