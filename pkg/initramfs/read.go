package initramfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gokexec/gokexec/internal/decompress"
)

// Errors of Read. The kernel unpacks what comes before ErrTrailing and goes on.
var (
	ErrNotInitramfs = errors.New("not an initramfs")                              // no archive that the kernel would unpack
	ErrTrailing     = errors.New("something else than an archive follows")        // after complete archives
	ErrTooLarge     = errors.New("it unpacks to more than there can be room for") // over Read's limit
)

// Limits on an initramfs that is read.
const (
	maxStreams  = 256     // compressed parts of a file
	maxNames    = 1 << 17 // modules that are kept by name
	maxReleases = 64      // kernels that are kept by name
	// inodeOverhead is what a file takes in a tmpfs in addition to its pages, in bytes.
	inodeOverhead = 1 << 10
	pageSize      = 4096
)

// Contents describes an initramfs as the kernel will have unpacked it.
type Contents struct {
	Unpacked   uint64          // bytes of memory that its files take, in whole pages
	Files      int             // files, directories, links
	Archives   int             // compressed parts, and runs of entries that are not compressed
	Compressed string          // codec of its last compressed part: "zstd"; "" for none
	Releases   []string        // kernels whose modules are in it (uname -r), sorted
	Modules    map[string]bool // names of the modules in it, in the kernel's form: "virtio_blk"
	Init       bool            // /init is there
	Settings   []byte          // of ConfigPath; nil when it is not there, or too large to be one
	// Inner is the path of a filesystem image in it, "" for none: the modules may be in there, as with
	// dracut's squash module, which mounts squashfs-root.img or erofs-root.img as its root.
	Inner string
	// Ramdisk is the type of a filesystem that the file is instead of an initramfs: "ext2", "squashfs".
	// A kernel with CONFIG_BLK_DEV_RAM makes /dev/ram0 of it (init/do_mounts_rd.c).
	Ramdisk string
}

// Read goes through all of an initramfs as the kernel does (init/initramfs.c, unpack_to_rootfs): newc
// cpio archives one after the other, each compressed or not, zeros between them. It keeps no
// contents but Settings, and gives up with ErrTooLarge where files, or what is decompressed, are over limit bytes.
//
// The error wraps ErrNotInitramfs for something else, ErrTrailing where something else follows whole
// archives, or says where the file is damaged. What was read before it is returned with it.
func Read(r io.Reader, limit uint64) (*Contents, error) {
	u := &unpacker{in: newPosition(r), limit: limit, c: &Contents{Modules: map[string]bool{}}}
	err := u.unpack()
	slices.Sort(u.c.Releases)
	if errors.Is(err, ErrTooLarge) {
		u.c.Unpacked = max(u.c.Unpacked, limit+1)
	}
	if err != nil {
		return u.c, fmt.Errorf("initramfs: %w", err)
	}
	return u.c, nil
}

// position is a reader that knows how much of it was read.
type position struct {
	src *tally
	br  *bufio.Reader
}

func newPosition(r io.Reader) *position {
	src := &tally{r: r}
	return &position{src, decompress.NewReader(src)}
}

// tally counts the bytes read from r.
type tally struct {
	r io.Reader
	n int64
}

func (t *tally) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	t.n += int64(n)
	return n, err
}

func (p *position) pos() int64 { return p.src.n - int64(p.br.Buffered()) }

func (p *position) skip(n int64) error {
	for n > 0 {
		m, err := p.br.Discard(int(min(n, 1<<20)))
		if n -= int64(m); err != nil {
			return err
		}
	}
	return nil
}

