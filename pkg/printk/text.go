package printk

import (
	"io"
	"strconv"
	"time"
)

// AppendText appends the record to b as vmcore-dmesg prints it: "[%5llu.%06llu] " with seconds
// and microseconds, the text, a newline. Bytes that are neither printable ASCII nor white space become
// \xNN; newlines within the text stay as they are, without a time of their own. A record without
// text is a line with the time only.
func AppendText(b []byte, r Record) []byte {
	return appendEscaped(appendTime(b, r), r.Text, 0)
}

// AppendTextCaller appends the record to b as makedumpfile --dump-dmesg prints it: as AppendText does, with
// "[%8s] " and the caller after the time, T and a thread ID or C and the number of a CPU, where
// the kernel tells it, and with lines that continue a record indented by as much.
func AppendTextCaller(b []byte, r Record) []byte {
	begin := len(b)
	b = appendTime(b, r)
	if r.HasCaller {
		kind := byte('T')
		if r.Caller&CallerIsCPU != 0 {
			kind = 'C'
		}
		var digits [10]byte
		d := strconv.AppendUint(digits[:0], uint64(r.Caller&^CallerIsCPU), 10)
		b = append(b, '[')
		for range 7 - len(d) {
			b = append(b, ' ')
		}
		b = append(append(append(b, kind), d...), "] "...)
	}
	return appendEscaped(b, r.Text, len(b)-begin)
}

func appendTime(b []byte, r Record) []byte {
	if !r.HasTime {
		return b
	}
	b = append(b, '[')
	b = appendPadded(b, int64(r.Time/time.Second), 5, ' ')
	b = append(b, '.')
	b = appendPadded(b, int64(r.Time%time.Second/time.Microsecond), 6, '0')
	return append(b, "] "...)
}

// appendEscaped appends the text and a newline, with so many blanks after each newline within it.
func appendEscaped(b, text []byte, indent int) []byte {
	const hex = "0123456789abcdef"
	for _, c := range text {
		// isprint and isspace of the C locale.
		if c >= ' ' && c <= '~' || c >= '\t' && c <= '\r' {
			b = append(b, c)
		} else {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		}
		if c == '\n' {
			for range indent {
				b = append(b, ' ')
			}
		}
	}
	return append(b, '\n')
}

// appendPadded appends n in decimal, at least width characters wide. (Unlike fmt it doesn't allocate.)
func appendPadded(b []byte, n int64, width int, pad byte) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(d) {
		b = append(b, pad)
	}
	return append(b, d...)
}

// WriteTextCaller writes the log in the format of makedumpfile --dump-dmesg: AppendTextCaller for each record
// that has a text. (makedumpfile leaves out lines without one.) See WriteText.
func WriteTextCaller(w io.Writer, l *Log) (Stats, error) {
	return l.writeText(w, func(b []byte, r Record) []byte {
		if len(r.Text) == 0 {
			return b
		}
		return AppendTextCaller(b, r)
	})
}

// WriteText writes the log in the format of vmcore-dmesg: AppendText for each record, or,
// for a byte ring, its characters as they are. (Unlike vmcore-dmesg it doesn't print an
// empty line at time 0 where a log of records wraps.) The error is that of w; what was wrong with
// the log is in Stats.
func WriteText(w io.Writer, l *Log) (Stats, error) { return l.writeText(w, AppendText) }

func (l *Log) writeText(w io.Writer, appendRecord func([]byte, Record) []byte) (Stats, error) {
	var st Stats
	if r, ok := l.src.(*byteRing); ok {
		err := r.writeTo(w, &st)
		return st, err
	}
	var err error
	buf := make([]byte, 0, chunkSize)
	for rec := range l.Records(&st) {
		buf = appendRecord(buf, rec)
		if len(buf) < chunkSize/2 {
			continue
		}
		if _, err = w.Write(buf); err != nil {
			return st, err
		}
		buf = buf[:0]
	}
	if len(buf) > 0 {
		_, err = w.Write(buf)
	}
	return st, err
}
