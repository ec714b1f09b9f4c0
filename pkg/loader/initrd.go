package loader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kmod"
)

// ErrNotInitramfs means that a file is no cpio archive, compressed or not, that the kernel would unpack.
var ErrNotInitramfs = errors.New("not an initramfs")

// Limits on an initramfs that is looked at.
const (
	maxUnpacked     = 16 << 30 // bytes
	maxInitrdNames  = 1 << 17  // modules that are kept by name
	cpioHeaderSize  = 110      // bytes (Documentation/driver-api/early-userspace/buffer-format.rst)
	maxCpioName     = 4096     // bytes, PATH_MAX
	inodeOverhead   = 1 << 10  // bytes that a file takes in a tmpfs besides its pages
	maxCpioPadding  = 1 << 20  // zero bytes between archives
	cpioTrailer     = "TRAILER!!!"
	moduleExtension = ".ko"
)

// Initramfs is what an initramfs will be once the kernel has unpacked it.
type Initramfs struct {
	Unpacked   uint64          // bytes of memory that its files take, in whole pages
	Files      int             // files, folders, links
	Compressed string          // codec of its last part: "zstd"; "" for none
	Releases   []string        // kernels whose modules are in it (uname -r), sorted
	Modules    map[string]bool // names of the modules in it, in the kernel's form: "virtio_blk"
}

// ReadInitramfs goes through the archives of an initramfs: newc cpio, the last of them perhaps
// compressed (init/initramfs.c). It keeps no contents. The error is ErrNotInitramfs for something
// else, or says where the file is damaged; what was read before that is returned with it.
func ReadInitramfs(r io.Reader) (*Initramfs, error) {
	in := &Initramfs{Modules: map[string]bool{}}
	c := &cpioReader{r: bufio.NewReaderSize(r, 64<<10), in: in}
	err := c.archives()
	slices.Sort(in.Releases)
	in.Releases = slices.Compact(in.Releases)
	if err != nil {
		return in, fmt.Errorf("initramfs: %w", err)
	}
	return in, nil
}

// cpioReader reads one archive after the other.
type cpioReader struct {
	r   *bufio.Reader
	pos int64 // in what is unpacked: archives are aligned to 4 bytes
	in  *Initramfs
}

// archives reads the uncompressed archives, and then a compressed one.
func (c *cpioReader) archives() error {
	for first := true; ; first = false {
		end, err := c.padding()
		if err != nil || end && !first {
			return err
		}
		head, err := c.r.Peek(6)
		if err != nil && err != io.EOF {
			return err
		}
		if isCpio(head) {
			if err := c.archive(); err != nil {
				return err
			}
			continue
		}
		if c.in.Compressed != "" {
			return fmt.Errorf("something else than an archive at %d of what is unpacked", c.pos)
		}
		unpacked, codec, err := bootimage.Decompress(c.r)
		if err != nil {
			return err
		}
		if codec == "" {
			if first {
				return fmt.Errorf("%w: it begins with % x", ErrNotInitramfs, head)
			}
			return fmt.Errorf("something else than an archive behind the first %d bytes", c.pos)
		}
		c.in.Compressed = codec
		c.r, c.pos = bufio.NewReaderSize(unpacked, 64<<10), 0
	}
}

func isCpio(head []byte) bool {
	return bytes.HasPrefix(head, []byte("070701")) || bytes.HasPrefix(head, []byte("070702"))
}

// padding skips zero bytes; end tells that nothing comes behind them.
func (c *cpioReader) padding() (end bool, err error) {
	for range maxCpioPadding {
		b, err := c.r.ReadByte()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if b != 0 {
			return false, c.r.UnreadByte()
		}
		c.pos++
	}
	return true, nil // the rest can't be an archive
}

// archive reads the entries up to the trailer.
func (c *cpioReader) archive() error {
	for {
		name, size, err := c.header()
		if err != nil {
			return fmt.Errorf("archive entry at %d: %w", c.pos, unexpectedEnd(err))
		}
		if name == cpioTrailer {
			return nil
		}
		c.in.Files++
		c.in.Unpacked += pageUp(size) + inodeOverhead
		if c.in.Unpacked > maxUnpacked {
			return fmt.Errorf("it unpacks to more than %s", mib(maxUnpacked))
		}
		c.note(name)
		if err = c.skip(int64(size)); err == nil {
			err = c.align()
		}
		if err != nil {
			return fmt.Errorf("contents of %s: %w", name, unexpectedEnd(err))
		}
	}
}

// header reads an entry's header and name, up to its contents.
func (c *cpioReader) header() (name string, size uint64, err error) {
	var h [cpioHeaderSize]byte
	if err := c.align(); err != nil {
		return "", 0, err
	}
	if err := c.full(h[:]); err != nil {
		return "", 0, err
	}
	if !isCpio(h[:]) {
		return "", 0, fmt.Errorf("it begins with %q, not with 070701", h[:6])
	}
	size, err1 := strconv.ParseUint(string(h[54:62]), 16, 32)
	length, err2 := strconv.ParseUint(string(h[94:102]), 16, 32)
	if err := errors.Join(err1, err2); err != nil {
		return "", 0, err
	}
	if length == 0 || length > maxCpioName {
		return "", 0, fmt.Errorf("name of %d bytes", length)
	}
	b := make([]byte, length)
	if err := c.full(b); err != nil {
		return "", 0, err
	}
	return string(bytes.TrimRight(b, "\x00")), size, c.align()
}

func (c *cpioReader) full(b []byte) error {
	n, err := io.ReadFull(c.r, b)
	c.pos += int64(n)
	return err
}

func (c *cpioReader) skip(n int64) error {
	m, err := io.CopyN(io.Discard, c.r, n)
	c.pos += m
	return err
}

// align goes to a multiple of 4 bytes.
func (c *cpioReader) align() error { return c.skip(-c.pos & 3) }

// note remembers modules and whose they are.
func (c *cpioReader) note(name string) {
	name = strings.TrimPrefix(strings.TrimPrefix(path.Clean("/"+name), "/"), "usr/")
	rest, found := strings.CutPrefix(name, "lib/modules/")
	if !found {
		return
	}
	release, file, _ := strings.Cut(rest, "/")
	if len(c.in.Releases) < maxInitrdNames && (len(c.in.Releases) == 0 || c.in.Releases[len(c.in.Releases)-1] != release) {
		c.in.Releases = append(c.in.Releases, release)
	}
	base, _, isModule := strings.Cut(path.Base(file), moduleExtension)
	if isModule && len(c.in.Modules) < maxInitrdNames {
		c.in.Modules[kmod.NormalizeName(base)] = true
	}
}

func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
