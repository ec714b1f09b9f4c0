package printk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ErrNoLog reports a dump whose VMCOREINFO has none of the log's symbols (CONFIG_PRINTK=n, or
// not a Linux kernel).
var ErrNoLog = errors.New("no kernel log symbols in VMCOREINFO")

// maxLogSize is the largest log buffer, in bytes (kernel/printk/printk.c, LOG_BUF_LEN_MAX).
const maxLogSize uint64 = 1 << 31

// Read finds the kernel log in a dump. It reads only where the log is; the records
// come from Log.Records or WriteText. The error is vmcore.ErrNoVMCoreInfo or ErrNoLog when the dump
// doesn't say where to look, a *MissingError or a *vmcore.ReadError, or tells which value is impossible.
func Read(dump vmcore.Memory) (*Log, error) {
	m, err := vmcore.NewReader(dump)
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	info := m.Info
	l := new(Log)
	if _, ok := info.Symbol("prb"); ok {
		l.Format = FormatRing
		l.src, err = newRing(m)
	} else if _, ok := info.Symbol("log_first_idx"); ok {
		l.Format = FormatRecords
		l.src, err = newRecordLog(m)
	} else if _, ok := info.Symbol("log_buf"); ok {
		l.Format = FormatBytes
		l.src, err = newByteRing(m)
	} else {
		return nil, fmt.Errorf("kernel log: %w", ErrNoLog)
	}
	if err != nil {
		if missing, ok := err.(*vmcore.MissingError); ok {
			err = &MissingError{*missing, l.Format}
		}
		return nil, fmt.Errorf("kernel log (%v): %w", l.Format, err)
	}
	return l, nil
}

// MissingError is a symbol, size or offset that VMCOREINFO doesn't have.
type MissingError struct {
	vmcore.MissingError
	Format Format // of the log it is needed for
}

// flagsLevel splits the byte with the bit fields flags:5 and level:3, in that order. They
// are filled from the low bits up on little-endian machines, from the high ones down on others.
func flagsLevel(m *vmcore.Reader, b byte) (flags uint8, level int) {
	if m.Order == binary.ByteOrder(binary.LittleEndian) {
		return b & 0x1f, int(b >> 5)
	}
	return b >> 3, int(b & 7)
}

// cString returns the text before the first NUL. It doesn't allocate if that is last.
func cString(b []byte, last string) string {
	if n := len(last); n <= len(b) && string(b[:n]) == last && (n == len(b) || b[n] == 0) {
		return last
	}
	return vmcore.CString(b)
}
