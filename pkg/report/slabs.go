package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/object"
)

// Bounds of what a report has of the slabs.
const (
	maxSlabs  = 10
	maxCaches = 1 << 16
	maxNodes  = 1 << 10
	maxOrder  = 20
)

// slabs fills in the largest caches of kernel objects.
func (m *maker) slabs() error {
	head, err := m.symbol("slab_caches")
	if err != nil {
		return err
	}
	if m.kernel == nil {
		return m.noTypes
	}
	nodes, ok := m.number("nr_node_ids", 4)
	if !ok || nodes == 0 || nodes > maxNodes {
		nodes = 1
	}
	var all []Slab
	n := 0
	err = m.kernel.List(head, "kmem_cache", "list", func(o object.Object) error {
		s, err := m.slab(o, nodes)
		if err != nil {
			return fmt.Errorf("cache at %#x: %w", o.Address, err)
		}
		if all = append(all, s); len(all) >= 4*maxSlabs {
			all = largestSlabs(all)
		}
		if n++; n > maxCaches {
			return fmt.Errorf("more than %d caches", maxCaches)
		}
		return m.ctx.Err()
	})
	if m.report.Memory == nil {
		m.report.Memory = new(Memory)
	}
	m.report.Memory.Slabs = largestSlabs(all)
	return err
}

func largestSlabs(all []Slab) []Slab {
	slices.SortStableFunc(all, func(a, b Slab) int { return cmp.Compare(b.Size, a.Size) })
	return all[:min(len(all), maxSlabs)]
}

// slab reads a struct kmem_cache.
func (m *maker) slab(o object.Object, nodes uint64) (Slab, error) {
	name, err := o.String("name")
	if err != nil {
		return Slab{}, err
	}
	s := Slab{Name: printable(name)}
	if s.ObjectSize, err = o.Uint("object_size"); err != nil {
		return s, err
	}
	// Of struct kmem_cache_order_objects the upper half is the order (mm/slub.c, OO_SHIFT).
	oo, err := o.Uint("oo.x")
	if err != nil {
		return s, err
	}
	order := min(oo>>16, maxOrder)
	for i := range nodes {
		node, err := m.slabNode(o, i)
		if err != nil {
			return s, err
		}
		if node.Address == 0 {
			continue
		}
		n, err := node.Uint("nr_slabs.counter")
		if err != nil {
			return s, err
		}
		s.Size += pages(n) << order * m.pageSize()
	}
	return s, nil
}

// slabNode returns the struct kmem_cache_node of a node: of kmem_cache.node, since Linux 7.0 of per_node.
func (m *maker) slabNode(o object.Object, i uint64) (object.Object, error) {
	array, path := "node", ""
	if !o.Has(array) {
		array, path = "per_node", "node"
	}
	a, err := o.Index(array, i)
	if err != nil {
		return a, err
	}
	return a.Follow(path)
}
