package stack

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// makeMap makes a map, or uses the one that another stack has.
func (r *assembly) makeMap(i int) error {
	m := r.s.Layers[i].Map
	table, err := r.table(m)
	if err != nil {
		return err
	}
	key := "map " + m.UUID
	if m.UUID == "" {
		key = "map named " + m.Name
	}
	e, ours, err := r.acquire(key, digest(m.Name, m.ReadOnly, table))
	if err != nil {
		return err
	}
	if ours {
		if err := r.createMap(e, i, table); err != nil {
			return err
		}
	} else {
		r.made = append(r.made, e)
		if err := r.settle(i, e.number); err != nil {
			return err
		}
	}
	return r.watch(m, table)
}

// createMap makes a map: without a table, with one, in use.
func (r *assembly) createMap(e *made, i int, table []Row) error {
	m := r.s.Layers[i].Map
	if slices.ContainsFunc(table, func(row Row) bool { return row.Type == "raid" }) {
		if err := r.slowDown(); err != nil {
			r.forget(e)
			return err
		}
	}
	number, err := r.sys.Create(m.Name, m.UUID)
	if err != nil {
		r.forget(e)
		if errors.Is(err, unix.EBUSY) {
			err = fmt.Errorf("it %w: %w", ErrNotOurs, err)
		}
		return fmt.Errorf("make it: %w", err)
	}
	e.number, e.mapped = number, m.Name
	r.made = append(r.made, e)
	if err := r.sys.Load(m.Name, m.ReadOnly, table); err != nil {
		return fmt.Errorf("load its table: %w", err)
	}
	if err := r.sys.Resume(m.Name, m.ReadOnly); err != nil {
		return fmt.Errorf("use its table: %w", err)
	}
	if err := r.settle(i, number); err != nil {
		return err
	}
	r.ready(e)
	return nil
}

// judgeLegs decides by the metadata of a dm-raid whether it may start without the legs that are missing.
func (r *assembly) judgeLegs(row Row) error {
	devices, err := raidLegs(row)
	if err != nil || !slices.ContainsFunc(devices, func(l legDevices) bool { return !r.whole(l) }) {
		return err
	}
	legs := make([]*leg, len(devices))
	missing := 0
	for n, l := range devices {
		switch {
		case !r.whole(l):
			missing++
			continue
		case l.meta == "-":
			return fmt.Errorf("legs are missing, and leg %d has no metadata to judge by", n)
		}
		meta, _ := Referenced(l.meta)
		var found leg
		err := r.read(r.layers[meta].node, func(dev io.ReaderAt, size int64) (err error) {
			found, err = readLeg(dev)
			return err
		})
		if err != nil {
			return fmt.Errorf("read the metadata of leg %d on %s: %w", n, r.describe(meta), err)
		}
		legs[n] = &found
	}
	if err := legsAllowed(legs); err != nil {
		return fmt.Errorf("%d of its %d legs are missing: %w", missing, len(legs), err)
	}
	r.say("a dm-raid is made of %d of its %d legs, as before", len(legs)-missing, len(legs))
	return nil
}

// read opens a device for use.
func (r *assembly) read(node string, use func(dev io.ReaderAt, size int64) error) error {
	return readDevice(func() (Device, error) { return r.sys.Open(node) }, use)
}

// readDevice opens a device for use.
func readDevice(open func() (Device, error), use func(dev io.ReaderAt, size int64) error) error {
	dev, err := open()
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	defer dev.Close()
	size, err := dev.Size()
	if err != nil {
		return fmt.Errorf("its size: %w", err)
	}
	return use(dev, size)
}

// slowDown lets the kernel rebuild next to nothing of arrays and dm-raids: that is for the next boot
// (Documentation/admin-guide/md.rst: 0 would mean the default).
func (r *assembly) slowDown() error {
	if r.slow {
		return nil
	}
	for _, name := range []string{"min", "max"} {
		if err := r.sys.Write("/proc/sys/dev/raid/speed_limit_"+name, "1"); err != nil {
			return fmt.Errorf("keep the kernel from rebuilding: %w", err)
		}
	}
	r.slow = true
	return nil
}
