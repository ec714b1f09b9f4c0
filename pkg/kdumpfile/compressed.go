package kdumpfile

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Compressed is a dump in makedumpfile's compressed format, from one file or from the parts of a
// split one.
type Compressed struct {
	// Header is that of the file, or of the first part, with the bounds of the whole dump.
	Header Header

	parts   []*part // sorted by page
	base    uint64  // page frame number of bit 0 of the bitmaps
	notes   []vmcore.Note
	noteIn  io.ReaderAt
	info    *vmcore.VMCoreInfo
	infoErr error
	damage  []error
	space   *vmcore.AddressSpace
	codec   codec
	cache   pageCache
	memory  bitWindow    // of NextMemory
	held    bitWindow    // of NextHeld
	whole   func() error // the answer to whether all of it is there
}

// join makes a dump of its parts.
func join(parts []*part) (*Compressed, error) {
	slices.SortFunc(parts, func(a, b *part) int {
		// makedumpfile makes empty parts of a small dump.
		return cmp.Or(cmp.Compare(a.StartPage, b.StartPage), cmp.Compare(a.EndPage, b.EndPage))
	})
	first := parts[0]
	if err := checkParts(parts); err != nil {
		return nil, err
	}
	c := &Compressed{Header: *first.Header, parts: parts, codec: codec{size: int(first.BlockSize)}}
	c.Header.StartPage, c.Header.EndPage = 0, c.Header.Pages
	for _, p := range parts {
		c.damage = append(c.damage, p.damage...)
		if c.notes == nil {
			c.readNotes(p)
		}
	}
	if p := &c.Header.platform; p.Machine == elf.EM_NONE && p.Word == 8 && c.info != nil {
		p.Machine = machineOf(c.info)
	}
	base := c.Header.PhysBase
	c.space = vmcore.NewAddressSpace(c.Header.platform, c.info, c, vmcore.Hints{PhysBase: &base})
	c.whole = sync.OnceValue(func() error {
		for _, p := range parts {
			if err := p.whole(); err != nil {
				return err
			}
		}
		return nil
	})
	if traitsOf(c.Header.platform.Machine).framesFromBase {
		if err := c.setARMBase(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checkParts makes sure that the parts are those of one dump, and all of them.
func checkParts(parts []*part) error {
	first := parts[0]
	if len(parts) == 1 && !first.Split {
		return nil
	}
	next := uint64(0)
	for _, p := range parts {
		switch {
		case !p.Split:
			return errors.New("a file is a whole dump; several files can only be parts of a split one")
		case p.Uname != first.Uname || p.BlockSize != first.BlockSize || p.Pages != first.Pages || p.PhysBase != first.PhysBase:
			return errors.New("the files are parts of different dumps")
		case p.StartPage < next:
			return fmt.Errorf("two files have page %#x: a part was given twice, or the files are of different dumps", p.StartPage)
		case p.StartPage > next:
			return fmt.Errorf("%w: no file has the pages %#x to %#x of %#x; give the other files of the dump, too", ErrSplit, next, p.StartPage, p.Pages)
		}
		next = p.EndPage
	}
	if next < first.Pages {
		return fmt.Errorf("%w: no file has the pages %#x to %#x; give the other files of the dump, too", ErrSplit, next, first.Pages)
	}
	return nil
}

// setARMBase finds out how page frames are numbered. makedumpfile begins with 0 at the
// begin of an ARM machine's memory, QEMU at address 0.
func (c *Compressed) setARMBase() error {
	base := c.Header.PhysBase / uint64(c.Header.BlockSize)
	for _, p := range c.parts {
		if p.StartPage >= base {
			return nil
		}
		below, err := p.rank((min(base, p.EndPage) - p.spanStart(0) + rankSpan - 1) / rankSpan)
		if err != nil {
			return err
		}
		if below > 0 {
			c.base = base
			return nil
		}
	}
	return nil
}

// readNotes takes the ELF notes, or in dumps before version 4 the VMCOREINFO alone.
func (c *Compressed) readNotes(p *part) {
	size := uint64(p.file.Size())
	inFile := func(what string, off, n uint64) bool {
		if n != 0 && (off > size || n > size-off) {
			c.damage = append(c.damage, fmt.Errorf("the %s, %d bytes at %#x, are beyond the end of the file: %w", what, n, off, io.ErrUnexpectedEOF))
			return false
		}
		return n != 0
	}
	c.infoErr = vmcore.ErrNoVMCoreInfo
	if inFile("notes", p.noteOffset, p.NotesSize) {
		notes, damage := vmcore.ReadNotes(p.file, p.platform.Order, vmcore.Extent{Offset: int64(p.noteOffset), Size: int64(p.NotesSize)})
		c.notes, c.noteIn, c.damage = notes, p.file, append(c.damage, damage...)
		c.info, c.infoErr = vmcore.FindVMCoreInfo(notes, p.file)
	}
	if c.info == nil && p.infoSize <= maxInfo && inFile("VMCOREINFO", p.infoOffset, p.infoSize) {
		text := make([]byte, p.infoSize)
		if n, err := p.file.ReadAt(text, int64(p.infoOffset)); n < len(text) {
			c.infoErr = fmt.Errorf("read VMCOREINFO: %w", noEOF(err))
		} else {
			c.info, c.infoErr = vmcore.ParseVMCoreInfo(text)
		}
	}
	if c.infoErr != nil && !errors.Is(c.infoErr, vmcore.ErrNoVMCoreInfo) {
		c.damage = append(c.damage, c.infoErr)
	}
}

// maxInfo bounds the VMCOREINFO text, in bytes; the kernel has 64 KiB for it at most.
const maxInfo = 1 << 20

// Platform tells machine, word size and byte order, by the name of the machine in the header.
func (c *Compressed) Platform() vmcore.Platform { return c.Header.platform }

// VMCoreInfo returns what the kernel says about itself.
func (c *Compressed) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return c.info, c.infoErr }

// Notes returns the ELF notes, which dumps have from version 4 on.
func (c *Compressed) Notes() []vmcore.Note { return c.notes }

// NoteData returns a reader of the whole descriptor of one of Notes.
func (c *Compressed) NoteData(n *vmcore.Note) *io.SectionReader { return n.Data(c.noteIn) }

// Damage lists what is wrong with the files although the rest can be read.
func (c *Compressed) Damage() []error {
	if err := c.whole(); err != nil {
		return append(c.damage[:len(c.damage):len(c.damage)], err)
	}
	return c.damage
}

// Incomplete reports that makedumpfile marked a file, or that its last pages are not there. The
// first call reads the bitmaps.
func (c *Compressed) Incomplete() bool {
	for _, err := range c.Damage() {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return true
		}
	}
	return slices.ContainsFunc(c.parts, func(p *part) bool { return p.Status&statusIncomplete != 0 || len(p.damage) > 0 })
}

// ReadPhysAt fills b with the memory at a physical address, across pages. A page that
// a filter left out is ErrExcluded.
func (c *Compressed) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	bs := uint64(c.Header.BlockSize)
	n := 0
	for n < len(b) {
		a := uint64(addr) + uint64(n)
		if a < uint64(addr) {
			return n, fmt.Errorf("kdumpfile: physical address %#x wraps: %w", uint64(addr), vmcore.ErrNotInDump)
		}
		m, err := c.readPage(b[n:], a/bs, a%bs)
		n += m
		if err != nil {
			return n, fmt.Errorf("kdumpfile: physical address %#x: %w", a, err)
		}
	}
	return n, nil
}

