package capture

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gokexec/gokexec/internal/mapread"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// VMCorePath is the old memory as the capture kernel shows it.
const VMCorePath = "/proc/vmcore"

// Errors about the memory that is to be saved.
var (
	// ErrNoVMCore means that there is no old memory: this isn't a capture kernel.
	ErrNoVMCore = errors.New("no memory of a crashed kernel")
	// ErrNotCore means that the file is no ELF core.
	ErrNotCore = elfcore.ErrNotCore
)

// source is the old memory.
type source struct {
	io.ReaderAt
	size     int64
	pageSize int // bytes; what the kernel gives up at once
	file     File
	unmap    func() error   // nil: nothing is mapped
	dump     kdumpfile.Dump // nil when its headers can't be understood
	core     *elfcore.File  // what dump reads; nil likewise
	damage   []error        // what is wrong with it, although it can be saved
}

// openSource opens a vmcore. Headers that elfcore can't follow are damage, not
// an error, as long as they are those of an ELF core: it can be saved as it is.
func openSource(sys Files, name string) (*source, error) {
	f, err := sys.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) && name == VMCorePath {
		return nil, fmt.Errorf("%w: no %s: this kernel was not started by a crash, or not given a usable elfcorehdr=", ErrNoVMCore, name)
	}
	if err != nil {
		return nil, err
	}
	s := &source{ReaderAt: f, pageSize: os.Getpagesize(), file: f}
	if m, ok := f.(mappable); ok && name == VMCorePath {
		if s.ReaderAt, s.unmap, err = m.Map(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
		}
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.close())
	}
	return s, nil
}

// mappable is a file that can be read through mappings.
type mappable interface {
	Map() (r io.ReaderAt, unmap func() error, err error)
}

func (s *source) close() error {
	var err error
	if s.unmap != nil {
		err = s.unmap()
	}
	return errors.Join(err, s.file.Close())
}

func (s *source) open() (err error) {
	if s.size, err = s.file.Size(); err != nil {
		return err
	}
	var head [18]byte
	if s.size < int64(len(head)) {
		return fmt.Errorf("%w: it has %d bytes", ErrNotCore, s.size)
	}
	if n, err := s.ReadAt(head[:], 0); n < len(head) {
		return fmt.Errorf("read the ELF header: %w", err)
	}
	if !isCore(head[:]) {
		return fmt.Errorf("%w: it begins with % x", ErrNotCore, head)
	}
	var file kdumpfile.File = io.NewSectionReader(mapread.Pages(s, s.pageSize), 0, s.size)
	if m, ok := s.ReaderAt.(kdumpfile.Mapped); ok {
		file = m // which reads page by page itself where it has to
	}
	d, err := kdumpfile.Open(file)
	if core, ok := d.(*kdumpfile.ELF); ok {
		s.dump, s.core = core, core.File
		s.damage = append(s.damage, s.core.Damage...)
		return nil
	}
	s.damage = append(s.damage, fmt.Errorf("headers: %w", err))
	return nil
}

// most is more than any dump of it can take, in bytes: all pages, their descriptors and two bitmaps.
func (s *source) most() int64 {
	const slack = 4 << 20
	if s.core == nil {
		return s.size
	}
	highest := uint64(0)
	for _, l := range s.core.Loads {
		highest = max(highest, uint64(l.Phys)+l.MemSize)
	}
	return s.size + s.size/64 + int64(highest/4096/8*2) + slack
}

// isCore looks at e_ident and e_type, in either byte order.
func isCore(head []byte) bool {
	return bytes.HasPrefix(head, []byte(elf.ELFMAG)) &&
		(elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2LSB && head[16] == byte(elf.ET_CORE) && head[17] == 0 ||
			elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB && head[16] == 0 && head[17] == byte(elf.ET_CORE))
}

// cut reports whether the source itself is only a part of a dump.
func (s *source) cut() bool { return s.core != nil && s.core.Incomplete() }

// phys is the physical address of the byte at a file offset.
func (s *source) phys(offset int64) (memmap.PhysAddr, bool) {
	if s.core == nil {
		return 0, false
	}
	for _, l := range s.core.Loads {
		if at := uint64(offset); at >= l.Offset && at-l.Offset < l.FileSize {
			return l.Phys + memmap.PhysAddr(at-l.Offset), true
		}
	}
	return 0, false
}

// Bounds of a believable time of a crash. A machine without a clock says 1970.
var (
	firstCrashTime = time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)
	lastCrashTime  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// describe fills in what the dump says about the crashed kernel.
func (s *source) describe(r *Result) {
	r.VMCore.SizeBytes = s.size
	for _, d := range s.damage {
		r.addError(fmt.Errorf("vmcore: %w", d))
	}
	if s.core == nil {
		return
	}
	r.Machine = s.core.Machine.String()
	info, err := s.core.VMCoreInfo()
	if err != nil {
		r.addError(fmt.Errorf("vmcoreinfo: %w", err))
		return
	}
	r.KernelRelease = info.OSRelease
	if id, ok := info.Lookup("BUILD-ID"); ok && isBuildID(id) {
		r.BuildID = id
	}
	if t := info.CrashTime.UTC(); t.After(firstCrashTime) && t.Before(lastCrashTime) {
		r.CrashTime = &t
	}
}

// isBuildID tells whether a text is the GNU build ID of a kernel, in hexadecimal (kernel/vmcore_info.c).
func isBuildID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) > 0 && len(b) <= 64
}
