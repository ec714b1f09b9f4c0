package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

// ErrNotRegular is wrapped when a kernel or initrd is a directory, a FIFO or a
// device: the kernel reads regular files only (fs/kernel_read_file.c).
var ErrNotRegular = errors.New("not a regular file")

// ErrEmpty is wrapped when a kernel or initrd has no bytes.
var ErrEmpty = errors.New("file is empty")

// maxFileSize is the kernel's bound on a kernel or an initrd, in bytes
// (kernel/kexec_file.c, KEXEC_FILE_SIZE_MAX).
const maxFileSize = 4 << 30

// Inputs are the open files of one load. Plans are made of them, and it is them that the
// kernel is given: what their paths name by then does not matter.
type Inputs struct {
	Spec                *Spec  // that of Open, with the identity of each file
	Kernel, Initrd, DTB *Input // nil: the Spec has none

	image    *bootimage.Image // in Kernel; nil before a plan was made
	contents *initrdContents  // of Initrd; nil before it was read
}

// initrdContents is what ReadInitrd has found.
type initrdContents struct {
	*initramfs.Contents
	err error
}

// Input is an open Source.
type Input struct {
	Path string
	Size int64 // bytes
	io.ReaderAt

	handle *os.File // nil for bytes in memory
	data   []byte   // them
}

// InputError is a file of a Spec that can't be opened.
type InputError struct {
	Role Role // RoleKernel, RoleInitrd or RoleDTB
	Err  error
}

// Error says which file it is, and why.
func (e *InputError) Error() string { return string(e.Role) + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *InputError) Unwrap() error { return e.Err }

// Open opens what spec names. The error wraps an InputError. The caller closes the Inputs when the load
// is made; the Plans stay.
func Open(spec *Spec) (*Inputs, error) {
	opened := *spec
	in := &Inputs{Spec: &opened}
	for _, s := range []struct {
		role   Role
		source **Source
		file   **Input
	}{{RoleKernel, &opened.Kernel, &in.Kernel}, {RoleInitrd, &opened.Initrd, &in.Initrd}, {RoleDTB, &opened.DTB, &in.DTB}} {
		if *s.source == nil {
			continue
		}
		source := **s.source
		var err error
		if *s.file, source.ID, err = source.open(); err != nil {
			return nil, errors.Join(&InputError{Role: s.role, Err: err}, in.Close())
		}
		*s.source = &source
	}
	return in, nil
}

// Close closes them.
func (in *Inputs) Close() error {
	return errors.Join(in.Kernel.close(), in.Initrd.close(), in.DTB.close())
}

// HasReadInitrd tells whether ReadInitrd has read it.
func (in *Inputs) HasReadInitrd() bool { return in.contents != nil }

// ReadInitrd is initramfs.Read of Initrd, which must be there. It reads it once. Unpacking takes memory,
// so it is best done before a plan has the images in memory.
func (in *Inputs) ReadInitrd(limit uint64) (*initramfs.Contents, error) {
	if in.contents == nil {
		in.contents = &initrdContents{}
		in.contents.Contents, in.contents.err = initramfs.Read(io.NewSectionReader(in.Initrd, 0, in.Initrd.Size), limit)
	}
	return in.contents.Contents, in.contents.err
}

// ReadInitrdOf is ReadInitrd for a plan of these Inputs, whose initrd may be that of a UKI.
func (in *Inputs) ReadInitrdOf(p *Plan, limit uint64) (*initramfs.Contents, error) {
	if in.contents == nil && p.Initrd.Data != nil {
		in.contents = &initrdContents{}
		in.contents.Contents, in.contents.err = initramfs.Read(p.Initrd.Reader(nil), limit)
	}
	return in.ReadInitrd(limit)
}

// Release is what the kernel calls itself (bootimage.Image.Release); "" if it does not tell.
func (in *Inputs) Release() string {
	if in.image == nil {
		return ""
	}
	release, err := in.image.Release()
	if err != nil {
		return ""
	}
	return release
}

// open opens a regular file. It never blocks on a FIFO.
func (s *Source) open() (*Input, FileID, error) {
	if s.Data != nil {
		return &Input{Path: s.Path, Size: int64(len(s.Data)), ReaderAt: bytes.NewReader(s.Data), data: s.Data}, FileID{}, nil
	}
	if s.Built != "" {
		return nil, FileID{}, &fs.PathError{Op: "load", Path: s.Path, Err: ErrBuilt}
	}
	// Stat first: opening a FIFO for reading would wait for a writer.
	info, err := os.Stat(s.Path)
	if err != nil {
		return nil, FileID{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, FileID{}, &fs.PathError{Op: "load", Path: s.Path, Err: fmt.Errorf("%w (%s)", ErrNotRegular, describeMode(info.Mode()))}
	}
	if info.Size() == 0 {
		return nil, FileID{}, &fs.PathError{Op: "load", Path: s.Path, Err: ErrEmpty}
	}
	if info.Size() > maxFileSize {
		return nil, FileID{}, &fs.PathError{Op: "load", Path: s.Path, Err: fmt.Errorf("file of %d bytes is over the kernel's limit of %d", info.Size(), int64(maxFileSize))}
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, FileID{}, err
	}
	// Of the handle: the path may be another file's by now.
	if info, err = f.Stat(); err != nil {
		return nil, FileID{}, errors.Join(err, f.Close())
	}
	return &Input{Path: s.Path, Size: info.Size(), ReaderAt: f, handle: f}, fileID(s.Path, info), nil
}

// Handle is the file itself, nil for bytes in memory. It stays that of the Inputs: don't close it.
func (f *Input) Handle() *os.File {
	if f == nil {
		return nil
	}
	return f.handle
}

func (f *Input) close() error {
	if f == nil || f.handle == nil {
		return nil
	}
	return f.handle.Close()
}

// Bytes reads all of it.
func (f *Input) Bytes() ([]byte, error) {
	if f.data != nil {
		return f.data, nil
	}
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, f.Size), b); err != nil {
		return nil, fmt.Errorf("read %s (%d bytes): %w", f.Path, f.Size, err)
	}
	return b, nil
}

func describeMode(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "it is a directory"
	case m&fs.ModeNamedPipe != 0:
		return "it is a FIFO"
	case m&fs.ModeSocket != 0:
		return "it is a socket"
	case m&fs.ModeDevice != 0:
		return "it is a device"
	}
	return m.String()
}
