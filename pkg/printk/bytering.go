package printk

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// byteRing is the log before Linux 3.5, kernel/printk.c: a ring of characters, in which lines
// begin with their priority, "<6>", and with CONFIG_PRINTK_TIME the time.
type byteRing struct {
	*vmcore.Reader
	buf   uint64 // virtual address
	size  uint64 // bytes
	start uint64 // offset of the oldest character
	n     uint64 // characters in the ring
}

func newByteRing(m *vmcore.Reader) (*byteRing, error) {
	l := &vmcore.Layout{Info: m.Info}
	bufPtr, endPtr, lenPtr := l.Symbol("log_buf"), l.Symbol("log_end"), l.Symbol("log_buf_len")
	if l.Err != nil {
		return nil, l.Err
	}
	buf, err := m.Ulong(bufPtr, "log_buf")
	if err != nil {
		return nil, err
	}
	end, err := m.Uint32(endPtr, "log_end")
	if err != nil {
		return nil, err
	}
	size, err := m.Uint32(lenPtr, "log_buf_len")
	if err != nil {
		return nil, err
	}
	if size == 0 || uint64(size) > maxLogSize {
		return nil, fmt.Errorf("log_buf_len is %d, not in 1 to %d", size, maxLogSize)
	}
	n := min(end, size)
	// log_end counts all characters since boot and so wraps; logged_chars doesn't, but
	// "dmesg -c" sets it to 0.
	if addr, ok := m.Info.Symbol("logged_chars"); ok {
		if logged, err := m.Uint32(addr, "logged_chars"); err == nil {
			n = max(n, min(logged, size))
		}
	}
	b := &byteRing{Reader: m, buf: buf, size: uint64(size), n: uint64(n)}
	b.start = (uint64(end)%b.size + b.size - b.n) % b.size
	return b, nil
}

const chunkSize = 32 << 10

// chunks yields the ring's characters, oldest first. What can't be read is counted once per
// page and left out.
func (r *byteRing) chunks(st *Stats, yield func([]byte) bool) {
	buf := make([]byte, chunkSize)
	pos := r.start
	unreadable := 0    // pages in a row
	blank := uint64(0) // bytes in a row that are zero, as no character is
	for left := r.n; left > 0; {
		want := min(left, r.size-pos, chunkSize)
		got, err := r.ReadVirtAt(buf[:want], r.buf+pos)
		if rest := bytes.TrimRight(buf[:got], "\x00"); len(rest) == 0 {
			blank += uint64(got)
		} else {
			blank = uint64(got - len(rest))
		}
		if blank > maxGarbage {
			st.damage("log buffer at %d: %d bytes are zero", pos, blank)
			return
		}
		if got > 0 && !yield(buf[:got]) {
			return
		}
		step := uint64(got)
		if got > 0 {
			unreadable = 0
		}
		if err != nil {
			if unreadable++; unreadable > maxUnreadablePages {
				return
			}
			st.damage("log buffer at %d: %w", pos+step, &vmcore.ReadError{Err: err})
			step = min(want, step+4096-(r.buf+pos+step)%4096)
		}
		left -= step
		pos = (pos + step) % r.size
	}
}

// maxLine bounds a line; the kernel's own printk buffer is 1 KiB. A longer one is split.
const maxLine = 8 << 10

func (r *byteRing) records(st *Stats, yield func(Record) bool) {
	var line []byte
	seq := uint64(0)
	emit := func() bool {
		rec := parseLine(line)
		rec.Seq = seq
		seq++
		line = line[:0]
		return yield(rec)
	}
	stopped := false
	r.chunks(st, func(b []byte) bool {
		for len(b) > 0 {
			i := bytes.IndexByte(b, '\n')
			if i < 0 || i > maxLine-len(line) {
				k := min(len(b), maxLine-len(line))
				line = append(line, b[:k]...)
				b = b[k:]
				if len(line) < maxLine {
					continue
				}
			} else {
				line = append(line, b[:i]...)
				b = b[i+1:]
			}
			if !emit() {
				stopped = true
				return false
			}
		}
		return true
	})
	if len(line) > 0 && !stopped {
		emit()
	}
}

// parseLine takes "<6>[   12.345678] text" apart. What isn't there is unknown.
func parseLine(line []byte) Record {
	rec := Record{Facility: -1, Level: -1, Text: line}
	if pri, rest, ok := cutPrefixed(line, '<', '>'); ok {
		if n, err := strconv.ParseUint(string(pri), 10, 16); err == nil {
			rec.Facility, rec.Level, rec.Text = int(n>>3), int(n&7), rest
		}
	}
	stamp, rest, ok := cutPrefixed(rec.Text, '[', ']')
	if !ok {
		return rec
	}
	sec, usec, ok := bytes.Cut(bytes.TrimLeft(stamp, " "), []byte("."))
	if !ok || len(usec) != 6 {
		return rec
	}
	s, err1 := strconv.ParseUint(string(sec), 10, 32)
	us, err2 := strconv.ParseUint(string(usec), 10, 32)
	if err1 == nil && err2 == nil {
		rec.Time = time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
		rec.HasTime, rec.Text = true, bytes.TrimPrefix(rest, []byte(" "))
	}
	return rec
}

// cutPrefixed cuts off a short prefix between two brackets.
func cutPrefixed(b []byte, open, end byte) (inner, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != open {
		return nil, b, false
	}
	i := bytes.IndexByte(b[:min(len(b), 24)], end)
	if i < 0 {
		return nil, b, false
	}
	return b[1:i], b[i+1:], true
}

// writeTo copies the ring as it is, which is what vmcore-dmesg prints of this format.
func (r *byteRing) writeTo(w io.Writer, st *Stats) error {
	var err error
	r.chunks(st, func(b []byte) bool {
		_, err = w.Write(b)
		st.Records += uint64(bytes.Count(b, []byte("\n")))
		return err == nil
	})
	return err
}
