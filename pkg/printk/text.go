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
	if r.HasTime {
		b = append(b, '[')
		b = appendPadded(b, int64(r.Time/time.Second), 5, ' ')
		b = append(b, '.')
		b = appendPadded(b, int64(r.Time%time.Second/time.Microsecond), 6, '0')
		b = append(b, "] "...)
	}
	const hex = "0123456789abcdef"
	for _, c := range r.Text {
		// isprint and isspace of the C locale.
		if c >= ' ' && c <= '~' || c >= '\t' && c <= '\r' {
			b = append(b, c)
		} else {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
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

// WriteText writes the log in the format of vmcore-dmesg: AppendText for each record, or,
// for a byte ring, its characters as they are. (Unlike vmcore-dmesg it doesn't print an
// empty line at time 0 where a log of records wraps.) The error is that of w; what was wrong with
// the log is in Stats.
func WriteText(w io.Writer, l *Log) (Stats, error) {
	var st Stats
	if r, ok := l.src.(*byteRing); ok {
		err := r.writeTo(w, &st)
		return st, err
	}
	var err error
	buf := make([]byte, 0, chunkSize)
	for rec := range l.Records(&st) {
		buf = AppendText(buf, rec)
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
