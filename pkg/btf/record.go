package btf

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// kind is BTF_KIND_* of include/uapi/linux/btf.h.
type kind uint32

const (
	kindInt      kind = 1
	kindPtr      kind = 2
	kindArray    kind = 3
	kindStruct   kind = 4
	kindUnion    kind = 5
	kindEnum     kind = 6
	kindFwd      kind = 7
	kindTypedef  kind = 8
	kindVolatile kind = 9
	kindConst    kind = 10
	kindRestrict kind = 11
	kindFunc     kind = 12
	kindProto    kind = 13
	kindVar      kind = 14
	kindDatasec  kind = 15
	kindFloat    kind = 16
	kindDeclTag  kind = 17
	kindTypeTag  kind = 18
	kindEnum64   kind = 19
)

// kindSizes has what follows a record of a kind: bytes once, and bytes for each element.
var kindSizes = [...]struct{ once, each uint8 }{
	kindInt: {4, 0}, kindPtr: {}, kindArray: {12, 0}, kindStruct: {0, 12}, kindUnion: {0, 12}, kindEnum: {0, 8},
	kindFwd: {}, kindTypedef: {}, kindVolatile: {}, kindConst: {}, kindRestrict: {}, kindFunc: {}, kindProto: {0, 8},
	kindVar: {4, 0}, kindDatasec: {0, 12}, kindFloat: {}, kindDeclTag: {4, 0}, kindTypeTag: {}, kindEnum64: {0, 12},
}

// element is the size of one element in bytes.
func (k kind) element() uint32 { return uint32(kindSizes[k].each) }

// priority says which of several types of one name is meant: the highest; 0: it can't be asked for.
func (k kind) priority() int {
	switch k {
	case kindStruct:
		return 4
	case kindUnion:
		return 3
	case kindEnum, kindEnum64:
		return 2
	case kindTypedef, kindInt:
		return 1
	}
	return 0
}

// modifies reports that values of the type are those of the type that it refers to.
func (k kind) modifies() bool {
	return k == kindTypedef || k == kindVolatile || k == kindConst || k == kindRestrict || k == kindTypeTag
}

// recordSize is the size of struct btf_type in bytes.
const recordSize = 12

// record is struct btf_type.
type record struct {
	name uint32
	vlen uint32
	kind kind
	flag bool   // kind_flag
	ref  uint32 // size in bytes, or the type that it refers to
	at   uint32 // where it begins in the section of types; set by Types.at
}

// record decodes the fixed part. The bits that the format leaves unused are 0, and there is room for more kinds and
// elements in them.
func (t *Types) record(b []byte) record {
	info := t.mem.Order.Uint32(b[4:])
	return record{name: t.mem.Order.Uint32(b), vlen: info & 0xffffff, kind: kind(info >> 24 & 0x7f), flag: info>>31 != 0, ref: t.mem.Order.Uint32(b[8:])}
}

// size is how many bytes the record and its elements have; off is where it begins, for the error.
func (r *record) size(off uint32) (uint32, error) {
	if r.kind == 0 || int(r.kind) >= len(kindSizes) {
		return 0, &UnknownKindError{uint32(r.kind), off}
	}
	s := kindSizes[r.kind]
	return recordSize + uint32(s.once) + uint32(s.each)*r.vlen, nil
}

// at reads the record of a type.
func (t *Types) at(id ID) (record, error) {
	if id == 0 || int(id) > t.count {
		return record{}, fmt.Errorf("btf: there is no type %d; the last one is %d", id, t.count)
	}
	off := t.markers[(id-1)/markerStep]
	var b [recordSize]byte
	for left := (id - 1) % markerStep; ; left-- {
		if err := t.mem.Bytes(b[:], t.types+uint64(off), "BTF types"); err != nil {
			return record{}, fmt.Errorf("btf: %w", err)
		}
		r := t.record(b[:])
		if r.at = off; left == 0 {
			_, err := r.size(off)
			return r, err
		}
		n, err := r.size(off)
		if err != nil {
			return record{}, fmt.Errorf("btf: %w", err)
		}
		off += n
	}
}

// resolve passes over typedefs and qualifiers. The error is also for what is void.
func (t *Types) resolve(id ID) (ID, record, error) {
	id, r, err := t.resolveVoid(id)
	if err == nil && id == 0 {
		r, err = t.at(id)
	}
	return id, r, err
}

// resolveVoid is resolve for what a pointer points to, which may be void in the end: 0.
func (t *Types) resolveVoid(id ID) (ID, record, error) {
	for range maxChain {
		if id == 0 {
			return 0, record{}, nil
		}
		r, err := t.at(id)
		if err != nil || !r.kind.modifies() {
			return id, r, err
		}
		id = ID(r.ref)
	}
	return id, record{}, fmt.Errorf("btf: type %d is a typedef of itself", id)
}

// extra reads what follows the record once.
func (t *Types) extra(r *record, b []byte) error {
	if err := t.mem.Bytes(b, t.types+uint64(r.at)+recordSize, "BTF types"); err != nil {
		return fmt.Errorf("btf: %w", err)
	}
	return nil
}

// string returns a name.
func (t *Types) string(off uint32) string {
	if off >= t.nameEnd {
		return ""
	}
	var b [128]byte
	n, _ := t.mem.ReadVirtAt(b[:min(uint32(len(b)), t.nameEnd-off)], t.names+uint64(off))
	return vmcore.CString(b[:n])
}
