package elfcore

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// DifferenceKind says in what two headers differ.
type DifferenceKind int

// Kinds of Difference.
const (
	_                   DifferenceKind = iota
	OtherMachine                       // made for another architecture
	MissingMemory                      // memory the dump would lack
	SurplusMemory                      // memory in the dump that no longer exists
	MovedMemory                        // memory the dump would read from elsewhere
	MissingCPUNotes                    // a CPU whose registers the dump would lack
	DifferentVMCoreInfo                // the VMCOREINFO note is elsewhere
)

var differenceNames = [...]string{
	OtherMachine:        "other machine",
	MissingMemory:       "missing memory",
	SurplusMemory:       "surplus memory",
	MovedMemory:         "moved memory",
	MissingCPUNotes:     "missing CPU notes",
	DifferentVMCoreInfo: "different VMCOREINFO",
}

// String returns the kind in words.
func (k DifferenceKind) String() string {
	if k <= 0 || int(k) >= len(differenceNames) {
		return fmt.Sprintf("DifferenceKind(%d)", int(k))
	}
	return differenceNames[k]
}

// Difference is one way in which a loaded header is not the wanted one.
type Difference struct {
	Kind  DifferenceKind
	Range memmap.Range // of memory, or of notes as the wanted header has them
}

// String returns kind and range.
func (d Difference) String() string {
	if d.Range.Empty() {
		return d.Kind.String()
	}
	return fmt.Sprintf("%v: %v, %d bytes", d.Kind, d.Range, d.Range.Size())
}

// Diff returns how the loaded header differs from the wanted one in what a
// dump would hold: no differences means that it is accurate. Memory is compared
// as sets, so it doesn't matter how it is split into segments, nor that the
// kernel text mapping overlaps RAM. Memory in ignore is not compared: what the
// kernel leaves out by design (see LowMiB), or keeps in a backup.
//
// Notes of CPUs that only the loaded header has are no difference: the kernel
// lists all possible CPUs, but tells user space of the present ones only.
func Diff(loaded, wanted *Header, ignore memmap.Set) []Difference {
	var ds []Difference
	if loaded.Machine != wanted.Machine {
		ds = append(ds, Difference{Kind: OtherMachine})
	}
	has, wants := loaded.Coverage(), wanted.Coverage()
	add := func(kind DifferenceKind, s memmap.Set) {
		for _, r := range s.Minus(ignore).Ranges() {
			ds = append(ds, Difference{kind, r})
		}
	}
	add(MissingMemory, wants.Minus(has))
	add(SurplusMemory, has.Minus(wants))
	add(MovedMemory, moved(loaded, wanted).Union(moved(wanted, loaded)).Intersect(has).Intersect(wants))

	notes := make(map[memmap.PhysAddr]uint64, len(loaded.CPUNotes))
	for _, n := range loaded.CPUNotes {
		notes[n.Addr] = max(notes[n.Addr], n.Size)
	}
	for _, n := range wanted.CPUNotes {
		if size, ok := notes[n.Addr]; !ok || size < n.Size {
			ds = append(ds, Difference{MissingCPUNotes, n.physRange()})
		}
	}
	if loaded.VMCoreInfo != wanted.VMCoreInfo {
		ds = append(ds, Difference{DifferentVMCoreInfo, wanted.VMCoreInfo.physRange()})
	}
	return ds
}

func (n NoteRange) physRange() memmap.Range {
	l := Load{Phys: n.Addr, MemSize: n.Size}
	return l.PhysRange()
}

// moved returns the memory that a reads from elsewhere than its own address,
// and b not from the same place.
func moved(a, b *Header) memmap.Set {
	in := a.moves()
	for delta, s := range b.moves() {
		in[delta] = in[delta].Minus(s)
	}
	var all memmap.Set
	for _, s := range in {
		all = all.Union(s)
	}
	return all
}

// moves returns the memory that is not read from its own address, by how far
// away it is read.
func (h *Header) moves() map[uint64]memmap.Set {
	rs := make(map[uint64][]memmap.Range)
	for i := range h.Loads {
		if l := &h.Loads[i]; l.Offset != uint64(l.Phys) {
			delta := l.Offset - uint64(l.Phys)
			rs[delta] = append(rs[delta], l.PhysRange())
		}
	}
	sets := make(map[uint64]memmap.Set, len(rs))
	for delta, r := range rs {
		sets[delta] = memmap.NewSet(r...)
	}
	return sets
}
