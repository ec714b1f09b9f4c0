package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// Waiting for disks.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
	// settleTime is how long to wait for another device of a name.
	settleTime = 250 * time.Millisecond
)

// wanted is a disk that is searched for, or several paths to one: all have the same name and hold the same.
type wanted struct {
	ref      blkid.Ref
	size     int64 // bytes
	holds    Content
	metadata string // of the array whose member it is, "" for none
	layers   []int

	fit    []*blkid.Device // those that are what was recorded
	unfit  []unfit         // others of that name
	failed error           // why the search may have missed one
}

// unfit is a device that has the name, and why it is not the one.
type unfit struct {
	node string
	err  error
}

// findDisks waits until all disks are there, or the timeout, and decides which device is which: a disk with the name
// and other content may be a copy, and the right one come later. A disk that is not there is noted as missing.
func (r *assembly) findDisks(ctx context.Context) error {
	all, err := r.wanted()
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, max(r.o.Timeout, 0))
	defer cancel()
	// The first look is made whatever the timeout is.
	looking, settled := ctx, false
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		complete := true
		for _, w := range all {
			// Those that are there are looked at again at the end.
			if settled || len(w.fit) < len(w.layers) {
				r.look(looking, w)
				r.o.Touch()
			}
			complete = complete && len(w.fit) >= len(w.layers)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for the disks: %w", err)
		}
		if complete && settled {
			return r.assign(all)
		}
		if complete {
			pause = settleTime
		}
		looking, settled = waiting, complete
		select {
		case <-waiting.Done():
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("wait for the disks: %w", err)
			}
			return r.assign(all)
		case <-time.After(pause):
		}
	}
}

// wanted groups the disks of the stack.
func (r *assembly) wanted() ([]*wanted, error) {
	var all []*wanted
	for i := range r.s.Layers {
		l := &r.s.Layers[i]
		if l.Disk == nil {
			continue
		}
		ref, err := blkid.ParseRef(l.Disk.Ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.describe(i), err)
		}
		same := func(w *wanted) bool { return w.ref == ref && w.size == l.Size && w.holds == l.Disk.Holds }
		if n := slices.IndexFunc(all, same); n >= 0 {
			all[n].layers = append(all[n].layers, i)
		} else {
			all = append(all, &wanted{ref: ref, size: l.Size, holds: l.Disk.Holds, metadata: r.metadataAbove(i), layers: []int{i}})
		}
	}
	for _, w := range all {
		if len(w.layers) > 1 && !r.paths(w.layers) {
			return nil, fmt.Errorf("%w: %s and %s have the same name and are no paths of one multipath map", ErrFormat, r.describe(w.layers[0]), r.describe(w.layers[1]))
		}
	}
	return all, nil
}

// metadataAbove is the metadata version of the array that a layer is a part of, directly or through a map.
func (r *assembly) metadataAbove(i int) string {
	within := make([]bool, len(r.s.Layers))
	within[i] = true
	for n := i + 1; n < len(r.s.Layers); n++ {
		l := &r.s.Layers[n]
		within[n] = slices.ContainsFunc(l.Uses(), func(used int) bool { return within[used] })
		if within[n] && l.Array != nil {
			return l.Array.Metadata
		}
	}
	return ""
}

// paths reports whether one multipath map uses all of these layers.
func (r *assembly) paths(layers []int) bool {
	return slices.ContainsFunc(r.s.Layers, func(l Layer) bool {
		return l.Map != nil && l.Map.Table[0].Type == "multipath" && !slices.ContainsFunc(layers, func(i int) bool {
			return !slices.Contains(l.Uses(), i)
		})
	})
}

// look searches once. What a search finds that the end of the waiting has cut short does not count.
func (r *assembly) look(ctx context.Context, w *wanted) {
	devices, err := r.sys.Find(ctx, w.ref)
	if ctx.Err() != nil {
		return
	}
	w.fit, w.unfit, w.failed = nil, nil, err
	for _, d := range devices {
		if err := r.fits(w, d); err != nil {
			w.unfit = append(w.unfit, unfit{d.Node, fmt.Errorf("%s, now %s: %w", r.describe(w.layers[0]), d.Node, err)})
		} else {
			w.fit = append(w.fit, d)
		}
	}
}

