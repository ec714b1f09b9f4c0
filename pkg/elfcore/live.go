package elfcore

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Live is what the ELF headers of /proc/kcore say (fs/proc/kcore.c).
type Live struct {
	Machine elf.Machine
	Class   elf.Class
	Order   binary.ByteOrder

	// Loads are the PT_LOADs in their order. Phys is ^uint64(0) where the kernel gives
	// no physical address; kernels before 4.11 give 0 in all of them.
	Loads []Load
	Notes vmcore.Extent // of the notes, size 0 without any
}

// ReadLive reads the ELF header and the program headers of r, which has the form of
// /proc/kcore, in bounded pieces and nothing else.
func ReadLive(r io.ReaderAt) (*Live, error) {
	var b [ehdrSize64]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("ELF header: %w", noEOF(err))
	}
	h, phnum, err := parseEhdr(b[:])
	if err != nil {
		return nil, err
	}
	l := &Live{Machine: h.Machine, Class: h.Class, Order: h.Order}
	ehdr, phdr := headerSizes(h.Class)
	first := make([]byte, phdr)
	if _, err := r.ReadAt(first, int64(ehdr)); err != nil {
		return nil, fmt.Errorf("program header 0: %w", noEOF(err))
	}
	total := trueCount(phnum, ehdr, phdr, decodeProg(first, h.Class, h.Order))
	if total > maxProgs {
		return nil, fmt.Errorf("%d program headers, more than %d", total, maxProgs)
	}
	const batch = 1024
	buf := make([]byte, min(batch, total)*phdr)
	for i := 0; i < total; i += batch {
		n := min(batch, total-i)
		if _, err := r.ReadAt(buf[:n*phdr], int64(ehdr+i*phdr)); err != nil {
			return nil, fmt.Errorf("program headers %d to %d of %d: %w", i, i+n-1, total, noEOF(err))
		}
		for j := range n {
			l.add(decodeProg(buf[j*phdr:], h.Class, h.Order))
		}
	}
	return l, nil
}

// trueCount returns the number of program headers of a kcore. The kernel
// stores it in 16 bits whatever it is; but the notes, which the first header
// points to, follow the headers at once.
func trueCount(phnum, ehdr, phdr int, first progHeader) int {
	room := first.off - uint64(ehdr)
	if elf.ProgType(first.typ) != elf.PT_NOTE || first.off < uint64(ehdr) || room%uint64(phdr) != 0 || room > math.MaxInt32 {
		return phnum
	}
	if n := int(room / uint64(phdr)); n > phnum && n&math.MaxUint16 == phnum {
		return n
	}
	return phnum
}

func (l *Live) add(p progHeader) {
	switch elf.ProgType(p.typ) {
	case elf.PT_NOTE:
		if p.off <= math.MaxInt64 && p.filesz <= math.MaxInt64-p.off {
			l.Notes = vmcore.Extent{Offset: int64(p.off), Size: int64(p.filesz)}
		}
	case elf.PT_LOAD:
		if l.Class == elf.ELFCLASS32 && p.paddr == math.MaxUint32 {
			p.paddr = math.MaxUint64
		}
		l.Loads = append(l.Loads, newLoad(p))
	}
}
