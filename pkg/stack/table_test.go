package stack

import (
	"math"
	"strings"
	"testing"
)

// Only words that are layers change, and blanks stay.
func TestSubstitute(t *testing.T) {
	r := &assembly{layers: []layerState{{number: Number{8, 1}}, {number: Number{254, 70}}}}
	const args = " capi:@0 @1  :64:user:@0 @0x\t@ @0 "
	if got, want := r.substitute(args), " capi:@0 254:70  :64:user:@0 @0x\t@ 8:1 "; got != want {
		t.Errorf("substitute(%q) = %q; want %q", args, got, want)
	}
}

func TestRoomOfTargets(t *testing.T) {
	for status, want := range map[string]int64{
		"1 20/512 10/64 - rw - - - 128":              54 * 64 << 10,
		"1 511/512 10/1000 - rw - - - 128":           60 * 64 << 10, // what a block of metadata describes
		"1 20/512 64/64 - rw - - - 128":              0,
		"1 20/512 1/64 - ro - - - 128":               0,
		"1 20/512 64/64 - out_of_data_space - - - -": 0,
		"Fail": 0,
		"1 0/18446744073709551615 0/18446744073709551615 - rw": math.MaxInt64,
		"": -1, "1 20/512 65/64 - rw": -1, "1 20/512 x/64 - rw": -1, "1 20 10/64 - rw": -1,
	} {
		p, err := ParsePoolStatus(status)
		if got := p.Room(128); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("pool %q: %d, %v; want %d", status, got, err, want)
		}
	}
	for status, want := range map[string]int64{"16/2048 8": 936345, "0/10 0": 4608, "10/10 0": 0, "0/1": 460, "Invalid": -1, "Overflow": -1, "Merge failed": -1} {
		got, counts, err := SnapshotRoom(status)
		if err != nil || counts != (want >= 0) || counts && got != want {
			t.Errorf("snapshot %q: %d, %v, %v; want %d", status, got, counts, err, want)
		}
	}
	if _, _, err := SnapshotRoom("Unknown"); err == nil {
		t.Error("a status that is not known bounds nothing")
	}
}

// Room is never more than what is free.
func FuzzStatus(f *testing.F) {
	f.Add("1 20/512 10/64 - rw discard_passdown error_if_no_space - 128", uint64(128))
	f.Add("16/2048 8", uint64(8))
	f.Fuzz(func(t *testing.T, status string, block uint64) {
		block = block%(1<<22) + 1
		if p, err := ParsePoolStatus(status); err == nil {
			free := float64(p.dataTotal-p.dataUsed) * float64(block) * sectorSize
			if room := p.Room(block); room < 0 || float64(room) > free*(1+1e-9) || p.Mode != "rw" && room != 0 {
				t.Errorf("pool %q: room %d of %g", status, room, free)
			}
		}
		if room, counts, err := SnapshotRoom(status); err == nil && counts {
			used, total, _ := fraction(strings.Fields(status)[0])
			if free := float64(total-used) * sectorSize; room < 0 || float64(room) > 0.9*free*(1+1e-9) {
				t.Errorf("snapshot %q: room %d of %g", status, room, free)
			}
		}
	})
}
