package printk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// recordLog is the log of Linux 3.5 to 5.9, kernel/printk.c (later kernel/printk/printk.c):
// records of variable length, each a struct printk_log followed by the text and a dictionary. A
// header with len 0 sends the reader back to the beginning of the buffer.
type recordLog struct {
	*vmcore.Reader
	recordLayout

	buf         uint64 // virtual address
	size        uint64 // bytes
	first, next uint64 // offsets of the oldest record and of the end of the newest one
	firstSeq    uint64
}

// recordLayout has sizes and offsets in bytes.
type recordLayout struct {
	hdrSize                       uint64
	tsNsec, length, textLen, dict uint64
	hasDict                       bool // dict_len is known, and with it the members after it
	hasCaller                     bool
	wideLevel                     bool // 3.5: one u16 for facility and level
}

func newRecordLog(m *vmcore.Reader) (*recordLog, error) {
	r := &recordLog{Reader: m}
	// struct log was renamed in 3.11.
	name := "printk_log"
	if _, ok := m.Info.Size(name); !ok {
		if _, ok := m.Info.Size("log"); ok {
			name = "log"
		}
	}
	l := &vmcore.Layout{Info: m.Info}
	bufPtr, lenPtr := l.Symbol("log_buf"), l.Symbol("log_buf_len")
	firstPtr, nextPtr := l.Symbol("log_first_idx"), l.Symbol("log_next_idx")
	r.hdrSize = l.Size(name)
	r.tsNsec, r.length, r.textLen = l.Offset(name+".ts_nsec"), l.Offset(name+".len"), l.Offset(name+".text_len")
	l.Fits(name+".ts_nsec", r.tsNsec, 8, r.hdrSize)
	l.Fits(name+".len", r.length, 2, r.hdrSize)
	l.Fits(name+".text_len", r.textLen, 2, r.hdrSize)
	if l.Err != nil {
		return nil, l.Err
	}
	// facility, flags and level follow dict_len, caller_id (5.1, CONFIG_PRINTK_CALLER) follows
	// them; they are not exported.
	r.dict, r.hasDict = m.Info.Offset(name + ".dict_len")
	r.hasDict = r.hasDict && r.hdrSize >= 4 && r.dict <= r.hdrSize-4
	r.hasCaller = r.hasDict && r.hdrSize-r.dict >= 8
	r.wideLevel = strings.HasPrefix(m.Info.OSRelease, "3.5.") || strings.HasPrefix(m.Info.OSRelease, "3.5-")

	var err error
	if r.buf, err = m.Ulong(bufPtr, "log_buf"); err != nil {
		return nil, err
	}
	var v [3]uint32
	for i, f := range []struct {
		addr uint64
		name string
	}{{lenPtr, "log_buf_len"}, {firstPtr, "log_first_idx"}, {nextPtr, "log_next_idx"}} {
		if v[i], err = m.Uint32(f.addr, f.name); err != nil {
			return nil, err
		}
	}
	r.size, r.first, r.next = uint64(v[0]), uint64(v[1]), uint64(v[2])
	if r.size < r.hdrSize || r.size > maxLogSize {
		return nil, fmt.Errorf("log_buf_len is %d, not in %d to %d", r.size, r.hdrSize, maxLogSize)
	}
	if r.next > r.size {
		return nil, fmt.Errorf("log_next_idx is %d, beyond log_buf_len %d", r.next, r.size)
	}
	if addr, ok := m.Info.Symbol("log_first_seq"); ok {
		var b [8]byte
		if _, err := m.ReadVirtAt(b[:], addr); err == nil {
			r.firstSeq = m.Order.Uint64(b[:])
		}
	}
	return r, nil
}

// recordPass is the state of one pass over the log.
type recordPass struct {
	*recordLog
	st  *Stats
	win *window
	seq uint64
}

func (r *recordLog) records(st *Stats, yield func(Record) bool) {
	p := &recordPass{recordLog: r, st: st, win: newWindow(r.Memory, textWindow), seq: r.firstSeq}
	first := r.first
	if first >= r.size {
		st.damage("log_first_idx is %d, beyond log_buf_len %d", first, r.size)
		p.run(p.resync(0, r.next), r.next, yield)
		return
	}
	if first > r.next {
		if !p.run(first, r.size, yield) {
			return
		}
		first = 0
	}
	p.run(first, r.next, yield)
}

