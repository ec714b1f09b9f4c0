package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
	"github.com/gokexec/gokexec/pkg/stack"
)

// Bounds of a walk. The kernel nests no deeper: its stack would overflow.
const (
	maxNodes = 4096
	maxDepth = 64
)

// node is a block device that a walk has met.
type node struct {
	block
	layer stack.Layer
	// kind is for people: disk, partition, linear, raid1, ...
	kind string
	// uses are the indices of the nodes that it is made of, apart from those that the layer does not name.
	uses []int
	// refusal is why it can't be there in a capture kernel, if it can't.
	refusal *Refusal
	// warnings say what may go wrong with it, one line each.
	warnings []string
	// key is the one that it needs, if it is encrypted.
	key *Key
	// room is how many bytes can be written to it before it is full; 0 if only its size limits that.
	room int64
}

func (n *node) refuse(instead, format string, args ...any) {
	if n.refusal == nil {
		n.refusal = &Refusal{What: fmt.Sprintf(format, args...), Instead: instead}
	}
}

func (n *node) warn(format string, args ...any) {
	n.warnings = append(n.warnings, fmt.Sprintf(format, args...))
}

// walk goes down from block devices to the disks. Its nodes are in the order in which the devices have to be made.
type walk struct {
	*Machine
	ctx   context.Context
	maps  Maps // nil until a map is met
	nodes []node
	// index finds a node by its directory in sysfs; open are the directories of those that are being looked at.
	index map[string]int
	open  map[string]bool
	// tables are those that were read, by the names of the maps.
	tables map[string][]stack.Row
	// snapshots are nodes that are needed by what they are snapshots of.
	snapshots []int
	// tops are the nodes that the walk began with, and the mount options that name them.
	tops []stack.Top
}

func (m *Machine) walk(ctx context.Context) *walk {
	return &walk{Machine: m, ctx: ctx, index: map[string]int{}, open: map[string]bool{}, tables: map[string][]stack.Row{}}
}

// close gives up what reads the maps.
func (w *walk) close() {
	if c, ok := w.maps.(io.Closer); ok {
		c.Close()
	}
}

// errLoop means that a device is made of itself, which the kernel does not let happen.
var errLoop = errors.New("it is made of itself")

// down adds a device and all that it is made of, and returns its index. What can't be in a capture kernel is noted in
// its node; the error is for what could not be found out.
func (w *walk) down(b block) (int, error) {
	if n, ok := w.index[b.dir]; ok {
		return n, nil
	}
	switch {
	case w.open[b.dir]:
		return 0, fmt.Errorf("%s: %w", b.node(), errLoop)
	case len(w.open) == maxDepth || len(w.nodes) >= maxNodes:
		return 0, refuse(takeDisk, "%s lies on too many devices", b.node())
	}
	w.open[b.dir] = true
	defer delete(w.open, b.dir)
	n := node{block: b, layer: stack.Layer{Name: b.name, Size: w.size(b)}}
	var err error
	switch {
	case w.isMap(b):
		err = w.mapped(&n)
	case w.isArray(b) && b.partition():
		err = w.part(&n)
	case w.isArray(b):
		err = w.array(&n)
	default:
		err = w.disk(&n)
	}
	if err != nil {
		return 0, err
	}
	if n.layer.Size == 0 {
		n.refuse(takeDisk, "%s has no size: it is not in use", b.node())
	}
	at := len(w.nodes)
	w.nodes, w.index[b.dir] = append(w.nodes, n), at
	return at, w.snapshotsOf(b)
}

// size is that of a device, in bytes: sysfs counts sectors of 512 whatever the device's own are.
func (w *walk) size(b block) int64 {
	sectors, _ := strconv.ParseInt(w.attribute(b.dir+"/size"), 10, 64)
	if sectors < 0 || sectors > 1<<53 {
		return 0
	}
	return sectors * 512
}

// isMap and isArray tell what sysfs shows a device to be.
func (m *Machine) isMap(b block) bool   { return m.there(b.dir + "/dm") }
func (m *Machine) isArray(b block) bool { return m.there(b.diskDir() + "/md") }

// stacked reports whether a device is made of others in a way that can be recorded.
func (m *Machine) stacked(b block) bool { return m.isMap(b) || m.isArray(b) }

