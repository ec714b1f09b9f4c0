package btf

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ID is the number of a type. 0 is void.
type ID uint32

// Bounds of what is taken for BTF, and of what is kept of it.
const (
	maxSize    = 1 << 26 // bytes; a kernel with all that there is has some 30 MiB
	markerStep = 16      // types from one marker to the next
	streamSize = 32 << 10
	maxChain   = 32 // modifiers of a type; structures without a name in each other
)

// UnknownKindError is a kind of type that came after this package was written.
type UnknownKindError struct {
	Kind   uint32
	Offset uint32 // of the type, in the section of types
}

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("BTF type at %#x is of kind %d, which is not known", e.Offset, e.Kind)
}

// MissingError is something that the kernel's types don't have, or that was not named when they were read.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return "this kernel has no " + e.Name }

// Types are the types of a kernel. They may not be used concurrently.
type Types struct {
	mem           *vmcore.Reader
	types, names  uint64 // addresses of the two sections
	size, nameEnd uint32 // their sizes in bytes
	count         int    // of types: the last ID
	markers       []uint32
	offsets       map[string]uint32 // of the wanted names, in the section of names
	found         map[string]named
	constants     map[string]int64
	fields        map[fieldKey]Field
}

// named is the type that a name stands for.
type named struct {
	id   ID
	kind kind
}

// Read reads BTF, size bytes at addr: from __start_BTF to __stop_BTF. Only what is in wanted can be asked for by name:
// types, members and enumerators. The error is an *UnknownKindError, a *vmcore.ReadError, or says what contradicts
// itself.
func Read(m *vmcore.Reader, addr, size uint64, wanted []string) (*Types, error) {
	t := &Types{mem: m, fields: map[fieldKey]Field{}, constants: map[string]int64{}, found: map[string]named{}}
	err := t.header(addr, size)
	if err == nil {
		err = t.readNames(wanted)
	}
	if err == nil {
		err = t.readTypes()
	}
	if err != nil {
		return nil, fmt.Errorf("btf: %w", err)
	}
	return t, nil
}

// header reads struct btf_header (include/uapi/linux/btf.h).
func (t *Types) header(addr, size uint64) error {
	var b [24]byte
	if size < uint64(len(b)) || size > maxSize {
		return fmt.Errorf("it has %d bytes; %d to %d are expected", size, len(b), maxSize)
	}
	if err := t.mem.Bytes(b[:], addr, "btf_header"); err != nil {
		return err
	}
	order := t.mem.Order
	if magic := order.Uint16(b[0:]); magic != 0xeb9f || b[2] != 1 {
		return fmt.Errorf("its header has the magic number %#x and version %d; want 0xeb9f and 1", magic, b[2])
	}
	header, typeOff, typeLen := order.Uint32(b[4:]), order.Uint32(b[8:]), order.Uint32(b[12:])
	nameOff, nameLen := order.Uint32(b[16:]), order.Uint32(b[20:])
	inside := func(off, n uint32) bool { return uint64(header)+uint64(off)+uint64(n) <= size }
	if !inside(typeOff, typeLen) || !inside(nameOff, nameLen) {
		return fmt.Errorf("types, %d bytes at %#x, and names, %d bytes at %#x, are not within the %d bytes that it has", typeLen, typeOff, nameLen, nameOff, size)
	}
	t.types, t.size = addr+uint64(header)+uint64(typeOff), typeLen
	t.names, t.nameEnd = addr+uint64(header)+uint64(nameOff), nameLen
	return nil
}