// errWrap marks the header that sends the reader to the beginning of the buffer.
var errWrap = errors.New("wrap marker")

// run yields the records from offset idx to limit; false when yield wants no more.
func (p *recordPass) run(idx, limit uint64, yield func(Record) bool) bool {
	for idx < limit {
		h, err := p.header(idx, limit)
		if err == errWrap && limit == p.size {
			return true
		}
		if err == nil {
			var text []byte
			if text, err = p.win.bytes(p.buf+idx+p.hdrSize, h.textLen, p.size-idx-p.hdrSize); err == nil {
				h.rec.Text = text
			} else {
				h.rec.TextLost = true
				p.st.damage("text of the record at %d: %w", idx, err)
			}
			h.rec.Seq = p.seq
			p.seq++
			if !yield(h.rec) {
				return false
			}
			idx += h.length
			continue
		}
		p.st.damage("record at %d of the log buffer: %w", idx, err)
		idx = p.resync(idx+recordAlign, limit)
	}
	return true
}

// recordAlign is what records are aligned to at least, in bytes; 8 on some machines (LOG_ALIGN).
const recordAlign = 4

type recordHeader struct {
	rec     Record
	length  uint64 // of the whole record, bytes
	textLen int
}

// header decodes and checks the record header at idx; the record must end by limit.
func (p *recordPass) header(idx, limit uint64) (h recordHeader, err error) {
	if limit-idx < p.hdrSize {
		if limit == p.size {
			return h, errWrap
		}
		return h, fmt.Errorf("only %d bytes before log_next_idx", limit-idx)
	}
	b, err := p.win.bytes(p.buf+idx, int(p.hdrSize), p.size-idx)
	if err != nil {
		return h, err
	}
	h.length = uint64(p.Order.Uint16(b[p.length:]))
	h.textLen = int(p.Order.Uint16(b[p.textLen:]))
	if h.length == 0 {
		return h, errWrap
	}
	used := p.hdrSize + uint64(h.textLen)
	if p.hasDict {
		used += uint64(p.Order.Uint16(b[p.dict:]))
	}
	switch {
	case h.length%recordAlign != 0 || h.length > limit-idx:
		return h, fmt.Errorf("length %d is impossible, %d bytes are left", h.length, limit-idx)
	case used > h.length || p.hasDict && h.length-used >= 8:
		return h, fmt.Errorf("length %d doesn't match its contents of %d", h.length, used)
	}
	h.rec = p.decode(b)
	return h, nil
}

func (r *recordLog) decode(b []byte) Record {
	rec := Record{Time: nanoseconds(r.Order.Uint64(b[r.tsNsec:])), HasTime: true, Facility: -1, Level: -1}
	switch {
	case r.hasDict && r.wideLevel:
		pri := r.Order.Uint16(b[r.dict+2:])
		rec.Facility, rec.Level = int(pri>>3), int(pri&7)
	case r.hasDict:
		rec.Facility = int(b[r.dict+2])
		rec.Flags, rec.Level = flagsLevel(r.Reader, b[r.dict+3])
	}
	if r.hasCaller {
		rec.Caller, rec.HasCaller = r.Order.Uint32(b[r.dict+4:]), true
	}
	return rec
}

// resync looks from idx on for the next place where two headers in a row make sense, or one
// that ends the run. It returns limit when there is none, or when a long stretch can't be read or
// makes no sense.
func (p *recordPass) resync(idx, limit uint64) uint64 {
	unreadable := 0 // pages in a row
	idx = (idx + recordAlign - 1) &^ (recordAlign - 1)
	for end := min(limit, idx+maxGarbage); idx < end; idx += recordAlign {
		h, err := p.header(idx, limit)
		if err != nil {
			// What is not in the dump can't be searched: go on after the page.
			if errors.Is(err, vmcore.ErrNotInDump) {
				idx |= ^pageMask &^ (recordAlign - 1)
				if unreadable++; unreadable > maxUnreadablePages {
					return limit
				}
			}
			continue
		}
		unreadable = 0
		after := idx + h.length
		if after == limit {
			return idx
		}
		if _, err := p.header(after, limit); err == nil || err == errWrap && limit == p.size {
			return idx
		}
	}
	return limit
}
