package vmlab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/u-root/u-root/pkg/cpio" // writes the archive
	"github.com/u-root/uio/uio"         // opens each file when it is written
)

// File is a file of a guest's initramfs. Exactly one of Source, Data and Link
// is used, in this order; without any of them the file is empty.
type File struct {
	Path   string      // in the guest, absolute
	Source string      // host path
	Data   []byte      // content
	Link   string      // target of a symbolic link
	Mode   os.FileMode // permission bits; 0 is the Source's, or 0644
}

// Executable puts a host's program into the guest.
func Executable(guestPath, source string) File {
	return File{Path: guestPath, Source: source, Mode: 0o755}
}

// WriteInitramfs writes an uncompressed newc archive of files and the directories
// they are in, and /dev/console, without which init has no output. Of two
// files with one path the later counts.
func WriteInitramfs(w io.Writer, files []File) error {
	byPath := map[string]File{}
	for _, f := range files {
		clean := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if clean == "" {
			return fmt.Errorf("initramfs: %q is no path of a file", f.Path)
		}
		byPath[clean] = f
	}
	names := make([]string, 0, len(byPath))
	for name := range byPath {
		names = append(names, name)
	}
	sort.Strings(names)

	buffered := bufio.NewWriterSize(w, 1<<20)
	archive := cpio.Newc.Writer(buffered) // it drops records with a name it has had
	inode := uint64(0)
	write := func(r cpio.Record) error {
		inode++
		r.Ino, r.NLink = inode, 1
		return archive.WriteRecord(r)
	}
	records := []cpio.Record{cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1)}
	for _, r := range records {
		if err := write(r); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := writeParents(write, name); err != nil {
			return err
		}
		record, err := byPath[name].record(name)
		if err == nil {
			err = write(record)
		}
		if err != nil {
			return fmt.Errorf("initramfs: /%s: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		return err
	}
	return buffered.Flush()
}

// writeParents writes the directories a file is in: the kernel makes none by
// itself.
func writeParents(write func(cpio.Record) error, name string) error {
	for i, c := range name {
		if c == '/' {
			if err := write(cpio.Directory(name[:i], 0o755)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f File) record(name string) (cpio.Record, error) {
	mode := uint64(f.Mode.Perm())
	if f.Mode&os.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if f.Source == "" {
		if f.Data == nil && f.Link != "" {
			return cpio.Symlink(name, f.Link), nil
		}
		if mode == 0 {
			mode = 0o644
		}
		return cpio.StaticFile(name, string(f.Data), mode), nil
	}
	info, err := os.Stat(f.Source)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("source is not a regular file")
	}
	if err != nil {
		return cpio.Record{}, err
	}
	if mode == 0 {
		mode = uint64(info.Mode().Perm())
	}
	// WriteRecord closes it.
	return cpio.Record{
		ReaderAt: uio.NewLazyFile(f.Source),
		Info:     cpio.Info{Name: name, Mode: cpio.S_IFREG | mode, FileSize: uint64(info.Size())},
	}, nil
}

// Initramfs returns such an archive, for instance the initrd of the second
// kernel of a kexec.
func Initramfs(files ...File) ([]byte, error) {
	var b bytes.Buffer
	err := WriteInitramfs(&b, files)
	return b.Bytes(), err
}
