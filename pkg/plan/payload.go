package plan

import (
	"bytes"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/bootimage"
)

// Payload is what the kernel is given as kernel or initrd: the user's own file, so that
// signatures and IMA attributes count, or bytes that had to be unpacked.
type Payload struct {
	Path   string   // as the user named it
	ID     FileID   // of that file; without a Path for bytes in memory
	Size   int64    // bytes that the kernel will read
	Unwrap []string // what was unpacked, outermost first; empty: the file as it is
	Data   []byte   // what was unpacked; nil: the file as it is
}

// Reader gives what the kernel will read; file is the one that p was planned of. It is nil if there is
// nothing to read.
func (p *Payload) Reader(file *Input) io.Reader {
	switch {
	case p.Data != nil:
		return bytes.NewReader(p.Data)
	case file != nil:
		return io.NewSectionReader(file, 0, file.Size)
	}
	return nil
}

// bytes reads all of it into memory.
func (p *Payload) bytes(file *Input) ([]byte, error) {
	switch {
	case p == nil:
		return nil, nil
	case p.Data != nil:
		return p.Data, nil
	case p.Size > bootimage.MaxUnpacked:
		return nil, fmt.Errorf("initrd %s: %d bytes; at most %d are loaded by kexec_load", p.Path, p.Size, bootimage.MaxUnpacked)
	}
	return file.Bytes()
}

// InitrdSize is the size of the initrd as it is loaded, in bytes; 0 without one.
func (p *Plan) InitrdSize() uint64 {
	if p.Initrd == nil {
		return 0
	}
	return uint64(p.Initrd.Size)
}
