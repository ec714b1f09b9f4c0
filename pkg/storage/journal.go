package storage

import (
	"context"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// extJournal finds the external journal of an ext3 or ext4: the device that was named, or that with the UUID that the
// superblock has. The kernel is told its path: by itself it takes a device number from the superblock, which may be another
// device's in the capture kernel (fs/ext4/super.c, ext4_load_journal).
func (m *Machine) extJournal(ctx context.Context, r *Resolved, d device) error {
	const option = "journal_path"
	named, rest := deviceOption(r.Target.MountOptions, option)
	_, r.Target.MountOptions = deviceOption(rest, "journal_dev")
	ref := blkid.Ref{Value: named}
	if named == "" {
		ref = blkid.Ref{Key: "UUID", Value: d.Journal}
	}
	other, err := m.find(ctx, ref)
	if err != nil {
		return err
	}
	if s := other.Verdict().Signature; s.Type != "jbd" || !strings.EqualFold(s.UUID, d.Journal) {
		return refuse("name the right device", "%s is not the journal of %s: it holds a %s; want a jbd with the UUID %s", other.node(), d.node(), orNothing(other), d.Journal)
	}
	r.tops = append(r.tops, top{block: other.block, option: option})
	return nil
}
