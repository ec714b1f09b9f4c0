package initramfs

import (
	"errors"
	"fmt"
	"io"
)

// Of the cpio format (Documentation/driver-api/early-userspace/buffer-format.rst).
const (
	magicNewc  = "070701"
	magicCRC   = "070702"
	headerSize = 110 // bytes
	trailer    = "TRAILER!!!"
)

// Kinds of files in a mode (inode(7)).
const (
	modeType = 0o170000
	modeFile = 0o100000
	modeDir  = 0o040000
	modeChar = 0o020000
	modeLink = 0o120000
)

// cpioWriter writes a newc archive.
type cpioWriter struct {
	w     io.Writer
	inode uint64 // of the last entry
}

// entry writes one entry, with size bytes of content, which may be nil for none.
func (c *cpioWriter) entry(it *item, content io.Reader, size int64) error {
	// Numbered from 1: the kernel takes equal numbers as hard links
	// only when nlink is 2 or more, other readers are less careful.
	c.inode++
	links := uint64(1)
	if it.mode&modeType == modeDir {
		links = 2
	}
	return c.write(it.path, [...]uint64{c.inode, it.mode, 0, 0, links, 0, uint64(size), 0, 0, it.major, it.minor}, content)
}

// end writes the entry that ends the archive.
func (c *cpioWriter) end() error { return c.write(trailer, [11]uint64{}, nil) }

// write writes a header with all fields up to c_rminor, and what follows it.
func (c *cpioWriter) write(name string, fields [11]uint64, content io.Reader) error {
	header := []byte(magicNewc)
	for _, v := range fields {
		header = fmt.Appendf(header, "%08X", v)
	}
	header = fmt.Appendf(header, "%08X%08X%s\x00", len(name)+1, 0, name) // the last is c_chksum
	size := int64(fields[6])
	if _, err := c.w.Write(append(header, make([]byte, padding(int64(len(header))))...)); err != nil || size == 0 {
		return err
	}
	n, err := io.Copy(c.w, content)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("contents ended early: %w", err)
	}
	if err != nil {
		return err
	}
	_, err = c.w.Write(make([]byte, padding(size)))
	return err
}

// padding is how many bytes lead from n to a multiple of 4.
func padding(n int64) int64 { return -n & 3 }
