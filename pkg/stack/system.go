package stack

import (
	"context"
	"io"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// Mapper is device mapper. [internal/devmapper] is the kernel's. Names are those of maps, not of nodes.
type Mapper interface {
	// Create makes a map without a table (DM_DEV_CREATE) and returns its number.
	Create(name, uuid string) (Number, error)
	// Load gives a map its table (DM_TABLE_LOAD), in which device numbers are MAJOR:MINOR.
	Load(name string, readOnly bool, table []Row) error
	// Resume makes the loaded table the one in use (DM_DEV_SUSPEND without its flag).
	Resume(name string, readOnly bool) error
	// Remove removes a map that nothing uses (DM_DEV_REMOVE).
	Remove(name string) error
	// Table returns the table in use, and Status what its targets say of themselves (DM_TABLE_STATUS).
	Table(name string) ([]Row, error)
	Status(name string) ([]Row, error)
}

// Device is a block device that is open for reading.
type Device interface {
	io.ReaderAt
	io.Closer
	// Size is in bytes.
	Size() (int64, error)
}

// System is the machine on which a stack is assembled. Names are absolute paths; errors unwrap to errnos.
type System interface {
	Mapper
	// FS is the tree that /proc and /sys are read from; its names have no leading slash.
	FS() fs.FS
	// Write writes a file of /proc or /sys.
	Write(name, text string) error
	// Open opens a block device by the path of its node.
	Open(name string) (Device, error)
	// Find returns all devices that have a name, members of something among them, and what they hold; an empty
	// list if there is none now. A device that does not answer is left out after a while.
	Find(ctx context.Context, ref blkid.Ref) ([]*blkid.Device, error)
	// Key returns a key that is kept apart from the description, as it is.
	Key(name string) ([]byte, error)
	// RestoreKey has the kernel put the keys that it was handed in crash memory into a keyring where a table's key of type
	// user is looked for, and tells whether the one of that description, of so many bytes, is there.
	RestoreKey(description string, size int) error
	// Node makes the node of a block device if it is not there, and returns its path.
	Node(n Number) (string, error)
}
