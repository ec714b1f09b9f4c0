package printk

import (
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ring is the lockless log of Linux 5.10 and later, kernel/printk/printk_ringbuffer.[ch]:
// an array of descriptors and one of printk_info, both indexed by the low bits of a descriptor's
// ID, and a ring of text blocks that descriptors refer to by logical position.
type ring struct {
	*vmcore.Reader
	ringLayout

	descs, infos, data uint64 // virtual addresses
	count              uint64 // descriptors, a power of 2
	size               uint64 // bytes of text, a power of 2
	head, tail         uint64 // IDs of the newest and the oldest descriptor
}

// ringLayout has sizes and offsets in bytes.
type ringLayout struct {
	descSize, stateVar, begin, next          uint64
	infoSize, seq, tsNsec, textLen, callerID uint64
	hasCaller, hasLevel                      bool
	devInfo, devInfoSize                     uint64 // devInfoSize 0 when not exported
	subsystem, subsystemLen                  uint64 // in devInfo
	device, deviceLen                        uint64 // in devInfo
}

// Bounds on the logarithms: with the largest buffer the kernel makes one descriptor
// per 32 bytes of it (PRB_AVGBITS).
const (
	maxCountBits = 26
	maxSizeBits  = 31
)

// States of a descriptor: the two high bits of its state_var. The rest is the ID.
const (
	stateReserved  = 0 // being written
	stateCommitted = 1 // complete, but may be reopened to be continued
	stateFinalized = 2 // complete
	stateReusable  = 3 // given up, or never used
)

// Logical positions of records without a text block: an odd number, which no block has.
const (
	failedLpos    = 1 // there was no room
	emptyLineLpos = 3 // there is no text; once called NO_LPOS
)

func newRing(m *vmcore.Reader) (*ring, error) {
	r := &ring{Reader: m}
	l := &vmcore.Layout{Info: m.Info}
	prbPtr := l.Symbol("prb")
	descRing, dataRing := l.Offset("printk_ringbuffer.desc_ring"), l.Offset("printk_ringbuffer.text_data_ring")
	countBits, sizeBits := l.Offset("prb_desc_ring.count_bits"), l.Offset("prb_data_ring.size_bits")
	descs, infos := l.Offset("prb_desc_ring.descs"), l.Offset("prb_desc_ring.infos")
	headID, tailID := l.Offset("prb_desc_ring.head_id"), l.Offset("prb_desc_ring.tail_id")
	data := l.Offset("prb_data_ring.data")
	counter := l.Offset("atomic_long_t.counter")
	r.readLayout(l, counter)
	if l.Err != nil {
		return nil, l.Err
	}

	prb, err := m.Ulong(prbPtr, "prb")
	if err != nil {
		return nil, err
	}
	descRing += prb
	dataRing += prb
	cb, err1 := m.Uint32(descRing+countBits, "prb desc_ring.count_bits")
	sb, err2 := m.Uint32(dataRing+sizeBits, "prb text_data_ring.size_bits")
	r.descs, err = m.Ulong(descRing+descs, "prb desc_ring.descs")
	var err3, err4, err5, err6 error
	r.infos, err3 = m.Ulong(descRing+infos, "prb desc_ring.infos")
	r.data, err4 = m.Ulong(dataRing+data, "prb text_data_ring.data")
	r.head, err5 = m.Ulong(descRing+headID+counter, "prb desc_ring.head_id")
	r.tail, err6 = m.Ulong(descRing+tailID+counter, "prb desc_ring.tail_id")
	for _, e := range []error{err1, err2, err, err3, err4, err5, err6} {
		if e != nil {
			return nil, e
		}
	}
	if cb < 1 || cb > maxCountBits {
		return nil, fmt.Errorf("prb desc_ring.count_bits is %d, not in 1 to %d", cb, maxCountBits)
	}
	if sb < 4 || sb > maxSizeBits {
		return nil, fmt.Errorf("prb text_data_ring.size_bits is %d, not in 4 to %d", sb, maxSizeBits)
	}
	r.count, r.size = 1<<cb, 1<<sb
	r.head &= r.idMask()
	r.tail &= r.idMask()
	return r, nil
}

// readLayout takes the members of prb_desc and printk_info from VMCOREINFO.
func (r *ring) readLayout(l *vmcore.Layout, counter uint64) {
	r.descSize = l.Size("prb_desc")
	r.stateVar = l.Offset("prb_desc.state_var") + counter
	lpos := l.Offset("prb_desc.text_blk_lpos")
	r.begin, r.next = lpos+l.Offset("prb_data_blk_lpos.begin"), lpos+l.Offset("prb_data_blk_lpos.next")
	word := uint64(r.Word)
	l.Fits("prb_desc.state_var", r.stateVar, word, r.descSize)
	l.Fits("prb_desc.text_blk_lpos.begin", r.begin, word, r.descSize)
	l.Fits("prb_desc.text_blk_lpos.next", r.next, word, r.descSize)

	r.infoSize = l.Size("printk_info")
	r.seq, r.tsNsec = l.Offset("printk_info.seq"), l.Offset("printk_info.ts_nsec")
	r.textLen = l.Offset("printk_info.text_len")
	l.Fits("printk_info.seq", r.seq, 8, r.infoSize)
	l.Fits("printk_info.ts_nsec", r.tsNsec, 8, r.infoSize)
	l.Fits("printk_info.text_len", r.textLen, 2, r.infoSize)

	// The rest is optional: a log without it is still read.
	r.callerID, r.hasCaller = r.Info.Offset("printk_info.caller_id")
	r.hasCaller = r.hasCaller && r.callerID <= r.infoSize && r.infoSize-r.callerID >= 4
	// facility, and flags and level as bit fields, fill the bytes between text_len and
	// caller_id; they are not exported.
	r.hasLevel = r.hasCaller && r.callerID == r.textLen+4

	size, ok1 := r.Info.Size("dev_printk_info")
	off, ok2 := r.Info.Offset("printk_info.dev_info")
	if !ok1 || !ok2 || off > r.infoSize || size > r.infoSize-off {
		return
	}
	member := func(name, length string) (o, n uint64) {
		o, ok1 := r.Info.Offset("dev_printk_info." + name)
		n, ok2 := r.Info.Length(length)
		if !ok1 || !ok2 || o > size || n > size-o {
			return 0, 0
		}
		return o, n
	}
	r.devInfo, r.devInfoSize = off, size
	r.subsystem, r.subsystemLen = member("subsystem", "printk_info_subsystem")
	r.device, r.deviceLen = member("device", "printk_info_device")
}

// ulongMask keeps what fits an unsigned long of the crashed machine.
func (r *ring) ulongMask() uint64 { return ^uint64(0) >> (64 - 8*r.Word) }

func (r *ring) idMask() uint64 { return r.ulongMask() >> 2 }

// reader is the state of one pass over the ring.
type reader struct {
	*ring
	st                *Stats
	descs, infos, txt *window
	last              Record // of which strings are used again
	bad               int    // descriptors in a row that can't be read, or are others'
}

const (
	structWindow = 16 << 10
	textWindow   = 96 << 10 // more than the longest text: text_len is 16 bits

	// After so many bad descriptors in a row the pointer to them must be garbage, or their number.
	maxBad = 1 << 16
)

func (r *ring) records(st *Stats, yield func(Record) bool) {
	rd := &reader{ring: r, st: st,
		descs: newWindow(r.Memory, structWindow), infos: newWindow(r.Memory, structWindow),
		txt: newWindow(r.Memory, textWindow)}
	n := (r.head-r.tail)&r.idMask() + 1
	id := r.tail
	if n > r.count {
		st.damage("prb: tail_id %#x and head_id %#x are more than %d records apart", r.tail, r.head, r.count)
		n, id = r.count, (r.head-r.count+1)&r.idMask()
	}
	for ; n > 0; n-- {
		if rd.bad > maxBad {
			st.Damaged += n
			if st.Unread > 0 {
				st.Unread += n
			}
			return
		}
		if rec, ok := rd.record(id); ok && !yield(rec) {
			return
		}
		id = (id + 1) & r.idMask()
	}
}

// record reads the record with the given ID. It returns false if there is none to show.
func (r *reader) record(id uint64) (rec Record, ok bool) {
	index := id & (r.count - 1)
	at := index * r.descSize
	desc, err := r.descs.bytes(r.ring.descs+at, int(r.descSize), r.count*r.descSize-at)
	if err != nil {
		r.bad++
		r.st.damage("descriptor %#x: %w", id, err)
		return rec, false
	}
	sv := r.Decode(desc[r.stateVar:])
	if got := sv & r.idMask(); got != id {
		// desc_reserve advances head_id first and then takes the descriptor over
		// from the record of the wrap before. On the first wrap, which begins
		// at ID -count (DESC0_ID), it is all zero.
		firstWrap := id > r.idMask()-r.count
		if sv == 0 && firstWrap || got == (id-r.count)&r.idMask() {
			r.st.Reserved++
		} else {
			r.st.damage("descriptor %#x has ID %#x", id, got)
		}
		r.bad++
		return rec, false
	}
	r.bad = 0
	switch sv >> (8*r.Word - 2) {
	case stateReserved:
		r.st.Reserved++
		return rec, false
	case stateReusable:
		// The head and tail of a ring not yet used are in this state.
		r.st.Reusable++
		return rec, false
	}
	begin, next := r.Decode(desc[r.begin:]), r.Decode(desc[r.next:])

	at = index * r.infoSize
	info, err := r.infos.bytes(r.ring.infos+at, int(r.infoSize), r.count*r.infoSize-at)
	if err != nil {
		r.st.damage("printk_info of descriptor %#x: %w", id, err)
		return rec, false
	}
	rec = r.decodeInfo(info, &r.last)
	r.last = rec
	if rec.Seq&(r.count-1) != index {
		r.st.damage("descriptor %#x: sequence number %d doesn't belong to it", id, rec.Seq)
	}
	r.readText(&rec, id, begin, next, int(r.Order.Uint16(info[r.textLen:])))
	return rec, true
}

func (r *ring) decodeInfo(info []byte, last *Record) Record {
	rec := Record{
		Seq:  r.Order.Uint64(info[r.seq:]),
		Time: nanoseconds(r.Order.Uint64(info[r.tsNsec:])), HasTime: true,
		Facility: -1, Level: -1,
	}
	if r.hasCaller {
		rec.Caller, rec.HasCaller = r.Order.Uint32(info[r.callerID:]), true
	}
	if r.hasLevel {
		rec.Facility = int(info[r.textLen+2])
		rec.Flags, rec.Level = flagsLevel(r.Reader, info[r.textLen+3])
	}
	if r.devInfoSize > 0 {
		dev := info[r.devInfo:][:r.devInfoSize]
		rec.Subsystem = cString(dev[r.subsystem:][:r.subsystemLen], last.Subsystem)
		rec.Device = cString(dev[r.device:][:r.deviceLen], last.Device)
	}
	return rec
}

// readText sets the text of the record from its block. Whatever is wrong with the block
// costs the text, not the record.
func (r *reader) readText(rec *Record, id, begin, next uint64, textLen int) {
	if begin&1 != 0 && next&1 != 0 {
		if begin != emptyLineLpos || next != emptyLineLpos {
			rec.TextLost = true
			r.st.Lost++
		}
		return
	}
	start, size, err := r.block(begin, next)
	if err != nil {
		rec.TextLost = true
		r.st.damage("descriptor %#x: %w", id, err)
		return
	}
	if room := size - uint64(r.Word); uint64(textLen) > room {
		r.st.damage("descriptor %#x: text of %d bytes in a block for %d", id, textLen, room)
		textLen = int(room)
	}
	b, err := r.txt.bytes(r.data+start, r.Word+textLen, r.size-start)
	if err != nil {
		rec.TextLost = true
		r.st.damage("text of descriptor %#x: %w", id, err)
		return
	}
	// A block begins with the ID of its record (printk_ringbuffer.c, "Data Rings").
	if owner := r.Decode(b); owner != id {
		rec.TextLost = true
		r.st.damage("text of descriptor %#x belongs to %#x", id, owner)
		return
	}
	rec.Text = b[r.Word:]
}

var errBadBlock = errors.New("impossible text block")

// block returns where in the ring the block with the logical positions begin and next lies, and
// its size, the ID included, as get_data does. A block that wouldn't fit before the end
// of the ring is at its beginning as a whole. At first a block that fits exactly was moved
// as well, so next was never at index 0; kernels from the end of 2025 on leave it where it
// is ("printk_ringbuffer: don't needlessly wrap data blocks around").
func (r *ring) block(begin, next uint64) (start, size uint64, err error) {
	mask := r.ulongMask()
	word := uint64(r.Word)
	wrap := func(lpos uint64) uint64 { return lpos & mask &^ (r.size - 1) }
	switch last := next - 1; {
	case begin%word != 0 || next%word != 0:
	case wrap(begin) == wrap(last):
		start, size = begin&(r.size-1), (next-begin)&mask
	case wrap(begin+r.size) == wrap(last):
		start, size = 0, next&(r.size-1)
	}
	if size < word || size > r.size-start {
		return 0, 0, fmt.Errorf("%w: logical positions %#x to %#x", errBadBlock, begin, next)
	}
	return start, size, nil
}
