package capture

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/stack"
)

// TargetType says what a target is: a row of the table of kinds.
type TargetType string

// Target is one place to save to.
type Target struct {
	Type TargetType `json:"type"`
	// Device is the block device of a filesystem or raw target, as
	// [blkid.ParseRef] reads it: /dev/NAME, UUID=, LABEL= (of the filesystem),
	// PARTUUID=, PARTLABEL=, WWID= or SERIAL= (of the disk). The links of udev
	// (/dev/disk/by-uuid/ and so on) are read as what they mean, as there is
	// no udev in an initramfs.
	Device string `json:"device,omitempty"`
	// Path is the directory in which the dump's own directory is made; in a
	// filesystem target from the root of the filesystem (default "/").
	Path string `json:"path,omitempty"`
	// FSType is the filesystem's type as mount(2) takes it. Default: what its
	// superblock says.
	FSType string `json:"fstype,omitempty"`
	// MountOptions are given to mount(2) as its data, such as "subvol=@crash".
	MountOptions string `json:"mount_options,omitempty"`
	// Overwrite lets a raw target destroy what the device holds, unless that is a
	// part of something else (a RAID, a volume group). Without it only a blank
	// device, swap space or an earlier dump is overwritten (see Config.KeepDumpDays).
	Overwrite bool `json:"overwrite,omitempty"`
	// Stack is what the device is made of, if that is more than a disk or a partition: the capture makes it of its
	// disks, and mounts or writes to the first of its tops. Device then is what that holds or is called.
	Stack *stack.Stack `json:"stack,omitempty"`
	// Server is the host of a target on another machine: a name or an address.
	Server string `json:"server,omitempty"`
	// Machine is the name of the directory, below that of a target which several machines share, that has the dumps of
	// this one.
	Machine string `json:"machine,omitempty"`
	// Network is how the hosts of a target that is reached over the network are connected to: the capture brings it up.
	// Without it the network is taken as it is.
	Network *network.Record `json:"network,omitempty"`
	// Store is how a store over the network is reached.
	Store *remote.Settings `json:"store,omitempty"`
}

// Validate checks one target.
func (t Target) Validate() error {
	for _, s := range []string{t.Device, t.Path, t.FSType, t.MountOptions, t.Server, t.Machine} {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%q holds a NUL byte", s)
		}
	}
	k, err := t.kind()
	if err != nil {
		return err
	}
	own := k.own(t)
	rest := t
	rest.Overwrite = own.Overwrite
	if own != rest {
		return fmt.Errorf("a %s target takes %s only", t.Type, k.fields)
	}
	if err := k.validate(t); err != nil {
		return err
	}
	if t.Stack != nil {
		if err := t.Stack.Validate(); err != nil {
			return err
		}
	}
	if t.Network != nil {
		if err := t.Network.Validate(); err != nil {
			return err
		}
	}
	if t.Overwrite && !own.Overwrite {
		return errors.New("overwrite is for raw targets")
	}
	return nil
}

// String names the target for messages and in a result: dir:PATH,
// fs:DEVICE:PATH or raw:DEVICE. [ParseTarget] reads it.
func (t Target) String() string {
	k, err := t.kind()
	if err != nil {
		return string(t.Type)
	}
	return k.prefix + ":" + k.text(t)
}

// ParseTarget reads a target as a command line gives it: dir:PATH,
// fs:DEVICE[:PATH] or raw:DEVICE. An absolute path alone is a directory. The
// path of a filesystem begins at the first ":/". In a path, and in the value of
// UUID=, LABEL= and so on, \xHH stands for a byte, as in the names of udev's
// links: so a target with blanks is one word of a list, too.
func ParseTarget(s string) (Target, error) {
	prefix, rest, found := strings.Cut(s, ":")
	if path.IsAbs(s) {
		prefix, rest, found = directoryKind().prefix, s, true
	}
	for _, k := range targetKinds() {
		if !found || k.prefix != prefix {
			continue
		}
		t, err := k.parse(rest)
		if t.Type = k.name; err == nil {
			err = t.Validate()
		}
		if err != nil {
			return Target{}, fmt.Errorf("%w: target %q: %w", ErrConfig, s, err)
		}
		t.Device = deviceText(t.Device)
		return t, nil
	}
	return Target{}, fmt.Errorf("%w: target %q; want %s", ErrConfig, s, TargetUsage())
}

// open waits for what a target needs and begins a dump there.
func (r *run) open(ctx context.Context, index int, touch func()) (sink, error) {
	o := &opening{
		sys: r.sys, cfg: r.cfg, target: r.cfg.Targets[index],
		mountPoint: path.Join(r.opt.MountPoint, strconv.Itoa(index)),
		when:       r.start, touch: touch, say: r.say,
		finder: &deviceFinder{sys: r.sys, touch: touch}, layers: r.assembler, links: r.bringer, standing: &r.standing, program: r.opt.RemoteProgram,
	}
	if r.base.CrashTime != nil {
		o.when = *r.base.CrashTime
	}
	k, err := o.target.kind()
	if err != nil {
		return nil, err
	}
	return k.open(ctx, o)
}
