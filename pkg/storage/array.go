package storage

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/stack"
)

const takeArray = "choose a target that is not on it"

// array describes an md array, by the kernel's files (drivers/md/md.c, md_default_attrs, rdev_default_attrs).
func (w *walk) array(n *node) error {
	md := n.dir + "/md/"
	a := &stack.Array{Metadata: w.attribute(md + "metadata_version"), Level: w.attribute(md + "level")}
	n.layer.Array, n.kind = a, "md "+a.Level
	// "4 (3)" during a reshape
	disks, err := strconv.Atoi(firstWord(w.attribute(md + "raid_disks")))
	if a.Disks = disks; err != nil {
		n.refuse(takeArray, "the array %s is not running", n.node())
		return nil
	}
	w.arrayState(n, md)
	entries, err := fs.ReadDir(w.sys.FS(), n.dir+"/md")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "dev-") {
			continue
		}
		state := strings.Split(w.attribute(md+e.Name()+"/state"), ",")
		if slices.Contains(state, "faulty") {
			n.warn("the array %s has thrown out %s: a dump is saved on the others", n.node(), nodeOf(strings.TrimPrefix(e.Name(), "dev-")))
			continue
		}
		if slices.Contains(state, "journal") {
			n.refuse(takeArray, "the array %s has a journal on %s, which gokexec has not been proven with", n.node(), nodeOf(strings.TrimPrefix(e.Name(), "dev-")))
		}
		b, err := w.blockAt(md + e.Name() + "/block")
		if err != nil {
			return err
		}
		at, err := w.down(b)
		if err != nil {
			return err
		}
		n.uses, a.Members = append(n.uses, at), append(a.Members, at)
		if n.refusal == nil {
			if err := w.arrayMember(n, at); err != nil {
				return err
			}
		}
	}
	if len(a.Members) == 0 {
		n.refuse(takeArray, "the array %s has no members", n.node())
	}
	return nil
}

// arrayState refuses arrays that can't be made by a capture kernel alone.
func (w *walk) arrayState(n *node, md string) {
	a := n.layer.Array
	if why, instead := stack.RefusedArray(a.Metadata, a.Level, w.attribute(md+"consistency_policy")); why != "" {
		n.refuse(instead, "the array %s can't be there in the capture kernel: %s", n.node(), why)
	}
	switch state := w.attribute(md + "array_state"); state {
	case "clear", "inactive", "broken":
		n.refuse(takeArray, "the array %s does not run: it is %s", n.node(), state)
	}
	if at := w.attribute(md + "reshape_position"); at != "" && at != "none" || w.attribute(md+"sync_action") == "reshape" {
		n.refuse("wait until it has ended: cat /proc/mdstat", "the array %s is being reshaped", n.node())
	}
	if strings.Contains(w.attribute(md+"bitmap_type"), "[llbitmap]") {
		n.refuse(takeArray, "the array %s has a lockless bitmap (llbitmap), which gokexec has not been proven with", n.node())
	}
	if missing, _ := strconv.Atoi(w.attribute(md + "degraded")); missing > 0 {
		n.warn("the array %s lacks %d of its %d disks", n.node(), missing, a.Disks)
		if a.Level == "raid4" || a.Level == "raid5" || a.Level == "raid6" && missing > 1 {
			n.warn("the kernel does not start %s if it was written to at the crash (degraded and dirty): replace the disk", n.node())
		}
	}
}

// arrayMember takes what a member's superblock says.
func (w *walk) arrayMember(n *node, at int) error {
	member, a := &w.nodes[at], n.layer.Array
	d, err := w.finder.Device(w.ctx, member.node())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(d.Signatures, func(s blkid.Signature) bool { return s.Type == "linux_raid_member" })
	if i < 0 {
		n.refuse(takeArray, "%s is a member of the array %s, and has no superblock of one", member.node(), n.node())
		return nil
	}
	uuid := d.Signatures[i].UUID
	if a.UUID == "" {
		a.UUID = uuid
	}
	if uuid == "" || uuid != a.UUID {
		n.refuse(takeArray, "the members of the array %s bear different UUIDs: %q and %q", n.node(), a.UUID, uuid)
		return nil
	}
	disk := member.layer.Disk
	if disk == nil {
		return nil
	}
	id, err := stack.MemberID(func() (stack.Device, error) { return w.openNode(member.node()) }, a.Metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", member.node(), err)
	}
	disk.Holds = stack.Content{Type: "linux_raid_member", UUID: uuid, Member: id}
	return nil
}
