package pagefilter

import (
	"math/bits"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// maxZones bounds the zones of a node.
const maxZones = 16

// zoneCount is how many free pages the kernel's zones have counted (mm/vmstat.c).
type zoneCount struct {
	free uint64
	// slack is by how much that may be wrong: each CPU keeps a difference of its own for each
	// zone, up to the threshold of calculate_normal_threshold.
	slack uint64
	zones int
}

// readZones adds up NR_FREE_PAGES of all zones of the nodes. ok is false when they can't be read.
func (f *Filter) readZones(r *vmcore.Reader, nodes []uint64) (count zoneCount, ok bool) {
	cpus := f.cpus()
	l := vmcore.Layout{Info: f.info}
	vmStat, spanned := l.Offset("zone.vm_stat"), l.Offset("zone.spanned_pages")
	// pglist_data is large with many nodes: its zonelists come before nr_zones.
	zoneSize := l.Size("zone")
	zonesAt, ok1 := f.info.Offset("pglist_data.node_zones")
	nrAt, ok2 := f.info.Offset("pglist_data.nr_zones")
	item, ok3 := f.info.Number("NR_FREE_PAGES")
	if l.Err != nil || !ok1 || !ok2 || !ok3 || item < 0 || item > 1024 || zonesAt > 1<<20 || nrAt > 1<<30 {
		return count, false
	}
	at := vmStat + uint64(item)*uint64(r.Word)
	for _, node := range nodes {
		n, err := r.Uint32(node+nrAt, "pglist_data.nr_zones")
		if err != nil || n > maxZones {
			return count, false
		}
		for i := range uint64(n) {
			zone := node + zonesAt + i*zoneSize
			free, err := r.Ulong(zone+at, "zone.vm_stat")
			if err != nil {
				return count, false
			}
			pages, err := r.Ulong(zone+spanned, "zone.spanned_pages")
			if err != nil {
				return count, false
			}
			if pages == 0 || int64(free) < 0 {
				continue
			}
			count.zones++
			count.free += free
			count.slack += uint64(cpus * min(125, 2*bits.Len(uint(cpus))*(1+bits.Len64(pages>>(27-f.shift)))))
		}
	}
	return count, count.zones > 0
}

// off reports whether a number of free pages that was counted can't be what the zones mean; unknown are
// page frames of which nothing is known. before and after are the zones of a running machine before
// and after the count.
func (before zoneCount) off(after zoneCount, counted, unknown uint64) bool {
	slack := max(before.slack, after.slack) + counted/64
	return counted > max(before.free, after.free)+slack || counted+unknown+slack < min(before.free, after.free)
}
