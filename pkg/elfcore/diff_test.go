package elfcore

import (
	"debug/elf"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/pkg/memmap"
)

func TestDiff(t *testing.T) {
	const mib = 1 << 20
	rng := func(a, b memmap.PhysAddr) memmap.Range { return memmap.Range{Start: a * mib, End: b * mib} }
	seg := func(a, b memmap.PhysAddr) Load { return ram(a*mib, b*mib) }
	from := func(l Load, off uint64) Load { l.Offset = off; return l }
	text := load(20*mib, 0xffffffff81000000, 4*mib)
	tests := []struct {
		name           string
		loaded, wanted []Load
		ignore         memmap.Set
		change         func(loaded, wanted *Header)
		want           []Difference
	}{
		{"equal", []Load{text, seg(1, 100)}, []Load{text, seg(1, 100)}, memmap.Set{}, nil, nil},
		{"split otherwise", []Load{text, seg(1, 50), seg(50, 100)}, []Load{seg(40, 100), seg(1, 40)}, memmap.Set{}, nil, nil},
		{"DIMM added", []Load{text, seg(1, 100)}, []Load{text, seg(1, 100), seg(4096, 5120)}, memmap.Set{}, nil,
			[]Difference{{MissingMemory, rng(4096, 5120)}}},
		{"DIMM removed", []Load{text, seg(1, 100), seg(4096, 5120)}, []Load{text, seg(1, 100)}, memmap.Set{}, nil,
			[]Difference{{SurplusMemory, rng(4096, 5120)}}},
		{"both", []Load{seg(1, 60), seg(80, 100)}, []Load{seg(1, 90)}, memmap.Set{}, nil,
			[]Difference{{MissingMemory, rng(60, 80)}, {SurplusMemory, rng(90, 100)}}},
		{"low memory", []Load{seg(1, 100)}, []Load{seg(0, 100)}, memmap.Set{}, nil, []Difference{{MissingMemory, rng(0, 1)}}},
		{"low memory left out by design", []Load{seg(1, 100)}, []Load{seg(0, 100)}, LowMiB(), nil, nil},
		{"backup of low memory", []Load{from(seg(0, 1), 90*mib), seg(1, 100)}, []Load{seg(0, 100)}, LowMiB(), nil, nil},
		{"backup", []Load{from(seg(0, 1), 90*mib), seg(1, 100)}, []Load{from(seg(0, 1), 90*mib), seg(1, 100)}, memmap.Set{}, nil, nil},
		{"no backup", []Load{seg(0, 100)}, []Load{from(seg(0, 1), 90*mib), seg(1, 100)}, memmap.Set{}, nil,
			[]Difference{{MovedMemory, rng(0, 1)}}},
		{"backup elsewhere", []Load{from(seg(0, 2), 91*mib), seg(2, 100)}, []Load{from(seg(0, 1), 90*mib), seg(1, 100)}, memmap.Set{}, nil,
			[]Difference{{MovedMemory, rng(0, 2)}}},
		{"notes", []Load{seg(1, 100)}, []Load{seg(1, 100)}, memmap.Set{}, func(loaded, wanted *Header) {
			loaded.CPUNotes = []NoteRange{{0x1000, 504}, {0x2000, 504}, {0x9000, 504}}
			wanted.CPUNotes = []NoteRange{{0x2000, 504}, {0x3000, 504}, {0x1000, 505}}
			wanted.VMCoreInfo = NoteRange{0x5000, 0x1024}
			loaded.Machine = elf.EM_386
		}, []Difference{
			{Kind: OtherMachine},
			{MissingCPUNotes, memmap.Range{Start: 0x3000, End: 0x3000 + 504}},
			{MissingCPUNotes, memmap.Range{Start: 0x1000, End: 0x1000 + 505}},
			{DifferentVMCoreInfo, memmap.Range{Start: 0x5000, End: 0x6024}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			loaded, wanted := header64(), header64()
			loaded.Loads, wanted.Loads = tt.loaded, tt.wanted
			if tt.change != nil {
				tt.change(loaded, wanted)
			}
			if got := Diff(loaded, wanted, tt.ignore); !slices.Equal(got, tt.want) {
				t.Errorf("Diff = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestDifferenceString(t *testing.T) {
	tests := []struct {
		d    Difference
		want string
	}{
		{Difference{MissingMemory, memmap.Range{Start: 0x1000, End: 0x3000}}, "missing memory: [0x1000-0x3000), 8192 bytes"},
		{Difference{Kind: OtherMachine}, "other machine"},
		{Difference{Kind: 99}, "DifferenceKind(99)"},
	}
	for _, tt := range tests {
		if got := tt.d.String(); got != tt.want {
			t.Errorf("String() = %q; want %q", got, tt.want)
		}
	}
}

// FuzzDiff holds the differences against a bitmap, a bit per byte of memory.
func FuzzDiff(f *testing.F) {
	f.Add([]byte{1, 4, 0, 8, 2, 1}, []byte{2, 2, 0, 8, 2, 3}, uint8(3))
	f.Fuzz(func(t *testing.T, loaded, wanted []byte, ignore uint8) {
		l, lm := loadsOf(loaded)
		w, wm := loadsOf(wanted)
		lh, wh := header64(), header64()
		lh.Loads, wh.Loads = l, w
		var got [3][256 + 64]bool
		for _, d := range Diff(lh, wh, memmap.NewSet(memmap.Range{End: memmap.PhysAddr(ignore)})) {
			for a := d.Range.Start; a < d.Range.End; a++ {
				got[d.Kind-MissingMemory][a] = true
			}
		}
		for a := range lm {
			in := a >= int(ignore)
			want := [3]bool{in && !lm[a].has && wm[a].has, in && lm[a].has && !wm[a].has, in && lm[a].has && wm[a].has && lm[a].moves != wm[a].moves}
			if g := [3]bool{got[0][a], got[1][a], got[2][a]}; g != want {
				t.Errorf("byte %#x: missing, surplus, moved = %v; want %v", a, g, want)
			}
		}
	})
}

// loadsOf makes segments of triples: start, size, and which backup, if any;
// and a model of them.
func loadsOf(b []byte) (loads []Load, model [256 + 64]struct {
	has   bool
	moves [3]bool
}) {
	for ; len(b) >= 3; b = b[3:] {
		delta := int(b[2] % 4)
		l := ram(memmap.PhysAddr(b[0]), memmap.PhysAddr(b[0])+memmap.PhysAddr(b[1]%64))
		l.Offset += uint64(delta) << 32
		loads = append(loads, l)
		for a := l.Phys; a < l.Phys+memmap.PhysAddr(l.MemSize); a++ {
			model[a].has = true
			if delta > 0 {
				model[a].moves[delta-1] = true
			}
		}
	}
	return loads, model
}
