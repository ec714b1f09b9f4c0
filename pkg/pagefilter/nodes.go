package pagefilter

import (
	"slices"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// maxNodes bounds the nodes that are read.
const maxNodes = 1 << 12

// nodes returns the addresses of the pglist_data of all nodes.
func nodes(r *vmcore.Reader) (nodes []uint64) {
	if addr, ok := r.Info.Symbol("node_data"); ok {
		n, _ := r.Info.Length("node_data")
		for i := range min(n, maxNodes) {
			if node, err := r.Ulong(addr+i*uint64(r.Word), "node_data"); err == nil && node != 0 {
				nodes = append(nodes, node)
			}
		}
		return nodes
	}
	if addr, ok := r.Info.Symbol("contig_page_data"); ok {
		return []uint64{addr}
	}
	return nil
}

// nodeFinder finds nodes from free blocks, for kernels that do not export node_data (arm64 and
// riscv64 with NUMA): the list that a free block is on begins in its zone, which lies in its node.
type nodeFinder struct {
	f *Filter
	r *vmcore.Reader

	lru                               uint64 // offset into struct page
	zoneSize, areaSize, lists         uint64 // of struct zone, struct free_area; lists of a free_area
	zonesAt, nrAt, startAt, spannedAt uint64 // offsets into pglist_data
	areaAt, listAt                    uint64 // offsets into zone, free_area
	steps                             int    // how many list elements may still be visited
	nodes                             []uint64
	covered                           [][2]uint64 // page frames of nodes
}

// maxListSteps bounds the list elements that are visited to find nodes.
const maxListSteps = 1 << 16

func newNodeFinder(f *Filter, r *vmcore.Reader) (*nodeFinder, bool) {
	n := &nodeFinder{f: f, r: r, steps: maxListSteps}
	ok := true
	need := func(to *uint64, get func(string) (uint64, bool), name string, limit uint64) {
		v, found := get(name)
		ok = ok && found && v <= limit
		*to = v
	}
	v := f.info
	need(&n.lru, v.Offset, "page.lru", f.rules.size-2*uint64(r.Word))
	need(&n.zoneSize, v.Size, "zone", 1<<16)
	need(&n.areaSize, v.Size, "free_area", 1<<12)
	need(&n.lists, v.Length, "free_area.free_list", 64)
	need(&n.zonesAt, v.Offset, "pglist_data.node_zones", 1<<20)
	need(&n.nrAt, v.Offset, "pglist_data.nr_zones", 1<<30)
	need(&n.startAt, v.Offset, "pglist_data.node_start_pfn", 1<<30)
	need(&n.spannedAt, v.Offset, "pglist_data.node_spanned_pages", 1<<30)
	need(&n.areaAt, v.Offset, "zone.free_area", n.zoneSize)
	need(&n.listAt, v.Offset, "free_area.free_list", n.areaSize)
	return n, ok && n.zoneSize > 0 && f.rules.orders > 0 && f.rules.buddy.known
}

// find returns the nodes of free blocks, and whether they have all of them.
func (n *nodeFinder) find(pages []uint64) (nodes []uint64, all bool) {
	all = len(pages) > 0
	for _, pfn := range pages {
		if n.has(pfn) {
			continue
		}
		head, order, ok := n.listHead(pfn)
		all = n.has(pfn) || ok && n.nodeOf(head, order, pfn) && all
		if len(n.nodes) >= maxNodes {
			break
		}
	}
	return n.nodes, all
}

func (n *nodeFinder) has(pfn uint64) bool {
	return slices.ContainsFunc(n.covered, func(r [2]uint64) bool { return pfn >= r[0] && pfn < r[1] })
}

// listHead follows the list of a free block to the element that is in no struct page.
func (n *nodeFinder) listHead(pfn uint64) (head, order uint64, ok bool) {
	r := &n.f.rules
	page, _, ok := n.f.pages.find(pfn)
	if !ok {
		return 0, 0, false
	}
	if mapcount, err := n.r.Uint32(page+uint64(r.mapcount), "page._mapcount"); err != nil || !r.buddy.is(int32(mapcount)) {
		return 0, 0, false
	}
	order, err := n.r.Ulong(page+uint64(r.private), "page.private")
	if err != nil || order >= r.orders {
		return 0, 0, false
	}
	zero := page - pfn*r.size // where the struct page of page frame 0 would be
	for at := page + n.lru; n.steps > 0; n.steps-- {
		next, err := n.r.Ulong(at, "page.lru")
		if err != nil || next == 0 {
			return 0, 0, false
		}
		element := next - n.lru
		if addr, _, ok := n.f.pages.find((element - zero) / r.size); !ok || addr != element {
			return next, order, true
		}
		at = next
	}
	return 0, 0, false
}

// nodeOf adds the node in which a list for blocks of an order begins at head. Which list of the free_area, and
// which zone of the node it is, isn't known: the one is right with which all is consistent.
func (n *nodeFinder) nodeOf(head, order, pfn uint64) bool {
	for list := range n.lists {
		zone := head - list*2*uint64(n.r.Word) - n.listAt - order*n.areaSize - n.areaAt
		if !n.isZone(zone) {
			continue
		}
		for i := range uint64(maxZones) {
			node := zone - i*n.zoneSize - n.zonesAt
			nr, err := n.r.Uint32(node+n.nrAt, "pglist_data.nr_zones")
			start, err2 := n.r.Ulong(node+n.startAt, "pglist_data.node_start_pfn")
			pages, err3 := n.r.Ulong(node+n.spannedAt, "pglist_data.node_spanned_pages")
			if err == nil && err2 == nil && err3 == nil && i < uint64(nr) && nr <= maxZones && pfn >= start && pfn-start < pages {
				n.nodes = append(n.nodes, node)
				n.covered = append(n.covered, [2]uint64{start, start + pages})
				return true
			}
		}
	}
	return false
}

// isZone reports whether all the free lists of what may be a zone are lists: the next element of
// each has it as the previous one.
func (n *nodeFinder) isZone(zone uint64) bool {
	word := uint64(n.r.Word)
	for order := range n.f.rules.orders {
		for list := range n.lists {
			at := zone + n.areaAt + order*n.areaSize + n.listAt + list*2*word
			next, err := n.r.Ulong(at, "free_area.free_list")
			if err != nil {
				return false
			}
			if back, err := n.r.Ulong(next+word, "free_area.free_list"); err != nil || back != at {
				return false
			}
		}
	}
	return true
}
