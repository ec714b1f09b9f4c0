package devmapper

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/stack"
)

// Offsets in struct dm_ioctl, in bytes. It is the same for programs of 32 and 64 bits.
const (
	atVersion     = 0  // u32[3]
	atDataSize    = 12 // u32: of the whole buffer; in an answer, of what is used of it
	atDataStart   = 16 // u32: where the targets begin, or their room
	atTargetCount = 20 // u32
	atFlags       = 28 // u32
	atDev         = 40 // u64
	atName        = 48 // [128]byte
	atUUID        = 176
	headerSize    = 312

	nameSize = 128 // DM_NAME_LEN
	uuidSize = 129 // DM_UUID_LEN
)

// Offsets in struct dm_target_spec, which the arguments follow: text that ends with a NUL byte, padded to 8 bytes.
const (
	atStart  = 0  // u64, sectors
	atLength = 8  // u64, sectors
	atNext   = 20 // u32: of a request, from this target to the next; of an answer, from where the targets begin
	atType   = 24 // [16]byte
	specSize = 40

	typeSize = 16 // DM_MAX_TYPE_NAME
)

// Flags (DM_*_FLAG).
const (
	flagReadOnly    = 1 << 0
	flagStatusTable = 1 << 4
	flagBufferFull  = 1 << 8
	flagSecureData  = 1 << 15
)

// command is an ioctl (DM_*_CMD).
type command uint32

const (
	devCreate   command = 3
	devRemove   command = 4
	devSuspend  command = 6
	tableLoad   command = 9
	tableStatus command = 12
)

// number is _IOWR(0xfd, command, struct dm_ioctl), which is the same on all architectures.
func (c command) number() uintptr { return 0xc000_0000 | headerSize<<16 | 0xfd<<8 | uintptr(c) }

func (c command) String() string {
	switch c {
	case devCreate:
		return "DM_DEV_CREATE"
	case devRemove:
		return "DM_DEV_REMOVE"
	case devSuspend:
		return "DM_DEV_SUSPEND"
	case tableLoad:
		return "DM_TABLE_LOAD"
	case tableStatus:
		return "DM_TABLE_STATUS"
	}
	return fmt.Sprintf("device mapper's command %d", uint32(c))
}

// request is what the kernel is asked.
type request struct {
	command    command
	flags      uint32
	name, uuid string
	table      []stack.Row
}

// maxTable bounds a table that is encoded, in bytes.
const maxTable = 64 << 20

// encode writes a request, with room for so many bytes of targets in the answer. What the kernel would cut or
// misread is an error, which quotes no arguments.
func (r request) encode(room int) ([]byte, error) {
	switch {
	case r.name == "" || len(r.name) >= nameSize || strings.Contains(r.name, "\x00"):
		return nil, fmt.Errorf("%q is no name of a map", r.name)
	case len(r.uuid) >= uuidSize || strings.Contains(r.uuid, "\x00"):
		return nil, fmt.Errorf("%q is no UUID of a map", r.uuid)
	}
	size := headerSize
	for i, row := range r.table {
		switch {
		case row.Type == "" || len(row.Type) >= typeSize || strings.Contains(row.Type, "\x00"):
			return nil, fmt.Errorf("table[%d]: %q is no type of a target", i, row.Type)
		case strings.Contains(row.Args, "\x00"):
			return nil, fmt.Errorf("table[%d]: a NUL byte in the arguments", i)
		}
		if size += rowSize(row); size > maxTable {
			return nil, fmt.Errorf("a table of more than %d bytes", maxTable)
		}
	}
	b := make([]byte, max(size, headerSize+room))
	ne := binary.NativeEndian
	ne.PutUint32(b[atVersion:], 4) // 4.0.0, which every kernel takes
	ne.PutUint32(b[atDataSize:], uint32(len(b)))
	ne.PutUint32(b[atDataStart:], headerSize)
	ne.PutUint32(b[atTargetCount:], uint32(len(r.table)))
	ne.PutUint32(b[atFlags:], r.flags)
	copy(b[atName:], r.name)
	copy(b[atUUID:], r.uuid)
	at := headerSize
	for _, row := range r.table {
		spec := b[at:]
		at += rowSize(row)
		ne.PutUint64(spec[atStart:], row.Start)
		ne.PutUint64(spec[atLength:], row.Length)
		ne.PutUint32(spec[atNext:], uint32(rowSize(row)))
		copy(spec[atType:], row.Type)
		copy(spec[specSize:], row.Args)
	}
	return b, nil
}

// rowSize is what a target takes in a request, in bytes.
func rowSize(row stack.Row) int { return (specSize + len(row.Args) + 1 + 7) &^ 7 }

// answer is the header of an answer.
type answer struct {
	flags   uint32
	number  stack.Number
	targets uint32
	// start and end are where the targets lie in the buffer, in bytes.
	start, end uint32
}

// decode reads the header of an answer in the buffer of its request.
func decode(b []byte) (answer, error) {
	if len(b) < headerSize {
		return answer{}, fmt.Errorf("an answer of %d bytes; want %d", len(b), headerSize)
	}
	ne := binary.NativeEndian
	if v := ne.Uint32(b[atVersion:]); v != 4 {
		return answer{}, fmt.Errorf("device mapper's interface has version %d; want 4", v)
	}
	dev := ne.Uint64(b[atDev:])
	a := answer{
		flags: ne.Uint32(b[atFlags:]), targets: ne.Uint32(b[atTargetCount:]),
		start: ne.Uint32(b[atDataStart:]), end: ne.Uint32(b[atDataSize:]),
		// huge_encode_dev of include/linux/kdev_t.h.
		number: stack.Number{Major: uint32(dev>>8) & 0xfff, Minor: uint32(dev)&0xff | uint32(dev>>12)&^0xff},
	}
	return a, nil
}

// decodeRows reads the targets of an answer (drivers/md/dm-ioctl.c, retrieve_status).
func decodeRows(b []byte, a answer) ([]stack.Row, error) {
	if a.targets == 0 {
		return nil, nil
	}
	if a.start < headerSize || a.start > a.end || uint64(a.end) > uint64(len(b)) {
		return nil, fmt.Errorf("targets at %d to %d of an answer of %d bytes", a.start, a.end, len(b))
	}
	data := b[a.start:a.end]
	if uint64(a.targets) > uint64(len(data)/specSize) {
		return nil, fmt.Errorf("%d targets in %d bytes", a.targets, len(data))
	}
	ne := binary.NativeEndian
	rows := make([]stack.Row, 0, a.targets)
	at := uint64(0)
	for i := range a.targets {
		if at > uint64(len(data)) || uint64(len(data))-at <= specSize {
			return nil, fmt.Errorf("target %d of %d is at %d of %d bytes", i, a.targets, at, len(data))
		}
		spec := data[at:]
		typ, _, named := bytes.Cut(spec[atType:][:typeSize], []byte{0})
		args, _, ended := bytes.Cut(spec[specSize:], []byte{0})
		if !named || !ended {
			return nil, fmt.Errorf("target %d of %d: text without an end", i, a.targets)
		}
		rows = append(rows, stack.Row{Start: ne.Uint64(spec[atStart:]), Length: ne.Uint64(spec[atLength:]), Type: string(typ), Args: string(args)})
		next := uint64(ne.Uint32(spec[atNext:]))
		if next <= at {
			return nil, fmt.Errorf("target %d of %d is followed by one at %d", i, a.targets, next)
		}
		at = next
	}
	return rows, nil
}
