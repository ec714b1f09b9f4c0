package printk

import (
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Format is how the kernel keeps its log.
type Format int

const (
	FormatRing    Format = iota + 1 // 5.10 and later: struct printk_ringbuffer
	FormatRecords                   // 3.5 to 5.9: struct printk_log (struct log before 3.11)
	FormatBytes                     // before 3.5: a ring of characters
)

// String returns the format's name for messages.
func (f Format) String() string {
	switch f {
	case FormatRing:
		return "printk_ringbuffer"
	case FormatRecords:
		return "printk_log records"
	case FormatBytes:
		return "byte ring"
	}
	return "unknown format"
}

// Flags of a Record (kernel/printk/internal.h, enum printk_info_flags). Older kernels
// have used the other bits.
const (
	FlagNewline = 2 // the text ended with a newline
	FlagCont    = 8 // a fragment of a line that was to be continued
)

// CallerIsCPU is set in a Record's Caller when the rest is the number of a CPU, not a thread's
// ID (kernel/printk/printk.c, printk_caller_id).
const CallerIsCPU = 0x80000000

// Record is one message of the kernel log.
type Record struct {
	// Seq is the kernel's sequence number where it is exported (5.10 and later);
	// otherwise records are counted from 0 in the order read.
	Seq       uint64
	Time      time.Duration // since boot, by the kernel's local clock
	HasTime   bool          // false in a byte ring without CONFIG_PRINTK_TIME
	Facility  int           // syslog facility, 0 for the kernel itself; -1 when unknown
	Level     int           // syslog severity, 0 (emergency) to 7 (debug); -1 when unknown
	Flags     uint8         // FlagNewline, FlagCont
	Caller    uint32        // thread ID, or CallerIsCPU | CPU number
	HasCaller bool
	Subsystem string // of dev_printk: "pci", "usb"; 5.10 and later
	Device    string // of dev_printk: "+pci:0000:00:1f.2"; 5.10 and later

	// Text is the message as stored: raw bytes, perhaps with newlines in it, not ended
	// by one. Fragments have been joined as far as the kernel did so. It is valid until
	// the next record is asked for.
	Text []byte
	// TextLost is set when the kernel had no room for the text, or it can't be read.
	TextLost bool
}

// Stats counts what was found while reading a log.
type Stats struct {
	Records  uint64 // records returned
	Reserved uint64 // records a CPU was still writing when the machine stopped: not returned
	Reusable uint64 // records whose text had already been given up for newer ones: not returned
	Lost     uint64 // records returned without text because the kernel had no room for it
	Damaged  uint64 // places that are inconsistent or can't be read
	Unread   uint64 // of the Damaged places, those that can't be read
	Err      error  // the first damage, nil if Damaged is 0
	ReadErr  error  // the first of the Unread, a *vmcore.ReadError; nil if Unread is 0
}

// damage counts a damaged place and describes the first.
func (s *Stats) damage(format string, args ...any) {
	if s.Damaged++; s.Err == nil {
		s.Err = fmt.Errorf(format, args...)
	}
	// The cause comes last.
	if read, ok := args[len(args)-1].(*vmcore.ReadError); ok {
		if s.Unread++; s.ReadErr == nil {
			s.ReadErr = read
		}
	}
}

// Log is the kernel log in a dump, ready to be read. It may be read more than once, also
// concurrently when the dump may.
type Log struct {
	Format Format
	src    source
}

// source is one of the three formats.
type source interface {
	// records calls yield for each record, oldest first, until it returns false.
	records(st *Stats, yield func(Record) bool)
}

// Records returns the records, oldest first. st, if not nil, is reset and counts what is
// found; it is complete when the iteration ended. A Record's Text is overwritten by the next.
func (l *Log) Records(st *Stats) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if st == nil {
			st = new(Stats)
		}
		*st = Stats{}
		l.src.records(st, func(r Record) bool {
			st.Records++
			return yield(r)
		})
	}
}

// nanoseconds converts a timestamp of the kernel. One beyond 292 years is damage.
func nanoseconds(ns uint64) time.Duration {
	return time.Duration(min(ns, math.MaxInt64))
}
