package printk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/elfcore"
)

// ErrNoLog reports a dump whose VMCOREINFO has none of the log's symbols (CONFIG_PRINTK=n, or
// not a Linux kernel).
var ErrNoLog = errors.New("no kernel log symbols in VMCOREINFO")

// maxLogSize is the largest log buffer, in bytes (kernel/printk/printk.c, LOG_BUF_LEN_MAX).
const maxLogSize uint64 = 1 << 31

// Dump is what a log is read out of: an *elfcore.File, or a dump of another format. If it
// can be read concurrently, so can the log.
type Dump interface {
	// Platform tells word size and byte order.
	Platform() elfcore.Platform
	// VMCoreInfo tells where the log is. The error is elfcore.ErrNoVMCoreInfo when the dump has none.
	VMCoreInfo() (*elfcore.VMCoreInfo, error)
	// ReadVirtAt fills b with memory at a virtual address of the dead kernel. It returns the number
	// of bytes read; when that is less than len(b), the error says why, and
	// is elfcore.ErrNotInDump where the dump has no such memory.
	ReadVirtAt(b []byte, addr uint64) (int, error)
}

// Read finds the kernel log in a dump. It reads only where the log is; the records
// come from Log.Records or WriteText. The error is elfcore.ErrNoVMCoreInfo or ErrNoLog when the dump
// doesn't say where to look, a *MissingError or a *ReadError, or tells which value is impossible.
func Read(dump Dump) (*Log, error) {
	info, err := dump.VMCoreInfo()
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	p := dump.Platform()
	m := &machine{core: dump, info: info, order: p.Order, word: p.Word}
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
		if missing, ok := err.(*MissingError); ok {
			missing.Format = l.Format
		}
		return nil, fmt.Errorf("kernel log (%v): %w", l.Format, err)
	}
	return l, nil
}

// MissingError is a symbol, size or offset that VMCOREINFO doesn't have.
type MissingError struct {
	Kind string // "SYMBOL", "SIZE", "OFFSET"
	Name string // "log_buf", "printk_log.len"

	Format Format // of the log it is needed for
}

func (e *MissingError) Error() string { return fmt.Sprintf("VMCOREINFO has no %s(%s)", e.Kind, e.Name) }

// ReadError is a place of the log that can't be read; Err is the dump's error.
type ReadError struct {
	What string // "prb", "log_buf_len"; "" for the contents of the log
	Err  error
}

func (e *ReadError) Error() string {
	if e.What == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("read %s: %v", e.What, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// machine is the dead machine as far as data types go.
type machine struct {
	core  Dump
	info  *elfcore.VMCoreInfo
	order binary.ByteOrder
	word  int // bytes of an unsigned long and of a pointer: 4 or 8
}

// ulong decodes an unsigned long or a pointer.
func (m *machine) ulong(b []byte) uint64 {
	if m.word == 4 {
		return uint64(m.order.Uint32(b))
	}
	return m.order.Uint64(b)
}

// readUlong reads an unsigned long or a pointer at a virtual address; what names it.
func (m *machine) readUlong(addr uint64, what string) (uint64, error) {
	var b [8]byte
	if _, err := m.core.ReadVirtAt(b[:m.word], addr); err != nil {
		return 0, &ReadError{what, err}
	}
	return m.ulong(b[:]), nil
}

// readU32 reads an unsigned int at a virtual address; what names it.
func (m *machine) readU32(addr uint64, what string) (uint32, error) {
	var b [4]byte
	if _, err := m.core.ReadVirtAt(b[:], addr); err != nil {
		return 0, &ReadError{what, err}
	}
	return m.order.Uint32(b[:]), nil
}

// layout collects sizes and offsets from VMCOREINFO and remembers the first that is missing.
type layout struct {
	info *elfcore.VMCoreInfo
	err  error
}

// maxStruct bounds the sizes of the structures we look into, in bytes.
const maxStruct = 4096

func (l *layout) offset(name string) uint64 { return l.need("OFFSET", name, l.info.Offset) }
func (l *layout) size(name string) uint64   { return l.need("SIZE", name, l.info.Size) }

func (l *layout) need(kind, name string, get func(string) (uint64, bool)) uint64 {
	n, ok := get(name)
	if l.err == nil && !ok {
		l.err = &MissingError{Kind: kind, Name: name}
	}
	if l.err == nil && n > maxStruct {
		l.err = fmt.Errorf("VMCOREINFO: %s(%s) is %d, more than %d", kind, name, n, maxStruct)
	}
	return n
}

func (l *layout) symbol(name string) uint64 {
	n, ok := l.info.Symbol(name)
	if l.err == nil && !ok {
		l.err = &MissingError{Kind: "SYMBOL", Name: name}
	}
	return n
}

// fits records an error when a member of n bytes at off is not inside the structure.
func (l *layout) fits(what string, off, n, size uint64) {
	if l.err == nil && (off > size || n > size-off) {
		l.err = fmt.Errorf("VMCOREINFO: %s at %d, %d bytes, is outside its structure of %d bytes", what, off, n, size)
	}
}

// flagsLevel splits the byte with the bit fields flags:5 and level:3, in that order. They
// are filled from the low bits up on little-endian machines, from the high ones down on others.
func (m *machine) flagsLevel(b byte) (flags uint8, level int) {
	if m.order == binary.ByteOrder(binary.LittleEndian) {
		return b & 0x1f, int(b >> 5)
	}
	return b >> 3, int(b & 7)
}

// cString returns the text before the first NUL. It doesn't allocate if that is last.
func cString(b []byte, last string) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if string(b) == last {
		return last
	}
	return string(b)
}
