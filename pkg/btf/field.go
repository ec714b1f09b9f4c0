package btf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// Field is where a member of a structure is, and what it is.
type Field struct {
	Type   ID     // without typedefs and qualifiers
	Offset uint64 // bytes from the begin of the structure
	Size   uint64 // bytes
	// Bits is the width of a bit field, 0 for other members, and Shift what is before it: in Size bytes at Offset, as
	// a little-endian number, the lower bits.
	Bits, Shift uint8
	// Signed says that it is a signed integer.
	Signed bool
	// Pointer says that it is a pointer, Elem to what, without typedefs and qualifiers. Of an array, which has Count
	// elements, Elem is the type of one.
	Pointer bool
	Elem    ID
	Count   uint32
	Array   bool
}

type fieldKey struct {
	id   ID
	path string
}

// Field returns the field of a structure that path leads to: names of members with dots between them, through arrays
// by their first element. A member of a structure without a name is one of that around it. The empty path is the type
// itself. The error is a *MissingError, or says what contradicts itself.
func (t *Types) Field(id ID, path string) (Field, error) {
	key := fieldKey{id, path}
	if f, ok := t.fields[key]; ok {
		return f, nil
	}
	f, err := t.describe(id)
	for rest := path; err == nil && rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ".")
		var inner Field
		of := f.Type
		if f.Array {
			of = f.Elem
		}
		if inner, err = t.member(of, name); err == nil {
			inner.Offset += f.Offset
			f = inner
		}
	}
	if e, ok := err.(*MissingError); ok {
		e.Name = t.Name(id) + "." + path
	}
	if err == nil {
		t.fields[key] = f
	}
	return f, err
}

// Name returns the name of a type, "" if it has none.
func (t *Types) Name(id ID) string {
	r, err := t.at(id)
	if err != nil {
		return ""
	}
	return t.string(r.name)
}

// describe returns the type itself as a Field.
func (t *Types) describe(id ID) (Field, error) {
	id, r, err := t.resolve(id)
	if err != nil {
		return Field{}, err
	}
	f := Field{Type: id, Size: uint64(r.ref)}
	switch r.kind {
	case kindStruct, kindUnion, kindFloat:
	case kindEnum, kindEnum64:
		f.Signed = r.flag
	case kindInt:
		var b [4]byte
		err = t.extra(&r, b[:])
		f.Signed = t.mem.Order.Uint32(b[:])>>24&1 != 0 // BTF_INT_SIGNED
	case kindPtr:
		f.Pointer, f.Size = true, uint64(t.mem.Word)
		f.Elem, _, err = t.resolveVoid(ID(r.ref))
	case kindArray:
		f.Array = true
		f.Elem, f.Count, f.Size, err = t.array(id, &r, maxChain)
	default:
		err = fmt.Errorf("btf: type %d is of kind %d, which has no values", id, r.kind)
	}
	return f, err
}

// sizeOf returns a type without typedefs and qualifiers, and its size in bytes.
func (t *Types) sizeOf(id ID, depth int) (ID, uint64, error) {
	id, r, err := t.resolve(id)
	switch {
	case err != nil:
		return 0, 0, err
	case r.kind == kindPtr:
		return id, uint64(t.mem.Word), nil
	case r.kind != kindArray:
		return id, uint64(r.ref), nil
	case depth == 0:
		return 0, 0, fmt.Errorf("btf: type %d is an array of itself", id)
	}
	_, _, size, err := t.array(id, &r, depth-1)
	return id, size, err
}

// array reads a struct btf_array: the type of an element as sizeOf returns it, how many there are, and the size of all
// in bytes.
func (t *Types) array(id ID, r *record, depth int) (elem ID, count uint32, size uint64, err error) {
	var b [12]byte
	if err := t.extra(r, b[:]); err != nil {
		return 0, 0, 0, err
	}
	count = t.mem.Order.Uint32(b[8:])
	elem, size, err = t.sizeOf(ID(t.mem.Order.Uint32(b[0:])), depth)
	hi, size := bits.Mul64(size, uint64(count))
	if err == nil && (hi != 0 || size > 1<<40) {
		err = fmt.Errorf("btf: type %d is an array of more than a TiB", id)
	}
	return elem, count, size, err
}

