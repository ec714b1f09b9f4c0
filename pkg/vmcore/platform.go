package vmcore

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// Platform is how a crashed machine lays out its data.
type Platform struct {
	Machine elf.Machine
	Order   binary.ByteOrder
	Word    int // bytes of an unsigned long and of a pointer: 4 or 8
}

// PhysReader reads the memory of a crashed machine by physical address. ReadPhysAt returns how many
// bytes it has read; the error says why that is less than len(b).
type PhysReader interface {
	ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error)
}
