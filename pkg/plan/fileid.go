package plan

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// FileID tells a file, and what was in it, from others. A file that was written to
// or replaced has another one: the kernel sets the time of the last change itself
// (inode(7), ctime).
type FileID struct {
	Path     string    `json:"path"` // absolute
	Size     int64     `json:"size_bytes"`
	Modified time.Time `json:"modified_at"`

	// Not in notes of gokexec before version 2 of State.
	Changed time.Time `json:"changed_at,omitzero"`
	Device  uint64    `json:"device,omitempty"`
	Inode   uint64    `json:"inode,omitempty"`
}

func fileID(path string, info fs.FileInfo) FileID {
	id := FileID{Path: absolute(path), Size: info.Size(), Modified: info.ModTime().UTC()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Changed = time.Unix(int64(s.Ctim.Sec), int64(s.Ctim.Nsec)).UTC()
		id.Device, id.Inode = uint64(s.Dev), s.Ino
	}
	return id
}

// same tells whether both are the same file with the same content, as far as both
// tell.
func (id FileID) same(other FileID) bool {
	if id.Path != other.Path || id.Size != other.Size || !id.Modified.Equal(other.Modified) {
		return false
	}
	if id.Changed.IsZero() || other.Changed.IsZero() {
		return true
	}
	return id.Changed.Equal(other.Changed) && id.Device == other.Device && id.Inode == other.Inode
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
