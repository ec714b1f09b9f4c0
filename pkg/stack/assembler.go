package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// Errors of [Assembler.Assemble].
var (
	// ErrMissing means that a disk is not there, and that it can't be done without.
	ErrMissing = errors.New("is not there")
	// ErrChanged means that a device has the recorded name, but not what was recorded of it.
	ErrChanged = errors.New("is not what was recorded")
	// ErrNotOurs means that something has the name of what is to be made.
	ErrNotOurs = errors.New("exists already, and was not made by this gokexec")
)

// Assembler sets stacks up, one or several of them at a time. What two of them have in common is made once, and taken
// down with the last one. It holds no lock while the kernel works: a call that hangs stops only stacks that need the
// very device.
type Assembler struct {
	sys System
	say func(format string, args ...any)

	mu   sync.Mutex
	made []*made
}

// NewAssembler returns an Assembler for a system. say is told what is done without: a disk of a mirror, a path.
func NewAssembler(sys System, say func(format string, args ...any)) *Assembler {
	return &Assembler{sys: sys, say: say}
}

// Options are how to assemble.
type Options struct {
	// Timeout is how long to wait for disks that are not there.
	Timeout time.Duration
	// StartDirtyDegraded permits to start a RAID 4, 5 or 6 that lacks a member and was being written to: what was
	// written last may be wrong, in places that were not written at all (the write hole).
	StartDirtyDegraded bool
	// Touch is called while something is done or waited for; nil for nothing.
	Touch func()
}

// Assembled is a stack that is set up.
type Assembled struct {
	assembly *assembly
	node     string
	options  string

	closed sync.Once
	err    error
}

// assembly is one stack that is being set up, or is.
type assembly struct {
	*Assembler
	s *Stack
	o Options
	// layers are what has become of those of the stack.
	layers []layerState
	// made are the maps and arrays, in order.
	made []*made
	// rooms are what bounds how much can be written.
	rooms []bound
	slow  bool // nothing is rebuilt
	// groups are the volume groups of LVM, and what is known of them.
	groups []*tidings
}

// layerState is a layer on this machine.
type layerState struct {
	number Number
	// node is the path of its node; "" while there is none.
	node string
	// name is the kernel's.
	name string
	// missing says why it is not there and won't be; nil if it will.
	missing error
}

// Assemble sets a stack up: it waits for the disks, looks whether they are the ones that were recorded, and makes what
// lies on them. Nothing is made before every disk was decided on. On an error, which says which layer it is about, all
// that was made is taken down again. Some errors wrap [ErrFormat], [ErrMissing], [ErrChanged], [ErrNotOurs] or
// blkid.ErrAmbiguous.
//
// A context that ends stops the waiting; a system call that hangs is waited for, so the caller bounds the time and may
// leave it: as soon as the call returns, all is taken down.
func (a *Assembler) Assemble(ctx context.Context, s *Stack, o Options) (*Assembled, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if o.Touch == nil {
		o.Touch = func() {}
	}
	r := &assembly{Assembler: a, s: s, o: o, layers: make([]layerState, len(s.Layers))}
	if err := r.checkTables(); err != nil {
		return nil, err
	}
	for _, g := range s.volumeGroups() {
		r.groups = append(r.groups, &tidings{stackGroup: g})
	}
	if err := r.findDisks(ctx); err != nil {
		return nil, err
	}
	if err := r.weighMissing(); err != nil {
		return nil, err
	}
	x, err := r.assemble(ctx)
	if err != nil {
		return nil, errors.Join(err, r.takeDown())
	}
	return x, nil
}

func (r *assembly) assemble(ctx context.Context) (*Assembled, error) {
	for _, i := range r.s.order() {
		if r.s.Layers[i].Disk != nil || r.layers[i].missing != nil {
			continue
		}
		r.o.Touch()
		if err := r.makeLayer(ctx, i); err != nil {
			return nil, fmt.Errorf("%s: %w", r.describe(i), err)
		}
		// A call that hung may have returned long after the caller gave up.
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", r.describe(i), err)
		}
	}
	r.groups = nil // what they hold may be large
	x := &Assembled{assembly: r, node: r.layers[r.s.Tops[0].Layer].node}
	var options []string
	for _, top := range r.s.Tops[1:] {
		options = append(options, top.Option+"="+r.layers[top.Layer].node)
	}
	x.options = strings.Join(options, ",")
	// What can't be read now can't be relied on later.
	if _, _, err := x.Room(); err != nil {
		return nil, err
	}
	return x, nil
}

// makeLayer makes a layer of which all that it needs is there.
func (r *assembly) makeLayer(ctx context.Context, i int) (err error) {
	if err := r.checkGroups(i); err != nil {
		return err
	}
	switch l := &r.s.Layers[i]; {
	case l.Map != nil:
		err = r.makeMap(i)
	case l.Array != nil:
		err = r.makeArray(i)
	default:
		err = r.findPart(ctx, i)
	}
	if err != nil {
		return err
	}
	return r.checkHolds(i)
}

// settle completes what is known of a layer that was made, and checks its size.
func (r *assembly) settle(i int, number Number) error {
	l := &r.layers[i]
	l.number = number
	node, err := r.sys.Node(number)
	if err != nil {
		return fmt.Errorf("make a node for %v: %w", number, err)
	}
	l.node = node
	sectors, err := sysfs.ReadUint(r.sys.FS(), "sys/dev/block/"+number.String()+"/size", 10, 54)
	if err != nil {
		return fmt.Errorf("read its size: %w", err)
	}
	if size := int64(sectors) * sectorSize; size != r.s.Layers[i].Size {
		return fmt.Errorf("it has %d bytes; want %d: it %w", size, r.s.Layers[i].Size, ErrChanged)
	}
	return nil
}

// sectorSize is that of device mapper and sysfs, in bytes, whatever the disks have.
const sectorSize = 512

// Node is the path of the node of the device to mount.
func (x *Assembled) Node() string { return x.node }

// Options are mount options that name the other devices, such as logdev=/dev/dm-3,device=/dev/md127; "" for none.
func (x *Assembled) Options() string { return x.options }

// Close takes down what no other stack uses, the last made first. What can't be removed is left, and the error says
// so; the rest is removed all the same. What was mounted must be unmounted before.
func (x *Assembled) Close() error {
	x.closed.Do(func() { x.err = x.assembly.takeDown() })
	return x.err
}

// describe says which layer it is: what it was, and what it is now.
func (r *assembly) describe(i int) string {
	l := &r.s.Layers[i]
	what := ""
	switch {
	case l.Disk != nil:
		what = l.Disk.Ref
	case l.Part != nil:
		what = "partition " + strconv.Itoa(l.Part.Number) + " of " + r.s.Layers[l.Part.Of].Name
	case l.Map != nil:
		what = "map " + l.Map.Name
	case l.Array != nil:
		what = "array " + l.Array.UUID
	}
	if node := r.layers[i].node; node != "" {
		what += ", now " + node
	}
	if l.Name == "" {
		return fmt.Sprintf("layer %d (%s)", i, what)
	}
	return fmt.Sprintf("%s (%s)", l.Name, what)
}

// there reports whether a layer is, or will be, there.
func (r *assembly) there(i int) bool { return r.layers[i].missing == nil }

// tops reports whether a layer is one of the tops.
func (s *Stack) tops(i int) bool {
	return slices.ContainsFunc(s.Tops, func(t Top) bool { return t.Layer == i })
}