// maxMembers bounds how many members are looked at for one.
const maxMembers = 1 << 13

// member looks a member up by name.
func (t *Types) member(id ID, name string) (Field, error) {
	offset, ok := t.offsets[name]
	if !ok {
		return Field{}, &MissingError{name}
	}
	left := maxMembers
	return t.search(id, offset, maxChain, &left)
}

// search looks for a member of the name at offset, also in members without a name.
func (t *Types) search(id ID, offset uint32, depth int, left *int) (Field, error) {
	_, r, err := t.resolve(id)
	if err != nil {
		return Field{}, err
	}
	if r.kind != kindStruct && r.kind != kindUnion || depth == 0 {
		return Field{}, &MissingError{}
	}
	in := bufio.NewReaderSize(t.mem.Section(t.types+uint64(r.at)+recordSize, uint64(r.vlen)*12, "BTF types"), min(4096, int(r.vlen)*12+16))
	var b [12]byte // struct btf_member
	for range r.vlen {
		if *left--; *left < 0 {
			return Field{}, fmt.Errorf("btf: type %d has more than %d members", id, maxMembers)
		}
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return Field{}, fmt.Errorf("btf: %w", noEOF(err))
		}
		name, typ, at := t.mem.Order.Uint32(b[0:]), ID(t.mem.Order.Uint32(b[4:])), t.mem.Order.Uint32(b[8:])
		width := uint8(0)
		if r.flag {
			width, at = uint8(at>>24), at&0xffffff
		}
		switch {
		case name == offset:
			return t.place(typ, at, width)
		case name != 0:
			continue
		}
		f, err := t.search(typ, offset, depth-1, left)
		if err == nil {
			f.Offset += uint64(at / 8)
			return f, nil
		}
		if _, ok := err.(*MissingError); !ok {
			return Field{}, err
		}
	}
	return Field{}, &MissingError{}
}

// place makes the Field of a member, at a number of bits.
func (t *Types) place(id ID, at uint32, width uint8) (Field, error) {
	f, err := t.describe(id)
	if err != nil {
		return f, err
	}
	f.Offset = uint64(at / 8)
	if width == 0 {
		return f, nil
	}
	if t.mem.Order != binary.ByteOrder(binary.LittleEndian) {
		return f, errors.New("btf: where bit fields of a big-endian machine are is not known")
	}
	// In memory it is what the integer that it lies in has there; on little-endian machines bits count from the lowest.
	f.Bits, f.Shift = width, uint8(at%8)
	f.Size = (uint64(f.Shift) + uint64(width) + 7) / 8
	if f.Size > 8 {
		return f, fmt.Errorf("btf: a bit field of %d bits at bit %d takes more than 8 bytes", width, at)
	}
	return f, nil
}

// Enumerator is a name of an enum and what it stands for.
type Enumerator struct {
	Name  string
	Value int64
}

// maxEnumerators bounds those that are returned.
const maxEnumerators = 1024

// Enum returns the enumerators of an enum in the order of their declaration, at most 1024.
func (t *Types) Enum(id ID) ([]Enumerator, error) {
	_, r, err := t.resolve(id)
	if err != nil {
		return nil, err
	}
	if r.kind != kindEnum && r.kind != kindEnum64 {
		return nil, fmt.Errorf("btf: type %d is of kind %d, no enum", id, r.kind)
	}
	b := make([]byte, r.kind.element())
	var all []Enumerator
	for i := range min(r.vlen, maxEnumerators) {
		if err := t.mem.Bytes(b, t.types+uint64(r.at)+recordSize+uint64(i)*uint64(len(b)), "BTF types"); err != nil {
			return nil, fmt.Errorf("btf: %w", err)
		}
		all = append(all, Enumerator{t.string(t.mem.Order.Uint32(b)), t.constant(&r, b)})
	}
	return all, nil
}
