package kdumpfile

import (
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// WriteELF writes the memory of d to w as an ELF core. Where pages are left out, a PT_LOAD has a p_filesz
// below its p_memsz, as makedumpfile -E has it. Readers take such memory as zeroes.
//
// Runs of few pages that are left out or zero don't make a PT_LOAD of their own: they are holes of the file that is
// at w. The program headers are limited to 65534, which every reader knows.
//
// When it can't go on, the error says why, and what is at w is a dump that can be read, as far as w
// still takes writes (a Flattener must: it gets the headers last), and has bit 0 of e_flags set as makedumpfile does it; that of
// an incomplete dump has it, too. w isn't closed.
func WriteELF(ctx context.Context, w io.WriterAt, d Dump, opt WriteOptions) (Written, error) {
	opt.Codec = CodecNone
	e := &elfWriter{w: w, opt: &opt, src: newSource(d, &opt)}
	err := e.write(ctx)
	if err != nil {
		e.done.Incomplete = true
		err = fmt.Errorf("kdumpfile: write an ELF dump: %w", err)
	}
	return e.done, err
}

// Limits of the program headers of a written dump.
const (
	maxSegments = 65000 // PT_LOADs that are planned for at most; e_phnum has 16 bits
	minRun      = 16    // pages left out that are worth a program header
)

// elfWriter writes one ELF dump.
type elfWriter struct {
	w     io.WriterAt
	opt   *WriteOptions
	src   *source
	class elf.Class
	loads []elfcore.Load // of the source
	notes []writtenNote
	done  Written

	gap      uint64 // pages left out one after the other that end a segment
	room     int    // program headers
	segments []segment
	data     sink
}

// segment is memory that is in the file.
type segment struct {
	first, last uint64 // page frames
	off         int64  // in the file
}

func (e *elfWriter) write(ctx context.Context) error {
	var err error
	if e.done.Pages, _, err = e.src.extent(); err != nil {
		return err
	}
	e.notes = notesOf(e.src.d)
	if err := e.findLoads(); err != nil {
		return err
	}
	if err := e.plan(ctx); err != nil {
		return err
	}
	ehdr, phdr := e.sizes()
	noteAt := int64(ehdr + e.room*phdr)
	size, _, _ := noteSizes(e.notes)
	// In a stream the headers come last, and once: of what a stream has twice, crash takes the first.
	if _, stream := e.w.(*Flattener); !stream {
		if err := e.writeHeader(true); err != nil {
			return err
		}
	}
	notes := e.sink(noteAt, 64<<10)
	if err := copyNotes(&notes, e.src.d.Platform().Order, e.notes); err != nil {
		return err
	}
	if err := notes.flush(); err != nil {
		return err
	}
	// The data doesn't begin at a page of the file: makedumpfile would map it, and fail in the holes.
	at := memmap.RoundUp(uint64(noteAt)+size, 64)
	if at%e.src.page == 0 {
		at += 64
	}
	e.data = e.sink(int64(at), 1<<20)
	err = e.src.pages(ctx, e.opt, &e.done, 0, ^uint64(0), e.writeBatch)
	if errData := e.data.flush(); err == nil {
		err = errData
	}
	for i := range e.segments {
		s := &e.segments[i] // of which some may not have been written
		s.last = min(s.last, s.first+uint64(max(e.data.at-s.off, 0))/e.src.page)
	}
	if errHead := e.writeHeader(err != nil || e.src.d.Incomplete()); err == nil {
		err = errHead
	}
	return err
}

func (e *elfWriter) sizes() (ehdr, phdr int) {
	if e.class == elf.ELFCLASS32 {
		return 52, 32
	}
	return 64, 56
}

// findLoads takes the PT_LOADs of the source, or makes one of each stretch of memory.
func (e *elfWriter) findLoads() error {
	if s, ok := undescribed(e.src.d).(*ELF); ok {
		e.class = s.Class
		e.loads = s.Loads
		return nil
	}
	e.class = elf.ELFCLASS64
	for addr := memmap.PhysAddr(0); ; {
		r, err := e.src.d.NextMemory(addr)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		addr = r.End
		if n := len(e.loads); n > 0 && uint64(e.loads[n-1].Phys)+e.loads[n-1].MemSize == uint64(r.Start) {
			e.loads[n-1].MemSize += r.Size()
			continue
		}
		if len(e.loads) == maxSegments {
			return fmt.Errorf("more than %d stretches of memory: %w", maxSegments, errors.ErrUnsupported)
		}
		e.loads = append(e.loads, elfcore.Load{Phys: r.Start, MemSize: r.Size(), Flags: elf.PF_R | elf.PF_W | elf.PF_X})
	}
	if n := len(e.loads); n > 0 && e.src.d.Platform().Word == 4 && uint64(e.loads[n-1].Phys)+e.loads[n-1].MemSize <= math.MaxUint32 {
		e.class = elf.ELFCLASS32
	}
	return nil
}

// plan asks the filter for all pages, and decides which runs of pages left out end a segment, so that there is
// room for the headers.
func (e *elfWriter) plan(ctx context.Context) error {
	var runs [65]uint64 // gaps by the number of bits of their length
	end := uint64(0)
	err := e.src.survey(ctx, e.opt, &e.done, func(w *window) error {
		e.done.Kept += onesCount(w.keep)
		for first, last := range runsOf(w.keep) {
			runs[bits.Len64(w.first+first-end)]++
			end = w.first + last
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A segment ends at each gap of at least e.gap pages, and at the end of each PT_LOAD. Where zero pages are left out, too, so
	// many gaps as fit are possible at worst. What two PT_LOADs have is counted twice.
	for e.gap = minRun; ; e.gap *= 2 {
		n := uint64(len(e.loads))
		for _, count := range runs[bits.Len64(e.gap):] {
			n += 2 * count
		}
		if e.opt.OmitZero {
			n += 2 * (e.done.Kept / (e.gap + 1))
		}
		if n += 1; n <= maxSegments || e.gap > 1<<50 {
			e.room = int(min(n, maxSegments)) + 1
			return nil
		}
	}
}

// writeBatch writes the pages that aren't left out as zeroes.
func (e *elfWriter) writeBatch(b *batch) error {
	data := b.data
	for i := 0; i < len(b.out); {
		if b.out[i].flags == pageZero {
			e.done.Zero++
			i++
			continue
		}
		n := 1
		for i+n < len(b.out) && b.out[i+n].flags != pageZero && b.pfns[i+n] == b.pfns[i]+uint64(n) {
			n++
		}
		size := n * int(e.src.page)
		if err := e.writeRun(data[:size], b.pfns[i]); err != nil {
			return err
		}
		data = data[size:]
		i += n
	}
	return nil
}

// writeRun writes pages that are next to each other.
func (e *elfWriter) writeRun(data []byte, pfn uint64) error {
	n := len(e.segments) - 1
	if n < 0 || pfn-e.segments[n].last >= e.gap {
		e.segments = append(e.segments, segment{pfn, pfn, e.data.pos()})
		n++
	}
	if skip := (pfn - e.segments[n].last) * e.src.page; skip > 0 {
		if err := e.skip(skip); err != nil {
			return err
		}
	}
	m, err := e.data.Write(data)
	e.segments[n].last = pfn + uint64(m)/e.src.page
	return err
}

// skip leaves a hole of n bytes.
func (e *elfWriter) skip(n uint64) error {
	if e.opt.Stale {
		return e.data.zeroes(n)
	}
	err := e.data.flush()
	e.data.at += int64(n)
	return err
}

func (e *elfWriter) sink(at int64, size int) sink {
	return sink{w: e.w, at: at, b: make([]byte, 0, size), end: &e.done.Bytes}
}

// writeHeader writes the ELF header and the program headers, as many segments as were begun.
func (e *elfWriter) writeHeader(incomplete bool) error {
	ehdr, phdr := e.sizes()
	notes, _, _ := noteSizes(e.notes)
	progs := []progHeader{{typ: elf.PT_NOTE, off: uint64(ehdr + e.room*phdr), filesz: notes, memsz: notes}}
	for _, l := range e.loads {
		progs = e.appendLoad(progs, l)
	}
	if len(progs) > e.room {
		return fmt.Errorf("%d program headers, planned were %d: %w", len(progs), e.room, errAnswers)
	}
	b := e.sink(0, 64<<10)
	b.Write(e.appendEhdr(nil, len(progs), incomplete))
	for _, p := range progs {
		if _, err := b.Write(e.appendPhdr(nil, p)); err != nil {
			return err
		}
	}
	return b.flush()
}

type progHeader struct {
	typ                              elf.ProgType
	flags                            elf.ProgFlag
	off, vaddr, paddr, filesz, memsz uint64
}

// appendLoad appends what there is of one PT_LOAD: the segments in it with the memory left out behind
// them, and what is left out before the first.
func (e *elfWriter) appendLoad(progs []progHeader, l elfcore.Load) []progHeader {
	start, end := uint64(l.Phys), uint64(l.Phys)+l.MemSize
	if l.MemSize == 0 || end < start {
		return progs
	}
	prog := func(off, start, filesz, end uint64) {
		p := progHeader{typ: elf.PT_LOAD, flags: l.Flags, off: off, vaddr: l.Virt, paddr: start, filesz: filesz, memsz: end - start}
		if l.Virt != 0 && l.Virt != math.MaxUint64 {
			p.vaddr += start - uint64(l.Phys)
		}
		progs = append(progs, p)
	}
	page := e.src.page
	i, _ := slices.BinarySearchFunc(e.segments, start, func(s segment, a uint64) int { return cmp.Compare(s.last*page, a+1) })
	if i == len(e.segments) || e.segments[i].first*page > start {
		first := end
		if i < len(e.segments) {
			first = min(first, e.segments[i].first*page)
		}
		prog(0, start, 0, first)
	}
	for ; i < len(e.segments) && e.segments[i].first*page < end; i++ {
		s := e.segments[i]
		from, to := max(s.first*page, start), min(s.last*page, end)
		next := end
		if i+1 < len(e.segments) {
			next = min(next, e.segments[i+1].first*page)
		}
		prog(uint64(s.off)+from-s.first*page, from, to-from, next)
	}
	return progs
}

func (e *elfWriter) appendEhdr(b []byte, phnum int, incomplete bool) []byte {
	p := e.src.d.Platform()
	o := p.Order.(binary.AppendByteOrder)
	data := elf.ELFDATA2LSB
	if p.Order == binary.ByteOrder(binary.BigEndian) {
		data = elf.ELFDATA2MSB
	}
	ehdr, phdr := e.sizes()
	b = append(b, elf.ELFMAG...)
	b = append(b, byte(e.class), byte(data), byte(elf.EV_CURRENT), 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = o.AppendUint16(o.AppendUint16(b, uint16(elf.ET_CORE)), uint16(p.Machine))
	b = o.AppendUint32(b, uint32(elf.EV_CURRENT))
	for _, v := range []uint64{0, uint64(ehdr), 0} { // e_entry, e_phoff, e_shoff
		b = e.appendWord(b, v)
	}
	flags := uint32(0)
	if s, ok := undescribed(e.src.d).(*ELF); ok {
		flags = s.Flags &^ 1
	}
	if incomplete {
		flags |= 1
	}
	b = o.AppendUint32(b, flags)
	for _, v := range []int{ehdr, phdr, phnum, 0, 0, 0} {
		b = o.AppendUint16(b, uint16(v))
	}
	return b
}

func (e *elfWriter) appendWord(b []byte, v uint64) []byte {
	o := e.src.d.Platform().Order.(binary.AppendByteOrder)
	if e.class == elf.ELFCLASS32 {
		return o.AppendUint32(b, uint32(v))
	}
	return o.AppendUint64(b, v)
}

func (e *elfWriter) appendPhdr(b []byte, p progHeader) []byte {
	o := e.src.d.Platform().Order.(binary.AppendByteOrder)
	b = o.AppendUint32(b, uint32(p.typ))
	if e.class == elf.ELFCLASS64 {
		b = o.AppendUint32(b, uint32(p.flags))
	}
	for _, v := range []uint64{p.off, p.vaddr, p.paddr, p.filesz, p.memsz} {
		b = e.appendWord(b, v)
	}
	if e.class == elf.ELFCLASS32 {
		b = o.AppendUint32(b, uint32(p.flags))
	}
	return e.appendWord(b, 0)
}
