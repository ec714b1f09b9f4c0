package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// weighMissing finds out what can't be made because of the disks that are missing, and refuses unless all of that can
// be done without: the paths of a multipath map, the members of an array, the legs of a dm-raid, as long as there is
// one. Whether the members or legs that are there are the good ones is decided by their superblocks, later.
func (r *assembly) weighMissing() error {
	users := make([][]int, len(r.layers))
	for i := range r.s.Layers {
		if r.s.Layers[i].Disk == nil {
			r.layers[i].missing = r.lacks(i)
		}
		for _, used := range r.s.Layers[i].Uses() {
			users[used] = append(users[used], i)
		}
	}
	// needed says that nothing above does without the layer: each snapshot of an origin is one that nothing is above.
	needed := make([]bool, len(r.layers))
	for i := len(r.layers) - 1; i >= 0; i-- {
		needed[i] = !r.there(i) && (r.s.tops(i) || len(users[i]) == 0 ||
			slices.ContainsFunc(users[i], func(user int) bool { return needed[user] }))
	}
	var failed []error
	for i := range r.layers {
		if r.s.Layers[i].Disk == nil || r.there(i) {
			continue
		}
		if needed[i] {
			failed = append(failed, r.layers[i].missing)
		} else {
			r.say("%s is not there; it is done without", r.describe(i))
		}
	}
	return errors.Join(failed...)
}

// lacks says why a layer can't be made.
func (r *assembly) lacks(i int) error {
	l := &r.s.Layers[i]
	lacking := func(n int) error { return fmt.Errorf("%s lacks %s", r.describe(i), r.describe(n)) }
	switch {
	case l.Part != nil && !r.there(l.Part.Of):
		return lacking(l.Part.Of)
	case l.Array != nil && !slices.ContainsFunc(l.Array.Members, r.there):
		return lacking(l.Array.Members[0])
	case l.Map != nil:
		for _, row := range l.Map.Table {
			if n, ok := r.rowLacks(row); ok {
				return lacking(n)
			}
		}
	}
	return nil
}

// rowLacks returns a layer that is missing and that a row can't be made without.
func (r *assembly) rowLacks(row Row) (int, bool) {
	used := (&Layer{Map: &Map{Table: []Row{row}}}).Uses()
	n := slices.IndexFunc(used, func(n int) bool { return !r.there(n) })
	if n < 0 {
		return 0, false
	}
	switch row.Type {
	case "multipath":
		return used[n], !slices.ContainsFunc(used, r.there)
	case "raid":
		legs, err := raidLegs(row)
		return used[n], err != nil || !slices.ContainsFunc(legs, r.whole)
	}
	return used[n], true
}

// whole reports whether both devices of a leg are there. One of a raid0 has no metadata.
func (r *assembly) whole(l legDevices) bool {
	return r.present(l.data) && (l.meta == "-" || r.present(l.meta))
}

// checkTables refuses tables that name devices by what the kernel that crashed called them, and such that a capture
// kernel is not given.
func (r *assembly) checkTables() error {
	for i := range r.s.Layers {
		m := r.s.Layers[i].Map
		if m == nil {
			continue
		}
		for n, row := range m.Table {
			for word := range strings.FieldsSeq(row.Args) {
				if IsNumber(word) || strings.HasPrefix(word, "/dev/") {
					return fmt.Errorf("%w: %s: table[%d] names the device %s of another kernel", ErrFormat, r.describe(i), n, word)
				}
			}
			if why, _ := Refused(row); why != "" {
				return fmt.Errorf("%w: %s: table[%d] (%s): %s", ErrFormat, r.describe(i), n, row.Type, why)
			}
		}
	}
	return nil
}
