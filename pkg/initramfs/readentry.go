package initramfs

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

	"github.com/gokexec/gokexec/pkg/kmod"
)

var errNoMagic = errors.New("no cpio magic")

// entryHeader is what the kernel takes from a header, in bytes where it is a size.
type entryHeader struct {
	mode, size, name uint64
}

// entry reads one entry, up to where the next may begin (do_header, do_skip).
func (u *unpacker) entry(p *position) error {
	at := p.pos()
	h, err := readHeader(p)
	if err != nil {
		return fmt.Errorf("archive entry at %d: %w", at, unexpectedEnd(err))
	}
	next := (at + headerSize + alignedName(h.name) + int64(h.size) + 3) &^ 3
	name, err := u.member(p, h)
	if err == nil {
		err = p.skip(next - p.pos())
	}
	if err == io.EOF && next-p.pos() < 4 && !u.compressed(p) {
		err = nil // the file ends without the padding of its last entry
	}
	if err != nil {
		return fmt.Errorf("contents of %s (entry at %d): %w", name, at, unexpectedEnd(err))
	}
	u.entered = true
	return nil
}

func (u *unpacker) compressed(p *position) bool { return p != u.in }

// alignedName is what a name takes after a header (N_ALIGN).
func alignedName(n uint64) int64 { return int64((n+1)&^3 + 2) }

func readHeader(p *position) (h entryHeader, err error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(p.br, b[:6]); err != nil {
		return h, err
	}
	if string(b[:6]) != magicNewc && string(b[:6]) != magicCRC {
		return h, fmt.Errorf("%w: %q, not 070701", errNoMagic, b[:6])
	}
	if _, err := io.ReadFull(p.br, b[6:]); err != nil {
		return h, unexpectedEnd(err)
	}
	field := func(i int) uint64 {
		v, e := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
		err = errors.Join(err, e)
		return v
	}
	h = entryHeader{mode: field(1), size: field(6), name: field(11)}
	return h, err
}

// member reads the name and looks at the contents. The kernel passes over entries that it can't
// make.
func (u *unpacker) member(p *position, h entryHeader) (string, error) {
	kind := h.mode & modeType
	switch {
	case h.name == 0 || h.name > maxPath+1,
		kind == modeLink && h.size > maxPath+1,
		kind != modeLink && kind != modeFile && h.size > 0:
		return "an entry that the kernel leaves out", nil
	}
	b := make([]byte, alignedName(h.name))
	if _, err := io.ReadFull(p.br, b); err != nil {
		return "an entry", err
	}
	if b[h.name-1] != 0 {
		return "an entry", errors.New("its name has no NUL at its end")
	}
	name, _, _ := strings.Cut(string(b), "\x00")
	if name == trailer {
		return name, nil
	}
	u.c.Files++
	u.c.Unpacked += (h.size+pageSize-1)&^(pageSize-1) + inodeOverhead
	if u.c.Unpacked > u.limit {
		return name, fmt.Errorf("%w: over %d MiB", ErrTooLarge, u.limit>>20)
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	u.note(clean)
	if clean == ConfigPath && kind == modeFile && h.size <= maxSettings {
		u.c.Settings = make([]byte, h.size)
		if _, err := io.ReadFull(p.br, u.c.Settings); err != nil {
			return name, err
		}
		return name, nil
	}
	if kind != modeFile || u.c.Inner != "" || h.size < filesystemHead {
		return name, nil
	}
	if inner := filesystem(p.br); inner != "" && inner != "ext2" && inner != "minix" { // whose magic is short
		u.c.Inner = name
	}
	return name, nil
}

// note remembers modules and whose they are. They may lie deeper, as in NixOS' store.
func (u *unpacker) note(name string) {
	u.c.Init = u.c.Init || name == "init"
	_, rest, found := strings.Cut("/"+name, "/lib/modules/")
	if !found {
		return
	}
	release, file, _ := strings.Cut(rest, "/")
	module, ok := kmod.ModuleName(file)
	if !ok {
		return
	}
	if len(u.c.Releases) < maxReleases && !slices.Contains(u.c.Releases, release) {
		u.c.Releases = append(u.c.Releases, release)
	}
	if len(u.c.Modules) < maxNames {
		u.c.Modules[module] = true
	}
}

// maxSettings bounds the file at ConfigPath, in bytes.
const maxSettings = 1 << 20

// filesystemHead is as far as filesystem looks, in bytes.
const filesystemHead = 1088

// filesystems are the filesystems by their magic numbers: those of init/do_mounts_rd.c
// (identify_ramdisk_image), and erofs.
var filesystems = []struct {
	at    int // offset in bytes
	name  string
	magic string
}{
	{0, "squashfs", "hsqs"},
	{0, "cramfs", "\x45\x3d\xcd\x28"},
	{512, "cramfs", "\x45\x3d\xcd\x28"},
	{0, "romfs", "-rom1fs-"},
	{1024, "erofs", "\xe2\xe1\xf5\xe0"},
	{1024 + 56, "ext2", "\x53\xef"},
	{1024 + 16, "minix", "\x7f\x13"},
	{1024 + 16, "minix", "\x8f\x13"},
}

// filesystem tells the filesystem that br's next bytes are, "" for none, and takes none of them.
func filesystem(br *bufio.Reader) string {
	b, _ := br.Peek(filesystemHead) // who reads on meets an error
	if bytes.HasPrefix(b, []byte(magicNewc)) || bytes.HasPrefix(b, []byte(magicCRC)) {
		return ""
	}
	for _, r := range filesystems {
		if len(b) >= r.at && bytes.HasPrefix(b[r.at:], []byte(r.magic)) {
			return r.name
		}
	}
	return ""
}

func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