// readNames looks for the wanted names, each of which is there once.
func (t *Types) readNames(wanted []string) error {
	t.offsets = make(map[string]uint32, len(wanted))
	var lengths [256]bool
	const unknown = ^uint32(0)
	for _, name := range wanted {
		if name != "" && len(name) < len(lengths) {
			lengths[len(name)] = true
			t.offsets[name] = unknown
		}
	}
	in := bufio.NewReaderSize(t.mem.Section(t.names, uint64(t.nameEnd), "BTF names"), streamSize)
	for off := uint32(0); off < t.nameEnd; {
		name, err := in.ReadSlice(0)
		n := uint32(len(name))
		for err == bufio.ErrBufferFull {
			var more []byte
			more, err = in.ReadSlice(0)
			n += uint32(len(more))
			name = nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if l := len(name) - 1; l > 0 && l < len(lengths) && lengths[l] {
			if at, ok := t.offsets[string(name[:l])]; ok && at == unknown {
				t.offsets[string(name[:l])] = off
			}
		}
		if off += n; err == io.EOF {
			break
		}
	}
	for name, at := range t.offsets {
		if at == unknown {
			delete(t.offsets, name)
		}
	}
	return nil
}

// readTypes goes through the types, sets markers, and finds those of a wanted name.
func (t *Types) readTypes() error {
	byOffset := make(map[uint32]string, len(t.offsets))
	for name, at := range t.offsets {
		byOffset[at] = name
	}
	in := bufio.NewReaderSize(t.mem.Section(t.types, uint64(t.size), "BTF types"), streamSize)
	t.markers = make([]uint32, 0, t.size/24/markerStep)
	for off, id := uint32(0), ID(1); off < t.size; id++ {
		if (id-1)%markerStep == 0 {
			t.markers = append(t.markers, off)
		}
		b, err := in.Peek(recordSize)
		if err != nil {
			return fmt.Errorf("type %d at %#x: %w", id, off, noEOF(err))
		}
		r := t.record(b)
		n, err := r.size(off)
		if err != nil {
			return err
		}
		if name, ok := byOffset[r.name]; ok {
			if was, ok := t.found[name]; r.kind.priority() > 0 && (!ok || was.kind.priority() < r.kind.priority()) {
				t.found[name] = named{id, r.kind}
			}
		}
		if r.kind == kindEnum || r.kind == kindEnum64 {
			err = t.enumerators(in, &r, byOffset)
		} else {
			_, err = in.Discard(int(n))
		}
		if err != nil {
			return fmt.Errorf("type %d at %#x: %w", id, off, noEOF(err))
		}
		off += n
		t.count = int(id)
	}
	return nil
}

// enumerators reads the values of an enum from in and keeps the wanted ones.
func (t *Types) enumerators(in *bufio.Reader, r *record, byOffset map[uint32]string) error {
	if _, err := in.Discard(recordSize); err != nil {
		return err
	}
	size := r.kind.element()
	for range r.vlen {
		b, err := in.Peek(int(size))
		if err != nil {
			return err
		}
		if name, ok := byOffset[t.mem.Order.Uint32(b)]; ok {
			t.constants[name] = t.constant(r, b)
		}
		if _, err := in.Discard(int(size)); err != nil {
			return err
		}
	}
	return nil
}

// constant is the value of an enumerator.
func (t *Types) constant(r *record, b []byte) int64 {
	low := t.mem.Order.Uint32(b[4:])
	switch {
	case r.kind == kindEnum64:
		return int64(t.mem.Order.Uint32(b[8:]))<<32 | int64(low)
	case r.flag:
		return int64(int32(low))
	}
	return int64(low)
}

// noEOF turns the plain end, which is never expected here, into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Type returns the type of a name: a structure rather than a union, an enum or a typedef. The error is a
// *MissingError.
func (t *Types) Type(name string) (ID, error) {
	if n, ok := t.found[name]; ok {
		return n.id, nil
	}
	return 0, &MissingError{"type " + name}
}

// Constant returns the value of an enumerator; ok is false if the kernel has none of that name.
func (t *Types) Constant(name string) (value int64, ok bool) {
	value, ok = t.constants[name]
	return value, ok
}

// Len is the number of types.
func (t *Types) Len() int { return t.count }
