package fdt

import (
	"math"
	"slices"
	"strings"
)

// AppendBinary appends the tree as version 17, without gaps. Trees that Parse
// would not take are refused, so that what was written can be read.
func (t *Tree) AppendBinary(b []byte) ([]byte, error) {
	if t.Root == nil || t.Root.Name != "" {
		return b, invalid("no root, or one with a name")
	}
	w := &writer{names: map[string]uint32{}}
	if err := w.node(t.Root, 0); err != nil {
		return b, err
	}
	w.cell(tokenEnd)
	h := header{magic: Magic, version: version, lastComp: lastCompVersion, bootCPU: t.BootCPU, offReserved: headerSize}
	reserved := (len(t.Reserved) + 1) * reservationSize
	total := uint64(headerSize) + uint64(reserved) + uint64(len(w.b)) + uint64(len(w.strings))
	if total > math.MaxUint32 {
		return b, invalid("%d bytes; a device tree has at most 4 GiB", total)
	}
	h.offStruct, h.sizeStruct = headerSize+uint32(reserved), uint32(len(w.b))
	h.offStrings, h.sizeStrings = h.offStruct+h.sizeStruct, uint32(len(w.strings))
	h.totalSize = uint32(total)

	b = slices.Grow(b, int(total))
	for _, f := range h.fields() {
		b = be.AppendUint32(b, *f)
	}
	for _, r := range t.Reserved {
		if r.Size == 0 || r.Addr+r.Size-1 < r.Addr {
			return b, invalid("reserved memory of %#x bytes at %#x", r.Size, r.Addr)
		}
		b = be.AppendUint64(b, r.Addr)
		b = be.AppendUint64(b, r.Size)
	}
	b = append(b, make([]byte, reservationSize)...)
	b = append(b, w.b...)
	return append(b, w.strings...), nil
}

// writer makes the structure and strings blocks.
type writer struct {
	b, strings []byte
	names      map[string]uint32 // where each is among the strings
}

func (w *writer) node(n *Node, depth int) error {
	if depth == MaxDepth {
		return invalid("nodes nested deeper than %d", MaxDepth)
	}
	if len(n.Name) > maxName || strings.ContainsAny(n.Name, "/\x00") || depth > 0 && n.Name == "" {
		return invalid("node name %q", n.Name)
	}
	w.cell(tokenBeginNode)
	w.bytes(append([]byte(n.Name), 0))
	seen := map[string]bool{}
	for _, p := range n.Properties {
		if p.Name == "" || len(p.Name) > maxName || strings.Contains(p.Name, "\x00") || seen[p.Name] || uint64(len(p.Value)) > math.MaxUint32 {
			return invalid("property %q of node %q", p.Name, n.Name)
		}
		seen[p.Name] = true
		w.cell(tokenProp)
		w.cell(uint32(len(p.Value)))
		w.cell(w.name(p.Name))
		w.bytes(p.Value)
	}
	for _, c := range n.Children {
		if err := w.node(c, depth+1); err != nil {
			return err
		}
	}
	w.cell(tokenEndNode)
	return nil
}

func (w *writer) name(s string) uint32 {
	off, known := w.names[s]
	if !known {
		off = uint32(len(w.strings))
		w.names[s] = off
		w.strings = append(append(w.strings, s...), 0)
	}
	return off
}

func (w *writer) cell(v uint32) { w.b = be.AppendUint32(w.b, v) }

func (w *writer) bytes(v []byte) {
	w.b = append(w.b, v...)
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
}
