package kmod

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Modinfo is the contents of a module's .modinfo section
// (include/linux/module.h, MODULE_INFO; scripts/mod/modpost.c, add_depends).
type Modinfo struct {
	// Name is the module's name, normalised; empty before Linux 4.13.
	Name string
	// Vermagic is the kernel the module was built for: its release, a space,
	// and the properties that must agree.
	Vermagic string
	// Depends are the modules whose symbols this one uses, normalised, in the
	// order given. They are direct dependencies only.
	Depends []string
	// Aliases are the names and patterns the module answers to.
	Aliases []string
	// Soft are the names that should be loaded before and after, when there
	// is such a module or alias.
	Soft Softdep
	// Weak are modules this one may ask for while it runs.
	Weak []string
	// Firmware are the files it may ask for, below /lib/firmware; they may be patterns.
	Firmware []string
	// Signed says that a signature is appended to the module.
	Signed bool
	// Machine, Class and Order are those of the ELF header.
	Machine elf.Machine
	Class   elf.Class
	Order   elf.Data
}

// moduleSigString ends a signed module (scripts/sign-file.c, magic_number).
const moduleSigString = "~Module signature appended~\n"

// ReadModinfo reads an unpacked module of size bytes.
func ReadModinfo(r io.ReaderAt, size int64) (*Modinfo, error) {
	// debug/elf bounds what it allocates by what it can read; the section
	// reader keeps a wrong offset from reading past size.
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("not a kernel module: %w", err)
	}
	if f.Type != elf.ET_REL {
		return nil, fmt.Errorf("not a kernel module: ELF type %v; want ET_REL", f.Type)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("not a kernel module: no .modinfo section")
	}
	if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil, fmt.Errorf("section .modinfo: type %v, flags %v; want plain PROGBITS", s.Type, s.Flags)
	}
	if s.Offset > uint64(size) || s.FileSize > uint64(size)-s.Offset {
		return nil, fmt.Errorf("section .modinfo: offset %#x, size %#x: past the end of the file at %#x", s.Offset, s.FileSize, size)
	}
	b, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("section .modinfo: %w", err)
	}
	mi := ParseModinfo(b)
	mi.Machine, mi.Class, mi.Order = f.Machine, f.Class, f.Data
	if n := int64(len(moduleSigString)); size >= n {
		tail := make([]byte, n)
		if _, err := r.ReadAt(tail, size-n); err == nil {
			mi.Signed = string(tail) == moduleSigString
		}
	}
	return mi, nil
}

// ParseModinfo reads the contents of a .modinfo section: NUL-terminated
// key=value strings, padded with further NULs. Unknown keys are skipped, and so is
// what kmod and the kernel ignore: empty values, entries without '=', invalid names. The fields that come from the ELF header stay empty.
func ParseModinfo(b []byte) *Modinfo {
	mi := &Modinfo{}
	for _, entry := range entries(b) {
		key, value, _ := strings.Cut(entry, "=")
		mi.set(key, value)
	}
	return mi
}

func (mi *Modinfo) set(key, value string) {
	switch key {
	case "name":
		if validName(value) && mi.Name == "" {
			mi.Name = NormalizeName(value)
		}
	case "vermagic":
		mi.Vermagic = value
	case "depends":
		for _, d := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if validName(d) {
				mi.Depends = append(mi.Depends, NormalizeName(d))
			}
		}
	case "alias":
		if value != "" {
			mi.Aliases = append(mi.Aliases, value)
		}
	case "firmware":
		if value != "" {
			mi.Firmware = append(mi.Firmware, value)
		}
	case "softdep":
		soft := parseSoft(strings.Fields(value))
		mi.Soft.Pre = append(mi.Soft.Pre, soft.Pre...)
		mi.Soft.Post = append(mi.Soft.Post, soft.Post...)
	case "weakdep":
		mi.Weak = append(mi.Weak, strings.Fields(value)...)
	}
}

// CheckKernel returns an error if a kernel of the given release (uname -r)
// would refuse the module for its vermagic (kernel/module/version.c,
// same_magic). Another release is only accepted when symbols are compared by
// their checksums (CONFIG_MODVERSIONS), as distributions with a stable kernel
// ABI do.
func (mi *Modinfo) CheckKernel(version string) error {
	release, rest, _ := strings.Cut(mi.Vermagic, " ")
	if mi.Vermagic == "" || release == version {
		return nil
	}
	for _, w := range strings.Fields(rest) {
		if w == "modversions" {
			return nil
		}
	}
	return fmt.Errorf("built for kernel %q; want %q", release, version)
}

// entries yields the strings that aren't empty, each with its offset in bytes. The
// last one may lack its NUL.
func entries(b []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for pos := 0; pos < len(b); {
			n := bytes.IndexByte(b[pos:], 0)
			if n < 0 {
				n = len(b) - pos
			}
			if n > 0 && !yield(pos, string(b[pos:pos+n])) {
				return
			}
			pos += n + 1
		}
	}
}
