package dumptest

import "slices"

// RecordLog is a model of log_store of Linux 3.5 to 5.9.
type RecordLog struct {
	Caller      bool // CONFIG_PRINTK_CALLER, 5.1 and later
	OldName     bool // struct log, before 3.11
	img         *Image
	buf         []byte
	hdr         Struct
	first, next int
	entries     []Entry
	seq         uint64
}

// NewRecordLog returns an empty log of size bytes.
func NewRecordLog(m *Image, size int, caller, oldName bool) *RecordLog {
	l := &RecordLog{Caller: caller, OldName: oldName, img: m, buf: make([]byte, size)}
	fields := []Field{{"ts_nsec", 8, 1}, {"len", 2, 1}, {"text_len", 2, 1}, {"dict_len", 2, 1}, {"facility", 1, 1}, {"bits", 1, 1}}
	if caller {
		fields = append(fields, Field{"caller_id", 4, 1})
	}
	name := "printk_log"
	if oldName {
		name = "log"
	}
	l.hdr = m.Struct(name, fields...)
	return l
}

func (l *RecordLog) length(idx int) int {
	return int(l.img.Order.Uint16(l.buf[idx+l.hdr.Offsets["len"]:]))
}

func (l *RecordLog) room() int {
	if l.next > l.first || len(l.entries) == 0 {
		return max(len(l.buf)-l.next, l.first)
	}
	return l.first - l.next
}

// Add writes a message with a dictionary of dictLen bytes; false when it doesn't fit at all.
func (l *RecordLog) Add(e Entry, dictLen int) bool {
	size := l.hdr.Size + len(e.Text) + dictLen
	size = (size + l.hdr.Align - 1) / l.hdr.Align * l.hdr.Align
	for len(l.entries) > 0 && l.room() < size+l.hdr.Size {
		if n := l.length(l.first); n != 0 {
			l.first += n
		} else {
			l.first = l.length(0) // a marker: the record was at the beginning
		}
		l.entries = l.entries[1:]
	}
	if l.room() < size+l.hdr.Size {
		return false
	}
	if l.next+size+l.hdr.Size > len(l.buf) {
		clear(l.buf[l.next:][:l.hdr.Size])
		l.next = 0
	}
	o, b := l.img.Order, l.buf[l.next:][:size]
	clear(b)
	o.PutUint64(b[l.hdr.Offsets["ts_nsec"]:], e.Time)
	o.PutUint16(b[l.hdr.Offsets["len"]:], uint16(size))
	o.PutUint16(b[l.hdr.Offsets["text_len"]:], uint16(len(e.Text)))
	o.PutUint16(b[l.hdr.Offsets["dict_len"]:], uint16(dictLen))
	b[l.hdr.Offsets["facility"]] = e.Facility
	b[l.hdr.Offsets["bits"]] = l.img.bits(e.Flags, e.Level)
	if l.Caller {
		o.PutUint32(b[l.hdr.Offsets["caller_id"]:], e.Caller)
	} else {
		e.Caller = 0
	}
	copy(b[l.hdr.Size:], e.Text)
	e.Text = slices.Clone(e.Text)
	e.Seq = l.seq
	l.seq++
	l.entries = append(l.entries, e)
	l.next += size
	return true
}

// Expect returns what a reader should find, oldest first.
func (l *RecordLog) Expect() []Entry { return l.entries }

// Buf returns the log buffer, to be damaged, with the offsets of the oldest record and the end.
func (l *RecordLog) Buf() (buf []byte, first, next int) { return l.buf, l.first, l.next }

// Store lays the log out in the image.
func (l *RecordLog) Store() {
	m := l.img
	m.Var("log_buf", m.Word, m.Store(l.buf, 8))
	m.Var("log_buf_len", 4, uint64(len(l.buf)))
	m.Var("log_first_idx", 4, uint64(l.first))
	m.Var("log_next_idx", 4, uint64(l.next))
	m.Export(l.hdr, "ts_nsec", "len", "text_len", "dict_len")
}

// ByteRing stores the log of Linux before 3.5: a ring of size bytes, a power of 2, through
// which text has gone, starting with log_end at start.
func ByteRing(m *Image, size int, start uint32, text []byte) {
	b := make([]byte, size)
	for i, c := range text {
		b[(start+uint32(i))%uint32(size)] = c
	}
	m.Var("log_buf", m.Word, m.Store(b, 8))
	m.Var("log_end", 4, uint64(start+uint32(len(text))))
	m.Var("log_buf_len", 4, uint64(size))
	m.Var("logged_chars", 4, uint64(min(len(text), size)))
}