// part describes a partition of an array.
func (w *walk) part(n *node) error {
	disk, err := w.block(n.disk)
	if err != nil {
		return err
	}
	of, err := w.down(disk)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(w.attribute(n.dir + "/partition"))
	if err != nil {
		return fmt.Errorf("/%s/partition: %w", n.dir, err)
	}
	n.kind, n.uses, n.layer.Part = "partition", []int{of}, &stack.Part{Of: of, Number: number}
	return nil
}

// holders are the maps that use a device.
func (w *walk) holders(b block) []block {
	entries, _ := fs.ReadDir(w.sys.FS(), b.dir+"/holders")
	var maps []block
	for _, e := range entries {
		if h, err := w.block(e.Name()); err == nil && w.isMap(h) {
			maps = append(maps, h)
		}
	}
	return maps
}

// snapshotsOf adds the snapshots of a device: what is written to it without them would be lost to them, and their
// contents would be wrong.
func (w *walk) snapshotsOf(b block) error {
	for _, h := range w.holders(b) {
		if w.open[h.dir] {
			continue // the walk has come from there
		}
		is, err := w.snapshotOf(h, b)
		if err != nil {
			return err
		}
		if !is {
			continue
		}
		n, err := w.down(h)
		if err != nil {
			return err
		}
		if !slices.Contains(w.snapshots, n) {
			w.snapshots = append(w.snapshots, n)
		}
	}
	return nil
}

// snapshotOf reports whether a holder of a device is a snapshot of it, which is not lost already.
func (w *walk) snapshotOf(h, b block) (bool, error) {
	name, number := w.attribute(h.dir+"/dm/name"), w.attribute(b.dir+"/dev")
	rows, err := w.table(name)
	if err != nil {
		return false, err
	}
	of := func(r stack.Row) bool {
		return strings.HasPrefix(r.Type, "snapshot") && r.Type != "snapshot-origin" && firstWord(r.Args) == number
	}
	if !slices.ContainsFunc(rows, of) {
		return false, nil
	}
	state, err := w.status(name)
	return err == nil && (len(state) != 1 || firstWord(state[0].Args) != "Invalid"), err
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}

// needed are the tops, the nodes that they are made of, and the snapshots of all of those.
func (w *walk) needed() []bool {
	needed := make([]bool, len(w.nodes))
	var add func(n int)
	add = func(n int) {
		if needed[n] {
			return
		}
		needed[n] = true
		for _, used := range w.nodes[n].uses {
			add(used)
		}
	}
	for _, t := range w.tops {
		add(t.Layer)
	}
	for _, n := range w.snapshots {
		add(n)
	}
	return needed
}

// record makes the description of what was walked.
func (w *walk) record() (*stack.Stack, error) {
	s := &stack.Stack{Version: stack.Version}
	moved := make([]int, len(w.nodes))
	for n, needed := range w.needed() {
		if !needed {
			continue
		}
		if r := w.nodes[n].refusal; r != nil {
			return nil, r
		}
		moved[n] = len(s.Layers)
		s.Layers = append(s.Layers, renumber(w.nodes[n].layer, moved))
	}
	for _, t := range w.tops {
		s.Tops = append(s.Tops, stack.Top{Layer: moved[t.Layer], Option: t.Option})
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// renumber is a layer whose references are to where the layers have moved.
func renumber(l stack.Layer, moved []int) stack.Layer {
	switch {
	case l.Part != nil:
		p := *l.Part
		p.Of = moved[p.Of]
		l.Part = &p
	case l.Array != nil:
		a := *l.Array
		a.Members = slices.Clone(a.Members)
		for i, n := range a.Members {
			a.Members[i] = moved[n]
		}
		l.Array = &a
	case l.Map != nil:
		m := *l.Map
		m.Table = slices.Clone(m.Table)
		for i, row := range m.Table {
			m.Table[i].Args = renumberWords(row.Args, moved)
		}
		l.Map = &m
	}
	return l
}

func renumberWords(args string, moved []int) string {
	words := strings.Split(args, " ")
	for i, word := range words {
		if n, ok := stack.Referenced(word); ok && n < len(moved) {
			words[i] = "@" + strconv.Itoa(moved[n])
		}
	}
	return strings.Join(words, " ")
}

// blockAt is the block device that a path below sys leads to.
func (m *Machine) blockAt(dir string) (block, error) {
	real, err := rootfs.Resolve(m.sys.FS(), dir)
	if err != nil {
		return block{}, fmt.Errorf("/%s: %w", dir, err)
	}
	return m.block(path.Base(real))
}
