package stack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// legBytesOf writes struct dm_raid_superblock as super_sync of drivers/md/dm-raid.c does.
func legBytesOf(l *leg) []byte {
	b := make([]byte, 512)
	p32, p64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	p32(b, legMagic)
	p32(b[4:], legExtended)
	p32(b[8:], uint32(l.disks))
	p32(b[12:], uint32(l.place))
	p64(b[16:], l.events)
	p64(b[24:], l.failed[0])
	p64(b[32:], l.recovery)
	p64(b[40:], maxSector)
	p32(b[48:], uint32(l.level))
	p32(b[52:], l.layout)
	p64(b[64:], maxSector)
	for i := range 3 {
		p64(b[120+8*i:], l.failed[1+i])
	}
	return b
}

func TestLeg(t *testing.T) {
	want := leg{place: 199, disks: 200, events: 1<<40 + 26, failed: [4]uint64{2, 0, 0, 1 << 3}, level: 1, layout: 7, recovery: maxSector}
	got, err := readLeg(bytes.NewReader(legBytesOf(&want)))
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if !got.calls(1) || !got.calls(195) || got.calls(0) || got.calls(194) {
		t.Errorf("failed legs of %+v", got)
	}
	p32 := binary.LittleEndian.PutUint32
	for name, damage := range map[string]func(b []byte){
		"magic":                  func(b []byte) { b[0]++ },
		"compatible feature":     func(b []byte) { b[4] = 3 },
		"incompatible feature":   func(b []byte) { b[144] = 1 },
		"reshape flag":           func(b []byte) { b[60] = 1 },
		"reshape position":       func(b []byte) { b[64] = 1 },
		"place":                  func(b []byte) { p32(b[12:], 200) },
		"no legs":                func(b []byte) { p32(b[8:], 0) },
		"too many":               func(b []byte) { p32(b[8:], 254) },
		"too many of an old one": func(b []byte) { p32(b[4:], 0) },
	} {
		b := legBytesOf(&want)
		damage(b)
		if l, err := readLeg(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: read as %+v", name, l)
		}
	}
	if _, err := readLeg(bytes.NewReader(make([]byte, 100))); err == nil {
		t.Error("half a sector was read")
	}
	// Before version 1.9 of the target the field of failed legs ended there.
	old := legBytesOf(&leg{disks: 2, events: 3, level: 1, recovery: maxSector})
	p32(old[4:], 0)
	p32(old[60:], 0xffffffff)
	old[120] = 0xff
	if l, err := readLeg(bytes.NewReader(old)); err != nil || l.failed != [4]uint64{} {
		t.Errorf("old format: %+v, %v", l, err)
	}
}

func TestLegsAllowed(t *testing.T) {
	// A leg: events, then the legs that it calls failed; "-" is a missing one.
	for _, c := range []struct {
		name   string
		level  int32
		layout uint32
		legs   []string
		want   string
	}{
		{"raid1 whole", 1, 0, []string{"20", "20"}, ""},
		{"raid1, crash between two superblocks", 1, 0, []string{"20", "21"}, ""},
		{"raid1, leg failed before the crash, missing", 1, 0, []string{"26 1", "-"}, ""},
		{"raid1, leg missing in the capture kernel only", 1, 0, []string{"20", "-"}, "missing"},
		{"raid1, stale leg alone", 1, 0, []string{"-", "23"}, "missing"},
		{"raid1, both visible, one failed", 1, 0, []string{"26 1", "23"}, ""},
		{"raid1, both visible, the first failed", 1, 0, []string{"23", "26 0"}, ""},
		{"raid1, stale, but not called failed", 1, 0, []string{"26", "23"}, "stale"},
		{"raid1, two events apart", 1, 0, []string{"26", "24"}, "stale"},
		{"raid1, each calls the other failed", 1, 0, []string{"26 1", "25 0"}, "which is right"},
		{"raid1, as many events", 1, 0, []string{"26 1", "26"}, "do not agree which have failed"},
		{"raid1, no leg", 1, 0, []string{"-", "-"}, "there is no leg"},
		{"raid1, its own failure", 1, 0, []string{"26 0 1", "-"}, "call each other"},
		{"raid1, rebuilt one alone", 1, 0, []string{"-", "26 0 recovering"}, "at most 1"},
		{"raid1, one being rebuilt", 1, 0, []string{"26", "26 recovering"}, ""},
		{"raid5, one failed and missing", 5, 2, []string{"9 2", "9 2", "-"}, ""},
		{"raid5, one failed, another missing", 5, 2, []string{"9 2", "-", "7"}, "missing"},
		{"raid5, two failed", 5, 2, []string{"9 1 2", "-", "-"}, "at most 1"},
		{"raid5, one failed, one being rebuilt", 5, 2, []string{"9 2", "9 2 recovering", "-"}, "at most 1"},
		{"raid6, two failed", 6, 8, []string{"9 2 3", "9 2 3", "-", "-"}, ""},
		{"raid10, a pair failed", 10, 0x102, []string{"9 2 3", "9 2 3", "-", "-"}, "all copies"},
		{"raid10, one of each", 10, 0x102, []string{"9 1 3", "-", "9 1 3", "-"}, ""},
		{"raid0, one missing", 0, 0, []string{"9 1", "-"}, "at most 0"},
		{"raid0", 0, 0, []string{"9", "9"}, ""},
		{"in another's place", 1, 0, []string{"at1 9", "at0 9"}, "is where leg"},
		{"of another array", 1, 0, []string{"9", "of3 9"}, "is where leg"},
	} {
		var legs []*leg
		for i, text := range c.legs {
			if text == "-" {
				legs = append(legs, nil)
				continue
			}
			l := &leg{place: i, disks: len(c.legs), level: c.level, layout: c.layout, recovery: maxSector}
			events := false
			for _, word := range strings.Fields(text) {
				var n int
				switch {
				case word == "recovering":
					l.recovery = 4096
				case strings.HasPrefix(word, "at"):
					fmt.Sscan(word[2:], &l.place)
				case strings.HasPrefix(word, "of"):
					fmt.Sscan(word[2:], &l.disks)
				case !events:
					fmt.Sscan(word, &l.events)
					events = true
				default:
					fmt.Sscan(word, &n)
					l.failed[n/64] |= 1 << (n % 64)
				}
			}
			legs = append(legs, l)
		}
		err := legsAllowed(legs)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
		if (c.want == "missing") && !errors.Is(err, errMissing) {
			t.Errorf("%s: %v is no errMissing", c.name, err)
		}
	}
	if err := legsAllowed(make([]*leg, 300)); err == nil {
		t.Error("300 legs")
	}
}

// FuzzLeg: what is accepted is written again as it was read, and no missing leg is allowed that is not called failed.
func FuzzLeg(f *testing.F) {
	f.Add(legBytesOf(&leg{disks: 2, place: 1, events: 26, failed: [4]uint64{1}, level: 1, recovery: maxSector}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := readLeg(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again, err := readLeg(bytes.NewReader(legBytesOf(&l))); err != nil || again != l {
			t.Fatalf("written and read again: %+v, %v; was %+v", again, err, l)
		}
		legs := make([]*leg, l.disks)
		legs[l.place] = &l
		if legsAllowed(legs) != nil {
			return
		}
		for i := range legs {
			if legs[i] == nil && !l.calls(i) {
				t.Fatalf("leg %d may be missing: %+v", i, l)
			}
		}
	})
}
