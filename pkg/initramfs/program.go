package initramfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/kconfig"
)

// ErrNotStatic is wrapped by the error about an /init that needs a dynamic
// linker or shared libraries, which the initramfs does not have.
var ErrNotStatic = errors.New("not a static program")

// arch is what an architecture's programs look like.
type arch struct {
	machine elf.Machine
	class   elf.Class
	data    elf.Data
}

func (a arch) String() string {
	return fmt.Sprintf("%v, %v, %v", a.machine, a.class, a.data)
}

// archOptions tell the architecture by the kernel's configuration: all options
// of a line must be set. The first line that fits counts.
var archOptions = []struct {
	options []string
	arch    arch
}{
	{[]string{"X86_64"}, arch{elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB}},
	{[]string{"X86_32"}, arch{elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB}},
	{[]string{"ARM64", "CPU_BIG_ENDIAN"}, arch{elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2MSB}},
	{[]string{"ARM64"}, arch{elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB}},
	{[]string{"ARM", "CPU_BIG_ENDIAN"}, arch{elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2MSB}},
	{[]string{"ARM"}, arch{elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB}},
	{[]string{"RISCV", "64BIT"}, arch{elf.EM_RISCV, elf.ELFCLASS64, elf.ELFDATA2LSB}},
	{[]string{"PPC64", "CPU_LITTLE_ENDIAN"}, arch{elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB}},
	{[]string{"PPC64"}, arch{elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2MSB}},
	{[]string{"S390", "64BIT"}, arch{elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB}},
	{[]string{"LOONGARCH", "64BIT"}, arch{elf.EM_LOONGARCH, elf.ELFCLASS64, elf.ELFDATA2LSB}},
}

// configArch returns the architecture of a kernel, false if the configuration does
// not tell.
func configArch(c kconfig.Config) (arch, bool) {
next:
	for _, a := range archOptions {
		for _, o := range a.options {
			if !c.BuiltIn(o) {
				continue next
			}
		}
		return a.arch, true
	}
	return arch{}, false
}

// readProgram checks that r, of size bytes, is a program that runs without a
// dynamic linker, and returns what it is for. A static PIE is one: it has a
// dynamic section, but neither an interpreter nor libraries.
func readProgram(r io.ReaderAt, size int64) (arch, error) {
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return arch{}, fmt.Errorf("not an ELF program: %w", err)
	}
	a := arch{f.Machine, f.Class, f.Data}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return a, fmt.Errorf("not a program: ELF type %v", f.Type)
	}
	loads := false
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			return a, fmt.Errorf("%w: it has a PT_INTERP header: build it with CGO_ENABLED=0 or -static", ErrNotStatic)
		case elf.PT_LOAD:
			loads = true
			if p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off {
				return a, fmt.Errorf("truncated: a PT_LOAD at offset %#x has %#x bytes in the file; the file has %#x", p.Off, p.Filesz, size)
			}
		}
	}
	if !loads {
		return a, errors.New("not a program: no PT_LOAD header")
	}
	libs, err := f.ImportedLibraries()
	if err != nil && f.SectionByType(elf.SHT_DYNAMIC) != nil {
		return a, fmt.Errorf("dynamic section: %w", err)
	}
	if len(libs) > 0 {
		return a, fmt.Errorf("%w: it needs %v", ErrNotStatic, libs)
	}
	return a, nil
}
