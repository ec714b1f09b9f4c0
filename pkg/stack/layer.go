package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
)

func (l *Layer) validate() error {
	var kinds []func() error
	if l.Disk != nil {
		kinds = append(kinds, l.Disk.validate)
	}
	if l.Part != nil {
		kinds = append(kinds, l.Part.validate)
	}
	if l.Map != nil {
		kinds = append(kinds, l.Map.validate)
	}
	if l.Array != nil {
		kinds = append(kinds, l.Array.validate)
	}
	switch {
	case len(kinds) != 1:
		return fmt.Errorf("%d of disk, partition, map and array; want one", len(kinds))
	case l.Size <= 0:
		return fmt.Errorf("size %d; want more than 0 bytes", l.Size)
	}
	return kinds[0]()
}

func (d *Disk) validate() error {
	ref, err := blkid.ParseRef(d.Ref)
	if err == nil && ref.Key == "" && !strings.HasPrefix(ref.Value, "/dev/") {
		err = fmt.Errorf("%q names no device", d.Ref)
	}
	return err
}

func (p *Part) validate() error {
	if p.Number < 1 {
		return fmt.Errorf("partition %d; want 1 or more", p.Number)
	}
	return nil
}

// Lengths that the kernel takes (include/uapi/linux/dm-ioctl.h: DM_NAME_LEN, DM_UUID_LEN, DM_MAX_TYPE_NAME), with
// their NUL byte.
const (
	mapNameSize = 128
	mapUUIDSize = 129
	mapTypeSize = 16
)

func (m *Map) validate() error {
	switch {
	case m.Name == "" || len(m.Name) >= mapNameSize || strings.ContainsAny(m.Name, "/\x00"):
		return fmt.Errorf("%q is no name of a map", m.Name)
	case len(m.UUID) >= mapUUIDSize || strings.Contains(m.UUID, "\x00"):
		return fmt.Errorf("%q is no UUID of a map", m.UUID)
	case len(m.Table) == 0 || len(m.Table) > maxRows:
		return fmt.Errorf("a table of %d rows; want 1 to %d", len(m.Table), maxRows)
	}
	next := uint64(0)
	for i, row := range m.Table {
		switch {
		case row.Start != next || row.Length == 0 || row.Length > 1<<55:
			return fmt.Errorf("table[%d]: %d sectors from %d; want some from %d", i, row.Length, row.Start, next)
		case row.Type == "" || len(row.Type) >= mapTypeSize || strings.ContainsAny(row.Type, " \x00"):
			return fmt.Errorf("table[%d]: %q is no type of a target", i, row.Type)
		case strings.ContainsAny(row.Args, "\n\x00"):
			return fmt.Errorf("table[%d]: a line break or NUL byte in the arguments", i)
		}
		next += row.Length
	}
	return nil
}

func (a *Array) validate() error {
	switch {
	case a.UUID == "":
		return errors.New("an array without a UUID")
	case !slices.Contains([]string{"0.90", "1.0", "1.1", "1.2"}, a.Metadata):
		return fmt.Errorf("metadata %q; want 0.90, 1.0, 1.1 or 1.2", a.Metadata)
	case len(a.Members) == 0 || a.Disks < 1:
		return fmt.Errorf("%d members of %d", len(a.Members), a.Disks)
	}
	seen := slices.Clone(a.Members)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(a.Members) {
		return errors.New("a member is named twice")
	}
	return nil
}
