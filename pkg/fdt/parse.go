package fdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	// Magic begins a device tree, as a big-endian number.
	Magic = 0xd00dfeed

	// MaxDepth is how deep nodes may be nested (drivers/of/fdt.c, FDT_MAX_DEPTH).
	MaxDepth = 64

	// maxName bounds names: they are file names in /proc/device-tree.
	maxName = 255

	headerSize      = 40
	version         = 17
	lastCompVersion = 16
	reservationSize = 16
)

// Tokens of the structure block.
const (
	tokenBeginNode = 1
	tokenEndNode   = 2
	tokenProp      = 3
	tokenNop       = 4
	tokenEnd       = 9
)

var be = binary.BigEndian

// header is struct fdt_header.
type header struct {
	magic, totalSize, offStruct, offStrings, offReserved uint32
	version, lastComp, bootCPU, sizeStrings, sizeStruct  uint32
}

func (h *header) fields() []*uint32 {
	return []*uint32{&h.magic, &h.totalSize, &h.offStruct, &h.offStrings, &h.offReserved,
		&h.version, &h.lastComp, &h.bootCPU, &h.sizeStrings, &h.sizeStruct}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Parse reads a tree. Bytes after its totalsize don't count. The values are
// slices of b, which must not change.
func Parse(b []byte) (*Tree, error) {
	if len(b) < headerSize {
		return nil, invalid("%d bytes, the header has %d", len(b), headerSize)
	}
	var h header
	for i, f := range h.fields() {
		*f = be.Uint32(b[4*i:])
	}
	switch {
	case h.magic != Magic:
		return nil, invalid("magic %#08x; want %#08x", h.magic, uint32(Magic))
	case h.version < lastCompVersion || h.lastComp > version:
		return nil, invalid("version %d, compatible down to %d; versions %d and %d are known", h.version, h.lastComp, lastCompVersion, version)
	case h.totalSize < headerSize || uint64(h.totalSize) > uint64(len(b)):
		return nil, invalid("totalsize %d of a file of %d bytes", h.totalSize, len(b))
	}
	b = b[:h.totalSize]
	if h.version < version { // which brought size_dt_struct
		h.sizeStruct = h.totalSize - min(h.offStruct, h.totalSize)
	}
	structure, err := block(b, "structure", h.offStruct, h.sizeStruct, 4)
	if err != nil {
		return nil, err
	}
	names, err := block(b, "strings", h.offStrings, h.sizeStrings, 1)
	if err != nil {
		return nil, err
	}
	t := &Tree{BootCPU: h.bootCPU}
	if t.Reserved, err = reservations(b, h.offReserved); err != nil {
		return nil, err
	}
	p := &parser{b: structure, names: names}
	if t.Root, err = p.tree(); err != nil {
		return nil, fmt.Errorf("%w (offset %#x of the structure block)", err, p.at)
	}
	return t, nil
}

// block cuts a block out.
func block(b []byte, name string, off, size uint32, align uint32) ([]byte, error) {
	if off%align != 0 || off < headerSize || uint64(off)+uint64(size) > uint64(len(b)) {
		return nil, invalid("%s block of %d bytes at %#x in %d", name, size, off, len(b))
	}
	return b[off : off+size], nil
}

// reservations reads up to the entry of zeros that ends the block. The kernel
// takes a size of 0 for the end (fdt.c, early_init_fdt_scan_reserved_mem).
func reservations(b []byte, off uint32) ([]Reservation, error) {
	if off%8 != 0 || off < headerSize {
		return nil, invalid("memory reservation block at %#x", off)
	}
	var rs []Reservation
	for at := uint64(off); ; at += reservationSize {
		if at+reservationSize > uint64(len(b)) {
			return nil, invalid("the memory reservation block at %#x has no end", off)
		}
		r := Reservation{be.Uint64(b[at:]), be.Uint64(b[at+8:])}
		if r.Size == 0 {
			return rs, nil
		}
		if r.Addr+r.Size-1 < r.Addr {
			return nil, invalid("reserved memory of %#x bytes at %#x", r.Size, r.Addr)
		}
		rs = append(rs, r)
	}
}

// parser reads a structure block.
type parser struct {
	b, names []byte
	at       int
}

func (p *parser) tree() (*Node, error) {
	var open []*Node
	var seen []map[string]bool // the properties of each
	var root *Node
	for {
		token, err := p.cell()
		if err != nil {
			return nil, err
		}
		switch token {
		case tokenNop:
		case tokenBeginNode:
			n := &Node{}
			if n.Name, err = p.text(); err != nil {
				return nil, err
			}
			switch {
			case len(open) == MaxDepth:
				return nil, invalid("nodes nested deeper than %d", MaxDepth)
			case len(open) > 0:
				// A node without a name would be taken for a second root.
				if n.Name == "" || strings.Contains(n.Name, "/") {
					return nil, invalid("node name %q", n.Name)
				}
				parent := open[len(open)-1]
				parent.Children = append(parent.Children, n)
			case root != nil || n.Name != "":
				return nil, invalid("%q next to the root", n.Name)
			default:
				root = n
			}
			open, seen = append(open, n), append(seen, map[string]bool{})
		case tokenEndNode:
			if len(open) == 0 {
				return nil, invalid("a node ends that did not begin")
			}
			open, seen = open[:len(open)-1], seen[:len(seen)-1]
		case tokenProp:
			prop, err := p.property()
			if err != nil {
				return nil, err
			}
			if len(open) == 0 {
				return nil, invalid("property %q outside of nodes", prop.Name)
			}
			n := open[len(open)-1]
			if len(n.Children) > 0 {
				return nil, invalid("property %q of node %q after its children", prop.Name, n.Name)
			}
			known := seen[len(seen)-1]
			if known[prop.Name] {
				return nil, invalid("property %q of node %q is there twice", prop.Name, n.Name)
			}
			known[prop.Name] = true
			n.Properties = append(n.Properties, prop)
		case tokenEnd:
			if len(open) > 0 || root == nil {
				return nil, invalid("the end comes with %d nodes open", len(open))
			}
			return root, nil
		default:
			return nil, invalid("token %#x", token)
		}
	}
}

func (p *parser) property() (Property, error) {
	size, err := p.cell()
	if err != nil {
		return Property{}, err
	}
	off, err := p.cell()
	if err != nil {
		return Property{}, err
	}
	if uint64(off) >= uint64(len(p.names)) {
		return Property{}, invalid("property name at %#x of a strings block of %d bytes", off, len(p.names))
	}
	end := nameEnd(p.names[off:])
	if end <= 0 {
		return Property{}, invalid("property name at %#x of the strings block is empty or has no end", off)
	}
	prop := Property{Name: string(p.names[off : off+uint32(end)])}
	if uint64(size) > uint64(len(p.b)-p.at) {
		return Property{}, invalid("property %q has %d bytes, the block %d more", prop.Name, size, len(p.b)-p.at)
	}
	prop.Value = p.b[p.at : p.at+int(size) : p.at+int(size)]
	p.skip(int(size))
	return prop, nil
}

// skip goes past n bytes and on to the next cell.
func (p *parser) skip(n int) { p.at = min(len(p.b), p.at+(n+3)&^3) }

func (p *parser) cell() (uint32, error) {
	if len(p.b)-p.at < 4 {
		return 0, invalid("the structure block ends early")
	}
	v := be.Uint32(p.b[p.at:])
	p.at += 4
	return v, nil
}

// nameEnd finds the NUL of a name that is not too long.
func nameEnd(b []byte) int { return bytes.IndexByte(b[:min(len(b), maxName+1)], 0) }

func (p *parser) text() (string, error) {
	end := nameEnd(p.b[p.at:])
	if end < 0 {
		return "", invalid("a node's name has no end within %d bytes", maxName)
	}
	s := string(p.b[p.at : p.at+end])
	p.skip(end + 1)
	return s, nil
}
