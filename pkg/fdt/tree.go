package fdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid is wrapped by all errors about a tree's content.
var ErrInvalid = errors.New("invalid device tree")

// Tree is a device tree.
type Tree struct {
	Reserved []Reservation // the memory reservation block
	BootCPU  uint32        // boot_cpuid_phys
	Root     *Node
}

// Reservation is memory that no kernel may use, in bytes.
type Reservation struct{ Addr, Size uint64 }

// Node is a node with what is in it, in the order of the file.
type Node struct {
	Name       string // with the unit address: "memory@40000000"; "" for the root
	Properties []Property
	Children   []*Node
}

// Property is a property of a node.
type Property struct {
	Name  string
	Value []byte
}

// Child returns the child of that name, or nil. A name without a unit address
// finds the first child with any, as in libfdt.
func (n *Node) Child(name string) *Node {
	for _, c := range n.Children {
		base, _, _ := strings.Cut(c.Name, "@")
		if c.Name == name || base == name {
			return c
		}
	}
	return nil
}

// Make returns the child of that name, which it appends if there is none.
func (n *Node) Make(name string) *Node {
	if c := n.Child(name); c != nil {
		return c
	}
	c := &Node{Name: name}
	n.Children = append(n.Children, c)
	return c
}

// Property returns the value of a property.
func (n *Node) Property(name string) ([]byte, bool) {
	for _, p := range n.Properties {
		if p.Name == name {
			return p.Value, true
		}
	}
	return nil, false
}

// Set sets a property, in its place if it exists, or else after the others.
func (n *Node) Set(name string, value []byte) {
	for i := range n.Properties {
		if n.Properties[i].Name == name {
			n.Properties[i].Value = value
			return
		}
	}
	n.Properties = append(n.Properties, Property{name, value})
}

// Delete removes the properties of these names.
func (n *Node) Delete(names ...string) {
	n.Properties = slices.DeleteFunc(n.Properties, func(p Property) bool { return slices.Contains(names, p.Name) })
}

// Uint32 returns a property of one cell.
func (n *Node) Uint32(name string) (uint32, bool) {
	v, found := n.Property(name)
	if !found || len(v) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

// Uint returns a number of one or two cells, as the kernel reads
// linux,initrd-start (drivers/of/fdt.c, of_read_number).
func (n *Node) Uint(name string) (uint64, bool) {
	v, found := n.Property(name)
	switch {
	case found && len(v) == 4:
		return uint64(binary.BigEndian.Uint32(v)), true
	case found && len(v) == 8:
		return binary.BigEndian.Uint64(v), true
	}
	return 0, false
}

// SetUint64 sets a property of two cells.
func (n *Node) SetUint64(name string, v uint64) { n.Set(name, binary.BigEndian.AppendUint64(nil, v)) }

// SetString sets a property that is text.
func (n *Node) SetString(name, text string) { n.Set(name, append([]byte(text), 0)) }

// Cells says how many 32-bit cells an address and a size in "reg" have.
type Cells struct{ Addr, Size int }

// Cells returns those for the node's children: #address-cells and #size-cells,
// or what Linux takes where they are missing (include/linux/of.h,
// OF_ROOT_NODE_ADDR_CELLS_DEFAULT): 1 each.
func (n *Node) Cells() (Cells, error) {
	c := Cells{1, 1}
	for _, f := range []struct {
		name string
		to   *int
	}{{"#address-cells", &c.Addr}, {"#size-cells", &c.Size}} {
		if _, found := n.Property(f.name); !found {
			continue
		}
		v, good := n.Uint32(f.name)
		if !good || v > 2 {
			return c, fmt.Errorf("%w: %s of node %q is not 0, 1 or 2", ErrInvalid, f.name, n.Name)
		}
		*f.to = int(v)
	}
	return c, nil
}

// Append appends an address and a size to b. A number that the cells can't hold
// is an error.
func (c Cells) Append(b []byte, addr, size uint64) ([]byte, error) {
	for _, f := range []struct {
		v uint64
		n int
	}{{addr, c.Addr}, {size, c.Size}} {
		switch {
		case f.n == 2:
			b = binary.BigEndian.AppendUint64(b, f.v)
		case f.n == 1 && f.v>>32 == 0:
			b = binary.BigEndian.AppendUint32(b, uint32(f.v))
		default:
			return b, fmt.Errorf("%w: %#x does not fit into %d cells", ErrInvalid, f.v, f.n)
		}
	}
	return b, nil
}

// Ranges reads pairs of address and size.
func (c Cells) Ranges(v []byte) ([]Reservation, error) {
	size := 4 * (c.Addr + c.Size)
	if size == 0 || len(v)%size != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no pairs of %d and %d cells", ErrInvalid, len(v), c.Addr, c.Size)
	}
	number := func(cells int) uint64 {
		n := uint64(0)
		for range cells {
			n = n<<32 | uint64(binary.BigEndian.Uint32(v))
			v = v[4:]
		}
		return n
	}
	var rs []Reservation
	for len(v) > 0 {
		addr := number(c.Addr)
		rs = append(rs, Reservation{addr, number(c.Size)})
	}
	return rs, nil
}
