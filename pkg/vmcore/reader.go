package vmcore

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Memory is the memory of a crashed kernel, as every form of dump gives it.
type Memory interface {
	// Platform tells word size and byte order.
	Platform() Platform
	// VMCoreInfo tells where to look. The error is ErrNoVMCoreInfo when the dump has none.
	VMCoreInfo() (*VMCoreInfo, error)
	// ReadVirtAt fills b with memory at a virtual address of the crashed kernel. It returns the
	// number of bytes read; when that is less than len(b), the error says why, and
	// is ErrNotInDump where the dump has no such memory.
	ReadVirtAt(b []byte, addr uint64) (int, error)
}

// Reader reads the C types of a crashed kernel at virtual addresses. The names that its methods
// take are for the error, which is a *ReadError.
type Reader struct {
	Memory
	Info  *VMCoreInfo
	Order binary.ByteOrder
	Word  int // bytes of an unsigned long and of a pointer: 4 or 8
}

// NewReader returns a reader of the memory. The error is that of its VMCOREINFO.
func NewReader(m Memory) (*Reader, error) {
	info, err := m.VMCoreInfo()
	if err != nil {
		return nil, err
	}
	p := m.Platform()
	return &Reader{Memory: m, Info: info, Order: p.Order, Word: p.Word}, nil
}

// ReadError is a place of the crashed kernel's memory that can't be read; Err is the dump's error.
type ReadError struct {
	What string // "prb", "log_buf_len"; "" where Err says it all
	Err  error
}

func (e *ReadError) Error() string {
	if e.What == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("read %s: %v", e.What, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// Decode decodes an unsigned long or a pointer.
func (r *Reader) Decode(b []byte) uint64 {
	if r.Word == 4 {
		return uint64(r.Order.Uint32(b))
	}
	return r.Order.Uint64(b)
}

// Bytes fills b with the memory at addr.
func (r *Reader) Bytes(b []byte, addr uint64, what string) error {
	if _, err := r.ReadVirtAt(b, addr); err != nil {
		return &ReadError{what, err}
	}
	return nil
}

// Ulong reads an unsigned long or a pointer.
func (r *Reader) Ulong(addr uint64, what string) (uint64, error) {
	var b [8]byte
	if err := r.Bytes(b[:r.Word], addr, what); err != nil {
		return 0, err
	}
	return r.Decode(b[:]), nil
}

// Uint16 reads an unsigned short.
func (r *Reader) Uint16(addr uint64, what string) (uint16, error) {
	var b [2]byte
	if err := r.Bytes(b[:], addr, what); err != nil {
		return 0, err
	}
	return r.Order.Uint16(b[:]), nil
}

// Uint32 reads an unsigned int.
func (r *Reader) Uint32(addr uint64, what string) (uint32, error) {
	var b [4]byte
	if err := r.Bytes(b[:], addr, what); err != nil {
		return 0, err
	}
	return r.Order.Uint32(b[:]), nil
}

// Uint64 reads an unsigned long long.
func (r *Reader) Uint64(addr uint64, what string) (uint64, error) {
	var b [8]byte
	if err := r.Bytes(b[:], addr, what); err != nil {
		return 0, err
	}
	return r.Order.Uint64(b[:]), nil
}

// Text reads a text of at most size bytes, which ends with a NUL if it has less.
func (r *Reader) Text(addr uint64, size int, what string) (string, error) {
	b := make([]byte, size)
	n, err := r.ReadVirtAt(b, addr)
	if s := CString(b[:n]); len(s) < n || err == nil {
		return s, nil
	}
	return "", &ReadError{what, err}
}

// CString returns the text before the first NUL of b, all of it without one.
func CString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
