package dumptest

import "encoding/binary"

// BTF makes type information in the kernel's form (Documentation/bpf/btf.rst). Structures are laid out as C compilers
// of 64-bit machines do.
type BTF struct {
	Order binary.ByteOrder
	// Members has the offset in bytes of each member by "structure.member", and Sizes the size of each structure.
	Members map[string]int
	Sizes   map[string]int

	types, names []byte
	offsets      map[string]uint32
	layouts      []typeLayout // by ID
}

type typeLayout struct{ size, align int }

// NewBTF returns one without types.
func NewBTF(order binary.ByteOrder) *BTF {
	return &BTF{Order: order, Members: map[string]int{}, Sizes: map[string]int{}, names: []byte{0}, offsets: map[string]uint32{"": 0}, layouts: make([]typeLayout, 1)}
}

// Member is a member of a structure. Bits is the width of a bit field.
type Member struct {
	Name string
	Type uint32
	Bits int
}

// Kinds of types that Add takes.
const (
	KindPtr      = 2
	KindFwd      = 7
	KindTypedef  = 8
	KindVolatile = 9
	KindConst    = 10
	KindTypeTag  = 18
)

func (b *BTF) name(s string) uint32 {
	off, ok := b.offsets[s]
	if !ok {
		off = uint32(len(b.names))
		b.names = append(append(b.names, s...), 0)
		b.offsets[s] = off
	}
	return off
}

func (b *BTF) put(words ...uint32) {
	for _, w := range words {
		b.types = b.Order.(binary.AppendByteOrder).AppendUint32(b.types, w)
	}
}

// Raw adds a type: the words of struct btf_type after the name, and what follows it.
func (b *BTF) Raw(name string, kind, vlen uint32, flag bool, ref uint32, more ...uint32) uint32 {
	info := kind<<24 | vlen
	if flag {
		info |= 1 << 31
	}
	b.put(append([]uint32{b.name(name), info, ref}, more...)...)
	b.layouts = append(b.layouts, typeLayout{})
	return uint32(len(b.layouts) - 1)
}

func (b *BTF) laid(id uint32, size, align int) uint32 {
	b.layouts[id] = typeLayout{size, align}
	return id
}

// Int adds an integer.
func (b *BTF) Int(name string, size int, signed bool) uint32 {
	enc := uint32(8 * size)
	if signed {
		enc |= 1 << 24
	}
	return b.laid(b.Raw(name, 1, 0, false, uint32(size), enc), size, size)
}

// Pointer adds a pointer.
func (b *BTF) Pointer(to uint32) uint32 { return b.laid(b.Raw("", KindPtr, 0, false, to), 8, 8) }

// Modifier adds a typedef, const or the like of a type.
func (b *BTF) Modifier(kind uint32, name string, of uint32) uint32 {
	l := b.layouts[of]
	return b.laid(b.Raw(name, kind, 0, false, of), l.size, l.align)
}

// Array adds an array.
func (b *BTF) Array(of uint32, n int) uint32 {
	l := b.layouts[of]
	return b.laid(b.Raw("", 3, 0, false, 0, of, 1, uint32(n)), l.size*n, l.align)
}

// Enum adds an enum of consecutive values from 0 on.
func (b *BTF) Enum(name string, names ...string) uint32 {
	var more []uint32
	for i, n := range names {
		more = append(more, b.name(n), uint32(i))
	}
	return b.laid(b.Raw(name, 6, uint32(len(names)), false, 4, more...), 4, 4)
}

// Struct adds a structure.
func (b *BTF) Struct(name string, members ...Member) uint32 {
	return b.record(name, 4, members)
}

// Union adds a union.
func (b *BTF) Union(name string, members ...Member) uint32 {
	return b.record(name, 5, members)
}

func (b *BTF) record(name string, kind uint32, members []Member) uint32 {
	flag := false
	for _, m := range members {
		flag = flag || m.Bits > 0
	}
	bits, align, size := 0, 1, 0
	var more []uint32
	for _, m := range members {
		l := b.layouts[m.Type]
		align = max(align, l.align)
		width := 8 * l.size
		if m.Bits > 0 {
			width = m.Bits
			if unit := 8 * l.size; bits/unit != (bits+width-1)/unit {
				bits = (bits + unit - 1) / unit * unit
			}
		} else if l.align > 0 {
			bits = (bits + 8*l.align - 1) / (8 * l.align) * (8 * l.align)
		}
		at := uint32(bits)
		b.Members[name+"."+m.Name] = bits / 8
		if flag {
			at |= uint32(m.Bits) << 24
		}
		more = append(more, b.name(m.Name), m.Type, at)
		size = max(size, (bits+width+7)/8)
		if kind == 4 {
			bits += width
		}
	}
	size = (size + align - 1) / align * align
	b.Sizes[name] = size
	return b.laid(b.Raw(name, kind, uint32(len(members)), flag, uint32(size), more...), size, align)
}

// Bytes returns all of it.
func (b *BTF) Bytes() []byte {
	out := make([]byte, 24)
	b.Order.PutUint16(out[0:], 0xeb9f)
	out[2] = 1
	b.Order.PutUint32(out[4:], 24)
	b.Order.PutUint32(out[12:], uint32(len(b.types)))
	b.Order.PutUint32(out[16:], uint32(len(b.types)))
	b.Order.PutUint32(out[20:], uint32(len(b.names)))
	return append(append(out, b.types...), b.names...)
}