// fits says why a device that has the name is not the one that was recorded.
func (r *assembly) fits(w *wanted, d *blkid.Device) error {
	if d.Size != w.size {
		return fmt.Errorf("it has %d bytes; want %d: it %w", d.Size, w.size, ErrChanged)
	}
	found := d.Verdict().Signature
	holds := Content{Type: found.Type, UUID: found.UUID}
	if holds.Type != w.holds.Type || !strings.EqualFold(holds.UUID, w.holds.UUID) {
		return fmt.Errorf("it holds %s; want %s: it %w", holds, w.holds, ErrChanged)
	}
	if w.holds.Member == "" {
		return nil
	}
	var err error
	if holds.Member, err = r.memberOf(d, w); err != nil {
		return fmt.Errorf("which member it is: %w", err)
	}
	if !strings.EqualFold(holds.Member, w.holds.Member) {
		return fmt.Errorf("it holds %s; want %s: it %w", holds, w.holds, ErrChanged)
	}
	return nil
}

// memberOf reads what tells a member from the others.
func (r *assembly) memberOf(d *blkid.Device, w *wanted) (string, error) {
	switch {
	case d.Btrfs != nil && w.holds.Type == "btrfs":
		return strconv.FormatUint(d.Btrfs.ID, 10), nil
	case w.metadata != "" && w.holds.Type == "linux_raid_member":
		sb, err := r.superblock(d.Node, w.metadata)
		if err != nil {
			return "", err
		}
		return sb.device(), nil
	}
	return "", fmt.Errorf("%w: nothing tells members of %s apart", ErrFormat, w.holds)
}

// String is for messages.
func (c Content) String() string {
	if c.Type == "" {
		return "nothing that is known"
	}
	text := c.Type
	if c.UUID != "" {
		text += " " + c.UUID
	}
	if c.Member != "" {
		text += " member " + c.Member
	}
	return text
}

// stray are the errors of devices that have the name, and are not those of another layer either.
func (w *wanted) stray(all []*wanted) []error {
	var errs []error
	for _, u := range w.unfit {
		is := func(d *blkid.Device) bool { return d.Node == u.node }
		if !slices.ContainsFunc(all, func(o *wanted) bool { return o.ref == w.ref && slices.ContainsFunc(o.fit, is) }) {
			errs = append(errs, u.err)
		}
	}
	return errs
}

// assign decides which device each disk is.
func (r *assembly) assign(all []*wanted) error {
	var failed []error
	used := make(map[string]bool)
	for _, w := range all {
		free := slices.DeleteFunc(slices.Clone(w.fit), func(d *blkid.Device) bool { return used[d.Node] })
		want := len(w.layers)
		switch {
		case len(free) > want && slices.ContainsFunc(free, func(d *blkid.Device) bool { return !d.Same(free[0]) }):
			failed = append(failed, fmt.Errorf("%s is on %s: %w", r.describe(w.layers[0]), nodes(free), blkid.ErrAmbiguous))
		case len(free) < want:
			failed = append(failed, w.stray(all)...)
		}
		for n, i := range w.layers {
			l := &r.layers[i]
			if n >= len(free) {
				l.missing = fmt.Errorf("%s %w", r.describe(i), ErrMissing)
				if w.failed != nil {
					l.missing = fmt.Errorf("%w: %w", l.missing, w.failed)
				}
				continue
			}
			used[free[n].Node] = true
			l.node = free[n].Node
			l.name = strings.ReplaceAll(strings.TrimPrefix(l.node, "/dev/"), "/", "!")
			var err error
			if l.number, err = r.readNumber("sys/class/block/" + l.name + "/dev"); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", r.describe(i), err))
			}
		}
	}
	return errors.Join(failed...)
}

func nodes(devices []*blkid.Device) string {
	var names []string
	for _, d := range devices {
		names = append(names, d.Node)
	}
	return strings.Join(names, " and ")
}

// readNumber reads a device number from sysfs.
func (r *assembly) readNumber(name string) (Number, error) {
	text, err := sysfs.ReadString(r.sys.FS(), name)
	if err != nil {
		return Number{}, err
	}
	n, err := parseNumber(text)
	if err != nil {
		return Number{}, fmt.Errorf("/%s: %w", name, err)
	}
	return n, nil
}

// parseNumber reads MAJOR:MINOR.
func parseNumber(text string) (Number, error) {
	major, minor, found := strings.Cut(text, ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if !found || err1 != nil || err2 != nil {
		return Number{}, fmt.Errorf("%.40q is no device number", text)
	}
	return Number{uint32(a), uint32(b)}, nil
}
