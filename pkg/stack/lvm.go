package stack

import (
	"fmt"
	"slices"
	"strings"
)

// lvmMember is the type of a physical volume, as blkid(8) has it.
const lvmMember = "LVM2_member"

// stackGroup is a volume group of LVM that a stack has volumes of.
type stackGroup struct {
	id string // 32 characters
	// disks are the layers that are its physical volumes, as far as its volumes in the stack lie on them; maps are the
	// layers that are its logical volumes.
	disks, maps []int
	ids         []string // of the volumes, sorted
}

// lvmIDs returns the IDs of a volume group and a logical volume that a map belongs to: LVM- and both, as a rule, and for maps
// that LVM makes one volume of, a suffix such as -real or -tpool (lvm2: lib/uuid, build_dm_uuid).
func lvmIDs(uuid string) (group, volume string, ok bool) {
	ids, found := strings.CutPrefix(uuid, "LVM-")
	if !found || len(ids) < 64 || len(ids) > 64 && ids[64] != '-' || !isLVMID(ids[:64]) {
		return "", "", false
	}
	return ids[:32], ids[32:64], true
}

// volumeGroups are those of LVM, in the order of their first volumes. What a logical volume is made of is another volume
// of its group, or a physical one.
func (s *Stack) volumeGroups() []*stackGroup {
	of := make([]*stackGroup, len(s.Layers)) // whose volume a layer is
	var all []*stackGroup
	for i := range s.Layers {
		m := s.Layers[i].Map
		if m == nil {
			continue
		}
		group, volume, ok := lvmIDs(m.UUID)
		if !ok {
			continue
		}
		n := slices.IndexFunc(all, func(g *stackGroup) bool { return g.id == group })
		if n < 0 {
			n, all = len(all), append(all, &stackGroup{id: group})
		}
		g := all[n]
		of[i], g.maps, g.ids = g, append(g.maps, i), append(g.ids, volume)
		for _, used := range s.Layers[i].Uses() {
			if of[used] != g {
				g.disks = append(g.disks, used)
			}
		}
	}
	for _, g := range all {
		slices.Sort(g.disks)
		slices.Sort(g.ids)
		g.disks, g.ids = slices.Compact(g.disks), slices.Compact(g.ids)
	}
	return all
}

// holds is what a layer must hold.
func (l *Layer) holds() *Content {
	if l.Disk != nil {
		return &l.Disk.Holds
	}
	return &l.Holds
}

// recorded is what the physical volumes of a group were recorded to tell; "" if nothing.
func (s *Stack) recorded(g *stackGroup) (sum string) {
	for _, i := range g.disks {
		sum = max(sum, s.Layers[i].holds().Volumes)
	}
	return sum
}

// validateVolumes checks what is recorded of physical volumes.
func (s *Stack) validateVolumes() error {
	groups := s.volumeGroups()
	for i := range s.Layers {
		l := &s.Layers[i]
		sum := l.holds().Volumes
		if l.Disk != nil && l.Holds != (Content{}) {
			return fmt.Errorf("layers[%d] (%s): a disk; what it holds is to be in disk", i, l.Name)
		}
		if h := l.Holds; h != (Content{}) && (h.Type != lvmMember || lvmID(h.UUID) == "" || h.Member != "") {
			return fmt.Errorf("layers[%d] (%s): it holds %s; want %s and a UUID", i, l.Name, h, lvmMember)
		}
		if sum != "" && (len(sum) != volumesSize || strings.Trim(sum, "0123456789abcdef") != "" || l.holds().Type != lvmMember) {
			return fmt.Errorf("layers[%d] (%s): it holds %s with volumes %.80q", i, l.Name, *l.holds(), sum)
		}
		if sum != "" && !slices.ContainsFunc(groups, func(g *stackGroup) bool { return slices.Contains(g.disks, i) && s.recorded(g) == sum }) {
			return fmt.Errorf("layers[%d] (%s): volumes %s are those of no group", i, l.Name, sum)
		}
	}
	return nil
}

// order is that in which layers are made. Before the first volume of a group all of its physical volumes are there, so that
// what they say counts, unless they lie on such a volume.
func (s *Stack) order() []int {
	var order []int
	uses := make([][]int, len(s.Layers))
	group := make([]*stackGroup, len(s.Layers))
	for i := range s.Layers {
		uses[i] = s.Layers[i].Uses()
	}
	for _, g := range s.volumeGroups() {
		for _, i := range g.maps {
			group[i] = g
		}
	}
	const inWork, done = 1, 2
	state := make([]int, len(s.Layers))
	begun := make(map[*stackGroup]bool)
	var add func(i int)
	add = func(i int) {
		if state[i] != 0 {
			return
		}
		state[i] = inWork
		for _, n := range uses[i] {
			add(n)
		}
		if g := group[i]; g != nil && !begun[g] {
			begun[g] = true
			for _, n := range g.disks {
				if !slices.ContainsFunc(closure(uses, n), func(n int) bool { return state[n] == inWork }) {
					add(n)
				}
			}
		}
		state[i] = done
		order = append(order, i)
	}
	for i := range s.Layers {
		add(i)
	}
	return order
}

// closure is a layer and all that it is made of.
func closure(uses [][]int, i int) []int {
	all, seen := []int{i}, map[int]bool{i: true}
	for at := 0; at < len(all); at++ {
		for _, n := range uses[all[at]] {
			if !seen[n] {
				seen[n], all = true, append(all, n)
			}
		}
	}
	return all
}
