package object

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/btf"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Kernel is the memory of a kernel and its types.
type Kernel struct {
	*vmcore.Reader
	Types *btf.Types
}

// Object is something of a known type in the kernel's memory.
type Object struct {
	Kernel  *Kernel
	Address uint64
	Field   btf.Field // what it is; Offset is of no meaning here
}

// At returns the object of a type, by its name, at an address. The error is a *btf.MissingError where the kernel has no
// such type.
func (k *Kernel) At(typ string, addr uint64) (Object, error) {
	id, err := k.Types.Type(typ)
	if err != nil {
		return Object{}, err
	}
	f, err := k.Types.Field(id, "")
	return Object{k, addr, f}, err
}

// Member returns a member: names with dots between them. The error is a *btf.MissingError where it has no such one.
func (o Object) Member(path string) (Object, error) {
	f, err := o.Kernel.Types.Field(o.Field.Type, path)
	return Object{o.Kernel, o.Address + f.Offset, f}, err
}

// Has reports whether it has a member.
func (o Object) Has(path string) bool {
	_, err := o.Member(path)
	return err == nil
}

// Index returns an element of an array. How many it has is not checked: arrays at the end of structures have none.
func (o Object) Index(path string, i uint64) (Object, error) {
	m, err := o.Member(path)
	if err != nil {
		return Object{}, err
	}
	if !m.Field.Array {
		return Object{}, fmt.Errorf("object: %s.%s is no array", o.name(), path)
	}
	f, err := o.Kernel.Types.Field(m.Field.Elem, "")
	return Object{o.Kernel, m.Address + i*f.Size, f}, err
}

// Uint reads a number, a pointer or an enum. The empty path is the object itself. The error is a *btf.MissingError, a
// *vmcore.ReadError, or says that it is none.
func (o Object) Uint(path string) (uint64, error) {
	m, err := o.Member(path)
	if err != nil {
		return 0, err
	}
	f := &m.Field
	if f.Size == 0 || f.Size > 8 {
		return 0, fmt.Errorf("object: %s.%s has %d bytes; a number has 1 to 8", o.name(), path, f.Size)
	}
	var b [8]byte
	if err := o.Kernel.Bytes(b[:f.Size], m.Address, path); err != nil {
		return 0, err
	}
	return o.Kernel.number(b[:f.Size], f), nil
}

// number decodes a number, with its sign if it has one.
func (k *Kernel) number(b []byte, f *btf.Field) uint64 {
	var v uint64
	switch {
	case f.Bits > 0: // little-endian
		for i, c := range b {
			v |= uint64(c) << (8 * i)
		}
		v = v >> f.Shift & (1<<f.Bits - 1)
		if f.Signed && v>>(f.Bits-1) != 0 {
			v |= ^uint64(0) << f.Bits
		}
		return v
	case len(b) == 8:
		return k.Order.Uint64(b)
	case len(b) == 4:
		v = uint64(k.Order.Uint32(b))
	case len(b) == 2:
		v = uint64(k.Order.Uint16(b))
	default:
		v = uint64(b[0])
	}
	if bits := 8 * len(b); f.Signed && v>>(bits-1) != 0 {
		v |= ^uint64(0) << bits
	}
	return v
}

// Int is Uint of what may be negative.
func (o Object) Int(path string) (int64, error) {
	v, err := o.Uint(path)
	return int64(v), err
}

// Follow returns the object that a pointer points to. Its Address is 0 where the pointer is NULL.
func (o Object) Follow(path string) (Object, error) {
	m, err := o.Member(path)
	if err != nil {
		return Object{}, err
	}
	if !m.Field.Pointer || m.Field.Elem == 0 {
		return Object{}, fmt.Errorf("object: %s.%s is no pointer to an object", o.name(), path)
	}
	addr, err := m.Uint("")
	if err != nil {
		return Object{}, err
	}
	f, err := o.Kernel.Types.Field(m.Field.Elem, "")
	return Object{o.Kernel, addr, f}, err
}

// String reads a text: an array of characters, or what a pointer to one points to, "" for NULL.
func (o Object) String(path string) (string, error) {
	m, err := o.Member(path)
	if err != nil {
		return "", err
	}
	addr, size := m.Address, m.Field.Size
	if m.Field.Pointer {
		if addr, err = m.Uint(""); err != nil || addr == 0 {
			return "", err
		}
		size = maxText
	}
	return o.Kernel.Text(addr, int(min(size, maxText)), path)
}

// maxText bounds a text, in bytes.
const maxText = 256

// name is that of the type, for messages.
func (o Object) name() string { return o.Kernel.Types.Name(o.Field.Type) }
