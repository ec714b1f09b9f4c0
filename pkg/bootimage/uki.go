package bootimage

import (
	"fmt"
	"io"
	"strings"
)

// UKISection is a section of a unified kernel image.
type UKISection struct {
	Name        string
	VirtualSize uint32 // bytes in memory, may be above Size (.linux with its bss)
	Size        uint32 // bytes in the file, padded to the file alignment
	Offset      uint32 // bytes from the start of the file
}

// DataSize returns the bytes that a section really has: its virtual size, but
// not more than the file holds.
func (s UKISection) DataSize() int64 {
	if s.VirtualSize == 0 {
		return int64(s.Size)
	}
	return int64(min(s.VirtualSize, s.Size))
}

// UKI is a unified kernel image (UAPI Group specification UKI; systemd-stub(7)).
// Of an image with several profiles it is what boots when none is named: the
// sections of the first profile, and those of the base that it does not
// replace.
type UKI struct {
	Sections []UKISection // in the order of the file, the chosen ones only
	Profiles int          // .profile sections in the file
	Uname    string       // section .uname, the kernel release; "" when there is none
	// OSRelease is the text of section .osrel, in the format of os-release(5).
	OSRelease string

	cmdline string
	src     source
	limit   int64 // of what Initrd reads, bytes
}

const (
	// maxUKIText bounds the sections that are text: twice the longest
	// command line of any architecture, and more.
	maxUKIText = 64 << 10
	// initrdAlign is how archives in one initrd are aligned
	// (Documentation/driver-api/early-userspace/buffer-format.rst).
	initrdAlign = 4
)

// wrapUKI returns the kernel in the section .linux of pe.
func wrapUKI(src source, pe *peFile) error {
	u := &UKI{src: src}
	u.choose(pe.sections)
	return &wrapped{name: "uki", uki: u, open: func(int64) (source, error) {
		for _, s := range u.Sections {
			if int64(s.Offset)+s.DataSize() > src.size {
				return source{}, fmt.Errorf("%w: %d bytes, section %s has %#x bytes at offset %#x", ErrTruncated, src.size, printable(s.Name), s.DataSize(), s.Offset)
			}
		}
		s, ok := u.find(".linux")
		if !ok {
			return source{}, fmt.Errorf("%w: section .linux is in no profile that boots by default", ErrNotKernel)
		}
		if s.DataSize() == 0 {
			return source{}, fmt.Errorf("%w: section .linux is empty", ErrNotKernel)
		}
		return src.section(int64(s.Offset), s.DataSize()), u.readText()
	}}
}

// choose takes the sections of the base, up to the first .profile, and those of
// the first profile in their place.
func (u *UKI) choose(all []UKISection) {
	var base, first []UKISection
	for _, s := range all {
		if s.Name == ".profile" {
			u.Profiles++
		}
		switch u.Profiles {
		case 0:
			base = append(base, s)
		case 1:
			first = append(first, s)
		}
	}
	own := map[string]bool{}
	for _, s := range first {
		own[s.Name] = true
	}
	for _, s := range base {
		if !own[s.Name] {
			u.Sections = append(u.Sections, s)
		}
	}
	u.Sections = append(u.Sections, first...)
}

func (u *UKI) find(name string) (UKISection, bool) {
	for _, s := range u.Sections {
		if s.Name == name {
			return s, true
		}
	}
	return UKISection{}, false
}

// Section returns a reader over the first section of that name, such as
// ".dtb"; ok is false when there is none.
func (u *UKI) Section(name string) (r *io.SectionReader, ok bool) {
	s, ok := u.find(name)
	if !ok {
		return nil, false
	}
	return io.NewSectionReader(u.src.r, int64(s.Offset), s.DataSize()), true
}

func (u *UKI) readText() error {
	for _, t := range []struct {
		section string
		to      *string
	}{{".cmdline", &u.cmdline}, {".uname", &u.Uname}, {".osrel", &u.OSRelease}} {
		s, ok := u.find(t.section)
		if !ok {
			continue
		}
		if s.DataSize() > maxUKIText {
			return fmt.Errorf("section %s has %d bytes, at most %d are read", s.Name, s.DataSize(), maxUKIText)
		}
		b, err := u.src.at(int64(s.Offset), int(s.DataSize()))
		if err != nil {
			return fmt.Errorf("section %s: %w", s.Name, err)
		}
		*t.to = strings.TrimSpace(cString(b))
	}
	// As systemd-stub does (src/boot/util.c, mangle_stub_cmdline): a command
	// line is one line.
	u.cmdline = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, u.cmdline)
	return nil
}

// setUKI makes u the UKI of the image.
func (img *Image) setUKI(u *UKI) error {
	if img.UKI != nil {
		return fmt.Errorf("%w: a UKI inside a UKI", ErrNotKernel)
	}
	img.UKI, img.Cmdline = u, u.cmdline
	return nil
}

// Initrd reads the initrd that the UKI carries, nil when there is none or the
// image is no UKI: microcode first (section .ucode), then .initrd, as
// systemd-stub hands them over.
func (img *Image) Initrd() ([]byte, error) {
	if img.UKI == nil {
		return nil, nil
	}
	size := img.InitrdSize()
	if size > img.UKI.limit {
		return nil, fmt.Errorf("uki: %w: an initrd of %d bytes, the limit is %d", ErrTooLarge, size, img.UKI.limit)
	}
	var all []byte
	for _, name := range []string{".ucode", ".initrd"} {
		s, ok := img.UKI.find(name)
		if !ok || s.DataSize() == 0 {
			continue
		}
		b, err := img.UKI.src.section(int64(s.Offset), s.DataSize()).bytes(img.UKI.limit)
		if err != nil {
			return nil, fmt.Errorf("uki: section %s: %w", name, err)
		}
		if all == nil {
			all = b // the usual case: one section, not copied
			continue
		}
		joined := make([]byte, size)
		copy(joined, all)
		copy(joined[size-int64(len(b)):], b)
		all = joined
	}
	return all, nil
}

// InitrdSize returns the bytes that Initrd would read.
func (img *Image) InitrdSize() int64 {
	if img.UKI == nil {
		return 0
	}
	var n int64
	for _, name := range []string{".ucode", ".initrd"} {
		if s, ok := img.UKI.find(name); ok && s.DataSize() > 0 {
			n = (n+initrdAlign-1)/initrdAlign*initrdAlign + s.DataSize()
		}
	}
	return n
}