// ReadVirtAt is ReadPhysAt for a virtual address of the crashed kernel, which is translated by what
// VMCOREINFO tells and, on x86_64, by the kernel's page tables.
func (c *Compressed) ReadVirtAt(b []byte, addr uint64) (int, error) {
	return c.space.ReadVirtAt(b, addr)
}

// readPage reads from page frame pfn, from offset off in it.
func (c *Compressed) readPage(b []byte, pfn, off uint64) (int, error) {
	if off == 0 && len(b) >= c.codec.size {
		// A whole page needs no copy.
		if page, ok := c.cache.get(pfn); ok {
			return copy(b, page), nil
		}
		return c.decodePage(b[:c.codec.size], pfn)
	}
	page, ok := c.cache.get(pfn)
	if !ok {
		page = make([]byte, c.codec.size)
		if _, err := c.decodePage(page, pfn); err != nil {
			return 0, err
		}
		c.cache.put(pfn, page)
	}
	return copy(b, page[off:]), nil
}

// decodePage unpacks a page into dst; its size or 0 is returned.
func (c *Compressed) decodePage(dst []byte, pfn uint64) (int, error) {
	if pfn < c.base {
		return 0, vmcore.ErrNotInDump
	}
	pfn -= c.base
	i := slices.IndexFunc(c.parts, func(p *part) bool { return pfn >= p.StartPage && pfn < p.EndPage })
	if i < 0 {
		return 0, vmcore.ErrNotInDump
	}
	p := c.parts[i]
	index, err := p.index(pfn)
	switch {
	case err == errNotStored && p.isMemory(pfn):
		return 0, ErrExcluded
	case err == errNotStored:
		return 0, vmcore.ErrNotInDump
	case err != nil:
		return 0, err
	}
	d, err := p.desc(index)
	if err != nil {
		return 0, err
	}
	src := make([]byte, d.size)
	if n, err := p.file.ReadAt(src, int64(d.offset)); n < len(src) {
		return 0, fmt.Errorf("read the page at %#x of the file: %w", d.offset, noEOF(err))
	}
	if err := c.codec.decode(dst, src, d.flags); err != nil {
		return 0, fmt.Errorf("page at %#x of the file: %w", d.offset, err)
	}
	return len(dst), nil
}

// cachedPages is how many unpacked pages are kept for reads of less than a page.
const cachedPages = 32

// pageCache keeps the pages used last. The pages in it are not changed.
type pageCache struct {
	mu    sync.Mutex
	pages []cachedPage // the one used last comes last
}

type cachedPage struct {
	pfn  uint64
	data []byte
}

func (c *pageCache) get(pfn uint64) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.pages) - 1; i >= 0; i-- {
		if p := c.pages[i]; p.pfn == pfn {
			copy(c.pages[i:], c.pages[i+1:])
			c.pages[len(c.pages)-1] = p
			return p.data, true
		}
	}
	return nil, false
}

func (c *pageCache) put(pfn uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pages) == cachedPages {
		copy(c.pages, c.pages[1:])
		c.pages = c.pages[:cachedPages-1]
	}
	c.pages = append(c.pages, cachedPage{pfn, data})
}