// zeros skips zero bytes and returns what follows them, io.EOF for nothing.
func (p *position) zeros() (byte, error) {
	for {
		b, err := p.br.Peek(1)
		if err != nil || b[0] != 0 {
			return first(b), err
		}
		b, _ = p.br.Peek(p.br.Buffered())
		n := 0
		for n < len(b) && b[n] == 0 {
			n++
		}
		if err := p.skip(int64(n)); err != nil {
			return 0, err
		}
	}
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// unpacker is the kernel's state while it unpacks.
type unpacker struct {
	in      *position
	c       *Contents
	limit   uint64
	expands uint64 // bytes decompressed
	streams int
	entered bool // an entry was read whole: the kernel is in the state Reset
	run     bool // the last thing that was read is an entry that is not compressed
}

// unpack takes the file for an old-style ramdisk only where it is no initramfs, as the kernel does.
func (u *unpacker) unpack() error {
	kind := filesystem(u.in.br)
	err := u.parts()
	if err != nil && !u.entered && u.c.Ramdisk == "" {
		u.c.Ramdisk = kind
	}
	if u.c.Ramdisk != "" {
		return nil
	}
	return err
}

func (u *unpacker) parts() error {
	for {
		b, err := u.in.zeros()
		if err == io.EOF {
			if !u.entered {
				return fmt.Errorf("%w: it is empty", ErrNotInitramfs)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if b == '0' && u.in.pos()&3 == 0 {
			err = u.entry(u.in)
			if err == nil && !u.run {
				u.run = true
				u.c.Archives++
			}
		} else {
			u.run = false
			err = u.stream()
		}
		if err != nil {
			return err
		}
	}
}

// stream unpacks one compressed part.
func (u *unpacker) stream() error {
	at := u.in.pos()
	head, _ := u.in.br.Peek(6)
	if u.streams++; u.streams > maxStreams {
		return fmt.Errorf("more than %d compressed parts", maxStreams)
	}
	r, codec, err := decompress.Stream(u.in.br)
	if err != nil {
		return fmt.Errorf("at %d: %w", at, err)
	}
	if codec == "" {
		return u.other(at, head)
	}
	u.c.Compressed = codec
	u.c.Archives++
	out := newPosition(&expansion{r, u})
	kind := filesystem(out.br)
	if err := u.archives(out); err != nil {
		if !u.entered {
			u.c.Ramdisk = kind
		}
		return fmt.Errorf("%s at %d: %w", codec, at, err)
	}
	return nil
}

// other is the error for what is neither an entry nor compressed.
func (u *unpacker) other(at int64, head []byte) error {
	aligned := ""
	if string(head) == magicNewc || string(head) == magicCRC {
		aligned = "; an archive must begin at a multiple of 4 bytes"
	}
	if !u.entered {
		return fmt.Errorf("%w: it begins with % x%s", ErrNotInitramfs, head, aligned)
	}
	return fmt.Errorf("%w at %d: % x%s", ErrTrailing, at, head, aligned)
}

// archives reads the entries of one compressed part (flush_buffer, do_reset).
func (u *unpacker) archives(out *position) error {
	for fresh := !u.entered; ; fresh = false {
		if !fresh {
			b, err := out.zeros()
			switch {
			case err == io.EOF:
				return nil
			case err != nil:
				return err
			case out.pos()&3 != 0:
				return fmt.Errorf("padding up to %d of what is unpacked, which is no multiple of 4", out.pos())
			case b != '0':
				return fmt.Errorf("something else than an archive at %d of what is unpacked", out.pos())
			}
		}
		if err := u.entry(out); err != nil {
			if fresh && errors.Is(err, errNoMagic) {
				return fmt.Errorf("%w: what is unpacked is no archive: %w", ErrNotInitramfs, err)
			}
			return err
		}
	}
}

// expansion bounds all that is decompressed.
type expansion struct {
	r io.Reader
	u *unpacker
}

func (e *expansion) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.u.expands += uint64(n); e.u.expands > e.u.limit+slack(e.u.limit) {
		return n, fmt.Errorf("%w: over %d MiB", ErrTooLarge, e.u.limit>>20)
	}
	return n, err
}

// slack is what headers, names and padding may take in addition to the files, in bytes.
func slack(limit uint64) uint64 { return limit/8 + 1<<20 }
