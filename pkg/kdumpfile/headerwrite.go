package kdumpfile

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// layoutOf is how the compiler of a machine lays out the headers.
func layoutOf(p vmcore.Platform) layout {
	all := layouts()
	if p.Word == 8 {
		return all[0]
	}
	l := all[1]
	if !traitsOf(p.Machine).packed {
		l.align8 = 8
	}
	return l
}

// unameOf finds what uname(2) says on the crashed machine: a compressed dump has it in its header, others in
// the memory of the kernel. Where neither is known, VMCOREINFO has the release.
func unameOf(d Dump) Uname {
	if c, ok := undescribed(d).(*Compressed); ok {
		return c.Header.Uname
	}
	u := Uname{Sysname: "Linux", Machine: machineName(d.Platform())}
	info, err := d.VMCoreInfo()
	if err != nil {
		return u
	}
	u.Release = info.OSRelease
	addr, ok := info.Symbol("init_uts_ns")
	if !ok {
		return u
	}
	at := []uint64{0, 4} // struct new_utsname came first since 5.11, after the count of its users before
	if off, ok := info.Offset("uts_namespace.name"); ok {
		at = []uint64{off}
	}
	for _, off := range at {
		var b [6 * utsField]byte
		if n, _ := d.ReadVirtAt(b[:], addr+off); n < len(b) {
			continue
		}
		if found := decodeUname(b[:]); found.Sysname == "Linux" && (u.Release == "" || found.Release == u.Release) {
			return found
		}
	}
	return u
}

// physBaseOf is the phys_base of the sub header: where the kernel (x86_64) or the memory (others) begins.
func physBaseOf(d Dump) uint64 {
	if c, ok := undescribed(d).(*Compressed); ok {
		return c.Header.PhysBase
	}
	p := d.Platform()
	info, err := d.VMCoreInfo()
	if err == nil {
		for _, name := range []string{"phys_base", "PHYS_OFFSET", "phys_ram_base"} {
			if n, ok := info.Number(name); ok {
				return uint64(n)
			}
		}
	}
	e, ok := undescribed(d).(*ELF)
	if !ok {
		return 0
	}
	t := traitsOf(p.Machine)
	for _, l := range e.Loads {
		if t.text != 0 && l.Virt >= t.text && uint64(l.Phys) != math.MaxUint64 {
			return uint64(l.Phys) - (l.Virt - t.text)
		}
	}
	if first, ok := e.memory.Next(0); ok && t.memoryBase {
		return uint64(first.Start)
	}
	return 0
}

// cpusOf counts the CPUs whose registers the notes have, at least 1: readers don't accept less.
func cpusOf(d Dump) int {
	n := 0
	for _, note := range d.Notes() {
		if note.Name == "CORE" && note.Type == elf.NT_PRSTATUS {
			n++
		}
	}
	if c, ok := undescribed(d).(*Compressed); ok && n == 0 {
		n = c.Header.CPUs
	}
	return max(n, 1)
}

// appendHeader appends the disk_dump_header to b.
func (h *Header) appendHeader(b []byte, l layout) []byte {
	o := h.platform.Order.(binary.AppendByteOrder)
	start := len(b)
	b = o.AppendUint32(append(b, kdumpSignature...), uint32(h.Version))
	u := &h.Uname
	for _, s := range []string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine, u.Domainname} {
		b = append(b, s[:min(len(s), utsField-1)]...)
		b = append(b, make([]byte, utsField-min(len(s), utsField-1))...)
	}
	b = append(b, make([]byte, start+l.status-2*l.time-len(b))...)
	usec := h.Time.Nanosecond() / 1000
	if l.time == 8 {
		b = o.AppendUint64(o.AppendUint64(b, uint64(h.Time.Unix())), uint64(usec))
	} else {
		b = o.AppendUint32(o.AppendUint32(b, uint32(h.Time.Unix())), uint32(usec))
	}
	for _, v := range []uint32{h.Status, h.BlockSize, uint32(h.subBlocks), uint32(h.bitmapBlocks), uint32(min(h.Pages, math.MaxUint32)),
		0, 0, 0, 0, uint32(h.CPUs)} {
		b = o.AppendUint32(b, v)
	}
	return b
}

// appendSub appends the kdump_sub_header to b.
func (h *Header) appendSub(b []byte, l layout) []byte {
	o := h.platform.Order.(binary.AppendByteOrder)
	start := len(b)
	align := func(n int) {
		for (len(b)-start)%n != 0 {
			b = append(b, 0)
		}
	}
	long := func(v uint64) {
		if l.word == 4 {
			b = o.AppendUint32(b, uint32(min(v, math.MaxUint32)))
			return
		}
		align(8)
		b = o.AppendUint64(b, v)
	}
	long64 := func(v uint64) {
		align(l.align8)
		b = o.AppendUint64(b, v)
	}
	split, first, last := uint32(0), uint64(0), uint64(0)
	if h.Split {
		split, first, last = 1, h.StartPage, h.EndPage
	}
	long(h.PhysBase)
	b = o.AppendUint32(o.AppendUint32(b, uint32(h.DumpLevel)), split)
	long(min(first, math.MaxUint32))
	long(min(last, math.MaxUint32))
	long64(h.infoOffset)
	long(h.infoSize)
	long64(h.noteOffset)
	long(h.NotesSize)
	long64(0) // eraseinfo
	long(0)
	long64(first)
	long64(last)
	long64(h.Pages)
	align(l.align8)
	return b
}

// newHeader makes the header of a dump of d. What depends on its pages is not filled in.
func newHeader(d Dump, opt *WriteOptions, page uint64, now time.Time) *Header {
	h := &Header{Version: maxVersion, Uname: unameOf(d), Time: now, BlockSize: uint32(page),
		Status: opt.Codec.flags() | statusIncomplete, PhysBase: physBaseOf(d), DumpLevel: opt.DumpLevel, CPUs: cpusOf(d), platform: d.Platform()}
	l := layoutOf(h.platform)
	sub := uint64(len(h.appendSub(nil, l)))
	size, info, infoSize := noteSizes(notesOf(d))
	if size > 0 {
		h.noteOffset, h.NotesSize = page+sub, size
	}
	if infoSize > 0 {
		h.infoOffset, h.infoSize = page+sub+info, infoSize
	}
	h.subBlocks = (sub + size + page - 1) / page
	return h
}
