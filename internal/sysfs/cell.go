package sysfs

import (
	"encoding/binary"
	"fmt"
	"io/fs"
)

// ReadCell reads a property of a device tree that is one number: big-endian, of 4 or 8 bytes (/sys/firmware/devicetree).
func ReadCell(root fs.FS, name string) (uint64, error) {
	b, err := ReadFile(root, name, 4096)
	if err != nil {
		return 0, err
	}
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	case 8:
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("/%s: %d bytes are no number of 4 or 8", name, len(b))
}
