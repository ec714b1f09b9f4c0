package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// superblock reads the md superblock of a member.
func (r *assembly) superblock(node, metadata string) (superblock, error) {
	var sb superblock
	err := r.read(node, func(dev io.ReaderAt, size int64) (err error) {
		sb, err = readSuperblock(dev, size, metadata)
		return err
	})
	return sb, err
}

// makeArray starts an array of the members that may be in it, or uses the one that another stack has.
func (r *assembly) makeArray(i int) error {
	a := r.s.Layers[i].Array
	members, degraded, dirty, err := r.members(a)
	if err != nil {
		return err
	}
	risky := degraded && dirty && slices.Contains([]string{"raid4", "raid5", "raid6"}, a.Level)
	if risky && !r.o.StartDirtyDegraded {
		return fmt.Errorf("it lacks members and was being written to; a %s may then hold wrong data in places that were not written, and is started only if the configuration allows that", a.Level)
	}
	if degraded {
		r.say("%s is started with %d of its %d members, as before", r.describe(i), len(members), a.Disks)
	}
	e, ours, err := r.acquire("array "+a.UUID, digest(a.Metadata, members))
	switch {
	case err != nil:
		return err
	case ours:
		return r.createArray(e, i, members, risky)
	}
	r.made = append(r.made, e)
	r.layers[i].name = e.array
	return r.settle(i, e.number)
}

// members are the numbers of those members that are added.
func (r *assembly) members(a *Array) (numbers []Number, degraded, dirty bool, err error) {
	var blocks []superblock
	var there []int
	for _, m := range a.Members {
		if !r.there(m) {
			continue
		}
		sb, err := r.superblock(r.layers[m].node, a.Metadata)
		if err != nil {
			return nil, false, false, fmt.Errorf("superblock of %s: %w", r.describe(m), err)
		}
		if !strings.EqualFold(sb.set(), a.UUID) {
			return nil, false, false, fmt.Errorf("%s is a member of the array %s; want %s: it %w", r.describe(m), sb.set(), a.UUID, ErrChanged)
		}
		blocks, there = append(blocks, sb), append(there, m)
	}
	use, degraded, dirty, err := startable(a, blocks)
	if err != nil {
		return nil, false, false, err
	}
	for n, m := range there {
		if slices.Contains(use, n) {
			numbers = append(numbers, r.layers[m].number)
		}
	}
	if len(numbers) == 0 || len(numbers) != len(use) {
		return nil, false, false, fmt.Errorf("%d of %d members are to be used", len(use), len(blocks))
	}
	return numbers, degraded || len(numbers) < a.Disks, dirty, nil
}

// Parameters of md (drivers/md/md.c).
const mdParameters = "/sys/module/md_mod/parameters/"

// createArray starts an array by sysfs alone (Documentation/admin-guide/md.rst), such that no superblock is written
// before something is written to the array, and nothing is rebuilt.
func (r *assembly) createArray(e *made, i int, members []Number, risky bool) (err error) {
	a := r.s.Layers[i].Array
	// A part of something else is started read-only, until it is written to.
	if err = r.slowDown(); err == nil {
		err = r.sys.Write(mdParameters+"start_ro", "1")
	}
	if err != nil {
		r.forget(e)
		return fmt.Errorf("prepare md: %w", err)
	}
	if e.array, err = r.newArray(); err != nil {
		r.forget(e)
		return err
	}
	r.made = append(r.made, e)
	r.layers[i].name = e.array
	md := "/sys/block/" + e.array + "/md/"
	if e.number, err = r.readNumber("sys/block/" + e.array + "/dev"); err != nil {
		return err
	}
	if err := r.sys.Write(md+"metadata_version", a.Metadata); err != nil {
		return fmt.Errorf("metadata version %s: %w", a.Metadata, err)
	}
	for _, m := range members {
		if err := r.sys.Write(md+"new_dev", m.String()); err != nil {
			return fmt.Errorf("add the member %v: %w", m, err)
		}
	}
	if risky {
		if err := r.sys.Write(mdParameters+"start_dirty_degraded", "1"); err != nil {
			return fmt.Errorf("allow a start of a dirty array without all members: %w", err)
		}
		// The next array is decided on by itself.
		defer func() {
			err = errors.Join(err, r.sys.Write(mdParameters+"start_dirty_degraded", "0"))
		}()
	}
	for _, state := range []string{"readonly", "read-auto"} {
		if err := r.sys.Write(md+"array_state", state); err != nil {
			return fmt.Errorf("start it (%s): %w", state, err)
		}
	}
	// Before the first write, which would start the rebuilding. Some levels have nothing to rebuild from.
	if a.Level != "raid0" && a.Level != "linear" {
		if err := r.sys.Write(md+"sync_action", "frozen"); err != nil {
			return fmt.Errorf("keep it from rebuilding: %w", err)
		}
	}
	if err := r.settle(i, e.number); err != nil {
		return err
	}
	r.ready(e)
	return nil
}

// newArray makes an array without members and returns its name.
func (r *assembly) newArray() (string, error) {
	for n := 127; n >= 0; n-- {
		name := "md" + strconv.Itoa(n)
		if _, err := fs.Stat(r.sys.FS(), "sys/block/"+name); err == nil {
			continue
		}
		err := r.sys.Write(mdParameters+"new_array", name)
		switch {
		case err == nil:
			return name, nil
		case !errors.Is(err, unix.EEXIST):
			return "", fmt.Errorf("make %s: %w", name, err)
		}
	}
	return "", errors.New("no name of an array is free")
}

// partTime bounds how long a partition of an array may take to appear: the kernel reads the table when the array is
// opened.
const partTime = 10 * time.Second

// findPart waits for a partition of an array.
func (r *assembly) findPart(ctx context.Context, i int) error {
	p := r.s.Layers[i].Part
	array := r.layers[p.Of]
	r.layers[i].name = array.name + "p" + strconv.Itoa(p.Number)
	dir := "sys/class/block/" + array.name + "/" + r.layers[i].name
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		// Opening it makes the kernel look for partitions (block/bdev.c, GD_NEED_PART_SCAN).
		if err := r.read(array.node, func(io.ReaderAt, int64) error { return nil }); err != nil {
			return err
		}
		r.o.Touch()
		if n, err := sysfs.ReadUint(r.sys.FS(), dir+"/partition", 10, 31); err == nil && n == uint64(p.Number) {
			number, err := r.readNumber(dir + "/dev")
			if err != nil {
				return err
			}
			return r.settle(i, number)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it %w: %w", ErrMissing, ctx.Err())
		case <-time.After(pause):
		}
	}
}
