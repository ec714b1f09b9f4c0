package stack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Version is that of the format. A reader refuses others.
const Version = 1

// Stack is what a target's block device is made of. docs/formats.md describes its JSON.
type Stack struct {
	Version int `json:"version"`
	// Layers are the devices, in the order in which they are made: each is made of earlier ones only. References
	// are indices of this list.
	Layers []Layer `json:"layers"`
	// Tops are the devices that a filesystem, or a raw target, lies on. The first is the one to mount.
	Tops []Top `json:"tops"`
}

// Top is a device that is used.
type Top struct {
	Layer int `json:"layer"`
	// Option is the mount option that names the device to the filesystem, such as logdev of XFS or device of
	// btrfs; "" for the first one, which is mounted.
	Option string `json:"option,omitempty"`
}

// Layer is a block device. It has one of Disk, Part, Map and Array.
type Layer struct {
	// Name is the kernel's, on the machine where it was recorded: sda2, dm-3, md127. It is for people: the capture
	// kernel has other names.
	Name string `json:"name"`
	// Size is in bytes. In the capture kernel it must be the same.
	Size int64 `json:"size"`
	// Holds is what a map, an array or a partition of one must hold if it is a physical volume of LVM; zero otherwise.
	Holds Content `json:"holds,omitzero"`
	Disk  *Disk   `json:"disk,omitempty"`
	Part  *Part   `json:"partition,omitempty"`
	Map   *Map    `json:"map,omitempty"`
	Array *Array  `json:"array,omitempty"`
}

// Disk is a disk, or a partition of one, which a driver finds.
type Disk struct {
	// Ref is the best name that the device has, as [blkid.ParseRef] reads it. No other is tried: a weaker one may be
	// that of another disk.
	Ref string `json:"ref"`
	// Holds is what the device must hold; zero if nothing that is known was there.
	Holds Content `json:"holds,omitzero"`
}

// Content is a signature, as pkg/blkid reads it.
type Content struct {
	Type string `json:"type,omitempty"` // LVM2_member, linux_raid_member, crypto_LUKS, btrfs, ...
	UUID string `json:"uuid,omitempty"`
	// Member tells members with one UUID apart: the device UUID of an md superblock of version 1 (of version 0.90
	// its number), the device ID of a btrfs.
	Member string `json:"member,omitempty"`
	// Volumes tells, of a physical volume of LVM, whether the logical volumes of the stack are where they were: it is a
	// digest of what the volume group's metadata say of them (see [Stack.RecordVolumes]); "" if it has no metadata.
	Volumes string `json:"volumes,omitempty"`
}

// Part is a partition of an array, which the kernel finds when the array is there.
type Part struct {
	Of     int `json:"of"` // the array's layer
	Number int `json:"number"`
}

// Map is a device of device mapper.
type Map struct {
	Name     string `json:"name"`
	UUID     string `json:"uuid,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Table    []Row  `json:"table"`
}

// Row is a target of a device-mapper table (dmsetup(8)), or its status.
type Row struct {
	Start  uint64 `json:"start"`  // sectors of 512 bytes
	Length uint64 `json:"length"` // sectors
	Type   string `json:"type"`
	// Args are its arguments. A word of a Stack's table that was a device number is "@N", the layer with index N. The key
	// of an encrypted volume is "$NAME": it is kept apart.
	Args string `json:"args,omitempty"`
}

// Array is an md array.
type Array struct {
	UUID     string `json:"uuid"`     // of its superblocks, as blkid(8) spells it
	Metadata string `json:"metadata"` // 1.2, 1.1, 1.0, 0.90
	Level    string `json:"level"`    // raid0, raid1, linear, ...
	Disks    int    `json:"disks"`    // of the whole array
	Members  []int  `json:"members"`  // those that were not failed
}

// Number is a device number.
type Number struct{ Major, Minor uint32 }

// String is MAJOR:MINOR.
func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// IsNumber tells a word of a table that is a device number, MAJOR:MINOR in decimal digits.
func IsNumber(word string) bool {
	major, minor, found := strings.Cut(word, ":")
	return found && digits(major) && digits(minor)
}

// ErrFormat is wrapped by what [Stack.Validate] returns.
var ErrFormat = errors.New("bad description of a storage stack")

// Bounds of a description.
const (
	maxLayers = 4096
	maxRows   = 65536
)

// Referenced is the layer that a word of a table names, if it names one.
func Referenced(word string) (int, bool) {
	digits, found := strings.CutPrefix(word, "@")
	if !found || digits == "" || len(digits) > 9 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// Uses lists the layers that a layer is made of, in order; one of a table may come twice.
func (l *Layer) Uses() []int {
	var used []int
	switch {
	case l.Part != nil:
		used = append(used, l.Part.Of)
	case l.Array != nil:
		used = append(used, l.Array.Members...)
	case l.Map != nil:
		for _, row := range l.Map.Table {
			for word := range strings.FieldsSeq(row.Args) {
				if n, ok := Referenced(word); ok {
					used = append(used, n)
				}
			}
		}
	}
	return used
}

// Validate checks that a description is complete: each layer is of one kind and is made of earlier ones, and there
// is something to use. The error wraps [ErrFormat].
func (s *Stack) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	switch {
	case s.Version != Version:
		return fail("version %d; this gokexec reads version %d", s.Version, Version)
	case len(s.Layers) > maxLayers:
		return fail("%d layers; want at most %d", len(s.Layers), maxLayers)
	case len(s.Tops) == 0:
		return fail("nothing on top")
	}
	for i := range s.Layers {
		l := &s.Layers[i]
		if err := l.validate(); err != nil {
			return fail("layers[%d] (%s): %w", i, l.Name, err)
		}
		for _, n := range l.Uses() {
			if n < 0 || n >= i {
				return fail("layers[%d] (%s): it is made of layer %d, which is no earlier one", i, l.Name, n)
			}
		}
		if l.Part != nil && s.Layers[l.Part.Of].Array == nil {
			return fail("layers[%d] (%s): it is a partition of layer %d, which is no array", i, l.Name, l.Part.Of)
		}
	}
	for i, t := range s.Tops {
		if t.Layer < 0 || t.Layer >= len(s.Layers) {
			return fail("tops[%d]: there is no layer %d", i, t.Layer)
		}
		if (t.Option == "") != (i == 0) {
			return fail("tops[%d]: mount option %q; want one for all but the first", i, t.Option)
		}
		if strings.ContainsAny(t.Option, ",= \x00") {
			return fail("tops[%d]: %q is no name of a mount option", i, t.Option)
		}
	}
	if err := s.validateVolumes(); err != nil {
		return fail("%w", err)
	}
	return nil
}
