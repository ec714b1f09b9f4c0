package capture

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/stack"
)

// TargetPlace says what of a machine a target lies on: what has to be found there when the capture
// kernel is prepared.
type TargetPlace int

// The places.
const (
	InDirectory  TargetPlace = iota + 1 // a directory of a mounted filesystem
	OnFilesystem                        // a filesystem on a block device
	OnDevice                            // a whole block device
	OverNetwork                         // another machine
)

// targetKind is a row of the table of target kinds. Each has a file of its own.
type targetKind struct {
	name   TargetType // in a configuration
	prefix string     // on a command line, without its colon
	usage  string     // what the command line takes
	place  TargetPlace
	// parse reads what is behind the prefix, and text prints it.
	parse func(rest string) (Target, error)
	text  func(Target) string
	// own is the fields of a target that the kind has, and fields names them.
	own    func(Target) Target
	fields string
	// validate checks their values.
	validate func(Target) error
	// lost says why PID 1 of an initramfs can't reach such a target; "" where it can.
	lost func(Target) string
	// open begins a dump.
	open func(context.Context, *opening) (sink, error)
	// remote is there if it is reached over the network.
	remote *remoteKind
}

// targetKinds is the table.
func targetKinds() []targetKind {
	return append([]targetKind{directoryKind(), filesystemKind(), rawKind()}, remoteKinds()...)
}

// kind looks the target's row up.
func (t Target) kind() (targetKind, error) {
	var names []string
	for _, k := range targetKinds() {
		if k.name == t.Type {
			return k, nil
		}
		names = append(names, string(k.name))
	}
	return targetKind{}, fmt.Errorf("type %q is not one of %s", t.Type, strings.Join(names, ", "))
}

// Place tells what t lies on; 0 if its type is not known.
func (t Target) Place() TargetPlace {
	k, err := t.kind()
	if err != nil {
		return 0
	}
	return k.place
}

// Own is t without the fields that its kind does not have.
func (t Target) Own() Target {
	k, err := t.kind()
	if err != nil {
		return t
	}
	return k.own(t)
}

// TargetUsage lists the forms that [ParseTarget] reads.
func TargetUsage() string {
	var forms []string
	for _, k := range targetKinds() {
		forms = append(forms, k.usage)
	}
	last := len(forms) - 1
	return strings.Join(forms[:last], ", ") + " or " + forms[last]
}

// opening is a target that is being opened, and what it is opened with.
type opening struct {
	sys    System
	cfg    Config
	target Target
	// mountPoint is for this target alone. It may have to be made.
	mountPoint string
	when       time.Time // of the crash
	touch      func()    // says that waiting is alive
	say        func(format string, args ...any)
	finder     *deviceFinder
	layers     func() *stack.Assembler
	links      func() (*network.Bringer, error)
	standing   *standing
	program    string // gokexec-remote; "" is RemoteProgramPath
}

// place is the block device of a target.
type place struct {
	*blkid.Device
	options string // mount options that name the other devices of its filesystem
	// room is how much can be written, if less may be than the device is large; nil if not.
	room func() (bytes int64, bounded bool, err error)
	// close takes down what was set up for the device.
	close func() error
}

// device waits for the target's block device, or for the disks that it is made of.
func (o *opening) device(ctx context.Context) (*place, error) {
	if o.target.Stack != nil {
		return o.stacked(ctx)
	}
	ref, err := blkid.ParseRef(o.target.Device)
	if err != nil {
		return nil, err
	}
	device, err := o.finder.wait(ctx, ref, o.cfg.deviceTimeout())
	if err != nil {
		return nil, err
	}
	if ref.Key != "" {
		o.say("%s is %s", ref, device.Node)
	}
	return &place{Device: device, close: func() error { return nil }}, nil
}

// least is how much of size bytes can be written.
func (p *place) least(size int64) (int64, error) {
	if p.room == nil {
		return size, nil
	}
	room, bounded, err := p.room()
	if err == nil && bounded {
		size = min(size, room)
	}
	return size, err
}

// files are those of a filesystem on the device.
func (p *place) files(sys System) Files {
	if p.room == nil {
		return sys
	}
	return roomyFiles{sys, p}
}

// validDevice checks the name of a block device.
func validDevice(name string) error {
	_, err := blkid.ParseRef(name)
	return err
}

// deviceText prints a block device in its one spelling.
func deviceText(name string) string {
	if ref, err := blkid.ParseRef(name); err == nil {
		return ref.String()
	}
	return name
}

// validPath checks the path of a directory.
func validPath(dir string) error {
	if !path.IsAbs(dir) {
		return fmt.Errorf("path %q is not absolute", dir)
	}
	return nil
}
