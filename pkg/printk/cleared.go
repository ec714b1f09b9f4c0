package printk

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// SinceCleared returns the log without what came before it was last cleared (dmesg --clear): in the
// kernel's words, from clear_seq or clear_idx on. It is the whole log where the kernel doesn't say,
// as before Linux 3.5. The error is a *vmcore.ReadError.
func (l *Log) SinceCleared() (*Log, error) {
	since := *l
	switch src := l.src.(type) {
	case *ring:
		addr, ok := src.Info.Symbol("clear_seq")
		if !ok {
			return l, nil
		}
		seq, err := clearSeq(src.Reader, addr)
		if err != nil {
			return nil, fmt.Errorf("kernel log (%v): %w", l.Format, err)
		}
		since.src = &fromSeq{src, seq}
	case *recordLog:
		addr, ok := src.Info.Symbol("clear_idx")
		if !ok {
			return l, nil
		}
		first, err := src.Uint32(addr, "clear_idx")
		if err != nil {
			return nil, fmt.Errorf("kernel log (%v): %w", l.Format, err)
		}
		rest := *src
		rest.first = uint64(first)
		since.src = &rest
	}
	return &since, nil
}

// clearSeq reads clear_seq: a number, or since 5.13 a struct latched_seq, in which the sequence
// counter says which of two numbers is not being written (kernel/printk/printk.c).
func clearSeq(m *vmcore.Reader, addr uint64) (uint64, error) {
	if _, latched := m.Info.Size("latched_seq"); latched {
		val, ok := m.Info.Offset("latched_seq.val")
		if !ok {
			return 0, &vmcore.ReadError{What: "clear_seq", Err: &vmcore.MissingError{Kind: "OFFSET", Name: "latched_seq.val"}}
		}
		latch, err := m.Uint32(addr, "clear_seq")
		if err != nil {
			return 0, err
		}
		addr += val + 8*uint64(latch&1)
	}
	return m.Uint64(addr, "clear_seq")
}

// fromSeq leaves out the records before a sequence number.
type fromSeq struct {
	source
	seq uint64
}

func (f *fromSeq) records(st *Stats, yield func(Record) bool) {
	f.source.records(st, func(r Record) bool { return r.Seq < f.seq || yield(r) })
}
