package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/stack"
)

// reader opens device mapper if it is not open.
func (w *walk) reader() (Maps, error) {
	if w.maps == nil {
		maps, err := w.opt.Maps()
		if err != nil {
			return nil, fmt.Errorf("device mapper: %w", err)
		}
		w.maps = maps
	}
	return w.maps, nil
}

// table is the table in use of a map. It may hold the key of an encrypted volume: it is printed nowhere.
func (w *walk) table(name string) ([]stack.Row, error) {
	if rows, ok := w.tables[name]; ok {
		return rows, nil
	}
	maps, err := w.reader()
	if err != nil {
		return nil, err
	}
	rows, err := maps.Table(name)
	if err != nil {
		return nil, fmt.Errorf("the table of the map %s: %w", name, err)
	}
	w.tables[name] = rows
	return rows, nil
}

func (w *walk) status(name string) ([]stack.Row, error) {
	maps, err := w.reader()
	if err != nil {
		return nil, err
	}
	rows, err := maps.Status(name)
	if err != nil {
		return nil, fmt.Errorf("the state of the map %s: %w", name, err)
	}
	return rows, nil
}

// mapped describes a device of device mapper by its table.
func (w *walk) mapped(n *node) error {
	name, uuid := w.attribute(n.dir+"/dm/name"), w.attribute(n.dir+"/dm/uuid")
	rows, err := w.table(name)
	if err != nil {
		return err
	}
	m := &stack.Map{Name: name, UUID: uuid, ReadOnly: w.attribute(n.dir+"/ro") == "1"}
	n.layer.Map, n.kind = m, kindOf(rows)
	if len(rows) == 0 {
		n.refuse(takeDisk, "%s (%s) has no table", n.node(), name)
		return nil
	}
	var state []stack.Row
	if slices.ContainsFunc(rows, hasState) {
		if state, err = w.status(name); err != nil {
			return err
		}
	}
	for i, row := range rows {
		cloned := w.row(n, row)
		if hasState(row) && i < len(state) {
			cloned = w.state(n, cloned, strings.Fields(state[i].Args))
		}
		if cloned.Args, err = w.references(n, cloned); err != nil {
			return err
		}
		m.Table = append(m.Table, cloned)
	}
	return nil
}

// kindOf names a map by its targets.
func kindOf(rows []stack.Row) string {
	var kinds []string
	for _, r := range rows {
		kind := r.Type
		if kind == "raid" {
			kind = "dm-" + firstWord(r.Args)
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return "map"
	}
	return strings.Join(kinds, "+")
}

// row is a row as a capture kernel is to be given it.
func (w *walk) row(n *node, row stack.Row) stack.Row {
	if row.Type == "crypt" {
		return w.crypt(n, row)
	}
	if why, instead := stack.Refused(row); why != "" {
		n.refuse(instead, "%s (%s) can't be there in the capture kernel: %s", n.layer.Map.Name, n.node(), why)
		return row // for what it is made of
	}
	return stack.Clone(row)
}

// withoutArgs is a row without what may be secret in it: all but the devices.
func withoutArgs(row stack.Row) stack.Row {
	var devices []string
	for word := range strings.FieldsSeq(row.Args) {
		if stack.IsNumber(word) {
			devices = append(devices, word)
		}
	}
	row.Args = strings.Join(devices, " ")
	return row
}

// references replaces the device numbers of a row by references to their nodes, and walks down to these.
func (w *walk) references(n *node, row stack.Row) (string, error) {
	if n.refusal != nil {
		row = withoutArgs(row)
	}
	words := strings.Split(row.Args, " ")
	var failed []int // words
	var failure error
	last := -1 // node of the last device
	for i, word := range words {
		if !stack.IsNumber(word) {
			continue
		}
		at, err := w.device(n, word)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			n.refuse(refusal.Instead, "%s", refusal.What)
			words[i] = "-"
		case err != nil && row.Type == "multipath":
			failed, failure = append(failed, i), err
		case err != nil:
			return "", err
		default:
			words[i], last = "@"+strconv.Itoa(at), at
			n.uses = append(n.uses, at)
		}
	}
	if len(failed) > 0 && (last < 0 || w.nodes[last].layer.Disk == nil) {
		return "", failure
	}
	for _, i := range failed {
		at, err := w.unread(words[i], last)
		if err != nil {
			return "", err
		}
		words[i], n.uses = "@"+strconv.Itoa(at), append(n.uses, at)
	}
	return strings.Join(words, " "), nil
}

// device walks down to a device that a map is made of.
func (w *walk) device(n *node, number string) (int, error) {
	b, err := w.blockByNumber(number)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, refuse("bring the disk back, or take another target", "%s (%s) is made of the device %s, which is not there", n.layer.Map.Name, n.node(), number)
	}
	if err != nil {
		return 0, err
	}
	return w.down(b)
}

// unread describes a path to a disk that does not answer now by another one, to the same disk.
func (w *walk) unread(number string, other int) (int, error) {
	b, err := w.blockByNumber(number)
	if err != nil {
		return 0, err
	}
	n := w.nodes[other]
	disk := *n.layer.Disk
	n.block, n.layer.Name, n.layer.Disk = b, b.name, &disk
	n.warnings = []string{b.node() + " does not answer now"}
	if size := w.size(b); size != 0 && size != n.layer.Size {
		n.refuse("repair the path", "%s has %d bytes, and another path to its disk %d", b.node(), size, n.layer.Size)
	}
	w.nodes, w.index[b.dir] = append(w.nodes, n), len(w.nodes)
	return len(w.nodes) - 1, nil
}

// modulesOf are the modules that rows of a type need, apart from dm-mod (drivers/md/Makefile).
func modulesOf(row stack.Row) []string {
	switch row.Type {
	case "linear", "striped", "error", "zero": // drivers/md/dm-builtin.c, dm-target.c: a part of dm-mod
		return nil
	case "raid":
		return []string{"dm-raid"}
	case "mirror":
		return []string{"dm-mirror"}
	case "snapshot", "snapshot-origin":
		return []string{"dm-snapshot"}
	case "thin", "thin-pool":
		return []string{"dm-thin-pool"}
	case "crypt":
		return []string{"dm-crypt"}
	case "integrity":
		return []string{"dm-integrity"}
	case "multipath":
		modules := []string{"dm-multipath"}
		for word := range strings.FieldsSeq(row.Args) {
			switch word {
			case "service-time", "queue-length", "round-robin", "historical-service-time", "io-affinity":
				if module := "dm-" + word; !slices.Contains(modules, module) {
					modules = append(modules, module)
				}
			}
		}
		return modules
	}
	return []string{"dm-" + row.Type}
}
