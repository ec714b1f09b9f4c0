package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const testSet = "01020304-0506-0708-090a-0b0c0d0e0f10"

// view is a member's superblock in a few words: its number, its events, and what it says of all ("0 1 f s"; a place,
// failed, spare), then "dirty", "recovering", "replacement".
func view(t testing.TB, metadata string, level int32, disks int, text string) superblock {
	t.Helper()
	s := superblock{metadata: metadata, uuid: testSet, level: level, disks: disks, clean: true}
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			fmt.Sscan(word, &s.number)
		case i == 1:
			fmt.Sscan(word, &s.events)
		case word == "f":
			s.roles = append(s.roles, roleFaulty)
		case word == "s":
			s.roles = append(s.roles, roleSpare)
		case word == "dirty":
			s.clean = false
		case word == "recovering":
			s.recovering = true
		case word == "replacement":
			s.recovering, s.replacement = true, true
		default:
			var role uint16
			if _, err := fmt.Sscan(word, &role); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			s.roles = append(s.roles, role)
		}
	}
	if metadata == "0.90" {
		for len(s.roles) < members090 {
			s.roles = append(s.roles, roleSpare)
		}
	} else {
		s.member = fmt.Sprintf("00000000-0000-0000-0000-%012d", s.number+1)
	}
	if level == 10 {
		s.layout = 0x102 // near=2, far=1
	}
	return s
}

func TestStartable(t *testing.T) {
	const no = "missing" // errMissing
	for _, c := range []struct {
		name    string
		level   int32
		disks   int
		members []string
		use     []int // nil: refused
		is      string
		want    string // in the error
	}{
		{"raid1 whole", 1, 2, []string{"0 20 0 1", "1 20 0 1"}, []int{0, 1}, "", ""},
		{"raid1 whole, dirty", 1, 2, []string{"0 21 0 1 dirty", "1 21 0 1 dirty"}, []int{0, 1}, "dirty", ""},
		{"raid1, the crash came between two superblocks", 1, 2, []string{"0 20 0 1", "1 21 0 1 dirty"}, []int{0, 1}, "dirty", ""},
		{"raid1, two events apart", 1, 2, []string{"0 20 0 1", "1 22 0 1 dirty"}, nil, "", no},
		{"raid1, one of two whole", 1, 2, []string{"0 20 0 1"}, nil, "", no},
		{"raid1, the other of two", 1, 2, []string{"1 20 0 1 dirty"}, nil, "", no},
		{"raid1, stale alone", 1, 2, []string{"1 17 0 1"}, nil, "", no},
		{"raid1, degraded before the crash", 1, 2, []string{"0 22 0 f"}, []int{0}, "degraded", ""},
		{"raid1, degraded, removed", 1, 2, []string{"0 22 0 s dirty"}, []int{0}, "degraded dirty", ""},
		{"raid1, kicked last", 1, 2, []string{"0 22 0 f", "1 17 0 1"}, []int{0}, "degraded", ""},
		{"raid1, kicked first", 1, 2, []string{"1 17 0 1", "0 22 0 f"}, []int{1}, "degraded", ""},
		{"raid1, kicked one event ago", 1, 2, []string{"1 21 0 1 dirty", "0 22 0 f"}, []int{1}, "degraded", ""},
		{"raid1, kicked while marked clean: as many events", 1, 2, []string{"1 22 0 1 dirty", "0 22 0 f"}, []int{1}, "degraded dirty", ""},
		{"raid1, each without the other", 1, 2, []string{"1 22 f 1", "0 22 0 f"}, nil, "", "do not agree who is active"},
		{"raid1, each without the other, for long", 1, 2, []string{"1 17 s 1", "0 22 0 s"}, nil, "", "which is right"},
		{"raid1, recovering spare", 1, 2, []string{"0 22 0 f 1", "2 22 0 f 1 recovering"}, []int{0, 1}, "degraded", ""},
		{"raid1, recovering spare alone", 1, 2, []string{"2 22 0 f 1 recovering"}, nil, "", no},
		{"raid1, recovering spare missing", 1, 2, []string{"0 22 0 f 1"}, nil, "", no},
		{"raid1, the spare's start was not written everywhere", 1, 2, []string{"0 22 0 f 1", "2 21 0 f s"}, nil, "", no},
		{"raid1, an idle spare is not used", 1, 2, []string{"0 22 0 1 s", "1 22 0 1 s", "2 22 0 1 s"}, []int{0, 1}, "", ""},
		{"raid1, spare with old events", 1, 2, []string{"2 3 0 1 s", "0 22 0 1 s", "1 22 0 1 s"}, []int{1, 2}, "", ""},
		{"raid1, spare alone", 1, 2, []string{"2 22 0 1 s"}, nil, "", no},
		{"raid1, replacement under way", 1, 2, []string{"0 22 0 1 1", "1 22 0 1 1", "2 22 0 1 1 replacement"}, []int{0, 1, 2}, "", ""},
		{"raid1, replacement missing", 1, 2, []string{"0 22 0 1 1", "1 22 0 1 1"}, []int{0, 1}, "", ""},
		{"raid1, the replaced one missing", 1, 2, []string{"0 22 0 1 1", "2 22 0 1 1 replacement"}, nil, "", no},
		{"raid1, the same member twice", 1, 2, []string{"0 22 0 1", "0 22 0 1", "1 22 0 1"}, nil, "", "two devices are member"},
		{"raid1, two are one disk", 1, 2, []string{"0 22 0 0 1", "1 22 0 0 1", "2 22 0 0 1"}, nil, "", "both disk 0"},
		{"raid1 of 3, the newest knows of two", 1, 3, []string{"0 30 0 1 f", "1 30 0 1 f", "2 24 0 1 2"}, []int{0, 1}, "degraded", ""},
		{"raid1 of 3, stale two outvoted", 1, 3, []string{"1 24 0 1 2", "2 24 0 1 2", "0 30 0 f f"}, []int{2}, "degraded", ""},
		{"raid1, of three recorded disks", 1, 3, []string{"0 22 0 1"}, nil, "", no},
		{"raid5 whole", 5, 3, []string{"0 9 0 1 2", "1 9 0 1 2", "2 9 0 1 2"}, []int{0, 1, 2}, "", ""},
		{"raid5, 2 of 3", 5, 3, []string{"0 9 0 1 2", "2 9 0 1 2"}, nil, "", no},
		{"raid5, degraded before the crash", 5, 3, []string{"2 9 0 f 2 dirty", "0 9 0 f 2 dirty"}, []int{0, 1}, "degraded dirty", ""},
		{"raid5, with the stale one too", 5, 3, []string{"0 9 0 f 2", "1 5 0 1 2", "2 9 0 f 2"}, []int{0, 2}, "degraded", ""},
		{"raid5, stale one and one of two", 5, 3, []string{"0 9 0 f 2", "1 5 0 1 2"}, nil, "", no},
		{"raid5, two failed", 5, 3, []string{"0 9 0 f f"}, nil, "", "at most 1"},
		{"raid5, recovering and one missing", 5, 3, []string{"0 9 0 f f 2", "3 9 0 f f 2 recovering"}, nil, "", no},
		{"raid6, two failed", 6, 4, []string{"0 9 0 1 f f", "1 9 0 1 f f"}, []int{0, 1}, "degraded", ""},
		{"raid6, three failed", 6, 4, []string{"0 9 0 f f f"}, nil, "", "at most 2"},
		{"raid4 degraded", 4, 3, []string{"0 9 0 1 f", "1 9 0 1 f"}, []int{0, 1}, "degraded", ""},
		{"raid10, one of each pair", 10, 4, []string{"0 9 0 f f 3", "3 9 0 f f 3"}, []int{0, 1}, "degraded", ""},
		{"raid10, a pair failed", 10, 4, []string{"0 9 0 1 f f", "1 9 0 1 f f"}, nil, "", "all copies"},
		{"raid0 whole", 0, 2, []string{"0 1 0 1 dirty", "1 1 0 1"}, []int{0, 1}, "", ""},
		{"raid0, one missing", 0, 2, []string{"0 1 0 1"}, nil, "", no},
		{"linear, one failed", -1, 2, []string{"0 1 0 f"}, nil, "", "at most 0"},
		{"none", 1, 2, nil, nil, "", no},
	} {
		for _, metadata := range []string{"1.2", "0.90"} {
			var blocks []superblock
			for _, m := range c.members {
				blocks = append(blocks, view(t, metadata, c.level, c.disks, m))
			}
			if metadata == "0.90" && slices.ContainsFunc(blocks, func(s superblock) bool { return s.recovering }) {
				continue // it has no word for that
			}
			a := &Array{UUID: testSet, Metadata: metadata, Level: levelName(c.level), Disks: c.disks}
			use, degraded, dirty, err := startable(a, blocks)
			is := ""
			if degraded {
				is = "degraded"
			}
			if dirty {
				is = strings.TrimSpace(is + " dirty")
			}
			switch {
			case !slices.Equal(use, c.use) || (use == nil) != (c.use == nil) || (err == nil) != (c.use != nil):
				t.Errorf("%s, %s: start with %v, %v; want %v", metadata, c.name, use, err, c.use)
			case err == nil && is != c.is:
				t.Errorf("%s, %s: %q; want %q", metadata, c.name, is, c.is)
			case err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("%s, %s: %v; want %q", metadata, c.name, err, c.want)
			case c.want == no && !errors.Is(err, errMissing):
				t.Errorf("%s, %s: %v is no errMissing", metadata, c.name, err)
			}
		}
	}
}

func TestStartableElsewhere(t *testing.T) {
	whole := func(change func(a *Array, b []superblock)) error {
		a := &Array{UUID: testSet, Metadata: "1.2", Level: "raid1", Disks: 2}
		b := []superblock{view(t, "1.2", 1, 2, "0 5 0 1"), view(t, "1.2", 1, 2, "1 5 0 1")}
		change(a, b)
		_, _, _, err := startable(a, b)
		return err
	}
	for _, c := range []struct {
		name   string
		change func(a *Array, b []superblock)
		want   string
	}{
		{"wrong set", func(_ *Array, b []superblock) { b[1].uuid = "1" + testSet[1:] }, "is of array"},
		{"wrong set, stale", func(_ *Array, b []superblock) { b[1].uuid = "1" + testSet[1:]; b[1].events = 1 }, "is of array"},
		{"another array", func(a *Array, _ []superblock) { a.UUID = "1" + testSet[1:] }, "a member of array"},
		{"level", func(a *Array, _ []superblock) { a.Level = "raid5" }, "raid5 was recorded"},
		{"metadata", func(a *Array, _ []superblock) { a.Metadata = "1.0" }, "1.0 was recorded"},
		{"disks", func(a *Array, _ []superblock) { a.Disks = 3 }, "3 were recorded"},
		{"layout", func(_ *Array, b []superblock) { b[0].layout = 1 }, "do not agree"},
		{"chunk", func(_ *Array, b []superblock) { b[0].chunk = 1 }, "do not agree"},
		{"places exchanged", func(_ *Array, b []superblock) { b[0].roles = []uint16{1, 0} }, "do not agree who is disk"},
	} {
		if err := whole(c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if err := whole(func(*Array, []superblock) {}); err != nil {
		t.Error(err)
	}
}

func TestEnough(t *testing.T) {
	for _, c := range []struct {
		level  int32
		layout uint32
		synced string // 1 or 0 for each
		ok     bool
	}{
		{10, 0x102, "1111", true}, {10, 0x102, "1010", true}, {10, 0x102, "0011", false},
		{10, 0x102, "110", true}, {10, 0x102, "101", true}, {10, 0x102, "001", false}, // three disks: each two are a pair
		{10, 0x103, "100", true}, {10, 0x103, "000", false},
		{10, 0x201, "0111", true}, {10, 0x201, "0101", false}, // far=2: whatever the kernel says
		{10, 0x10201, "0111", true}, {10, 0x202, "0001", true}, {10, 0x202, "0000", false},
		{10, 0, "11", false}, {10, 0x105, "1111", false}, {10, 0x80102, "1111", false},
		{1, 0, "001", true}, {1, 0, "000", false}, {0, 0, "11", true}, {0, 0, "10", false},
		{-1, 0, "10", false}, {5, 2, "101", true}, {5, 2, "100", false}, {6, 2, "1100", true}, {6, 2, "1000", false}, {7, 0, "11", false},
	} {
		var synced []bool
		for _, r := range c.synced {
			synced = append(synced, r == '1')
		}
		if err := enough(c.level, c.layout, synced); (err == nil) != c.ok {
			t.Errorf("level %d, layout %#x, %s: %v; want %v", c.level, c.layout, c.synced, err, c.ok)
		}
	}
}

// FuzzStartable: whatever the superblocks say, no member is used that the newest does not call active, and all
// that it calls active are there.
func FuzzStartable(f *testing.F) {
	f.Add(uint8(1), uint8(2), []byte{0, 20, 0, 0, 1, 2, 3, 1, 20, 0, 0, 1, 2, 3})
	f.Add(uint8(5), uint8(3), []byte{0, 20, 0, 0, 4, 2, 3, 1, 17, 0, 0, 1, 2, 3, 2, 20, 0, 0, 4, 2, 3})
	f.Add(uint8(10), uint8(4), []byte{0, 20, 0, 0, 1, 2, 3, 1, 20, 0, 0, 1, 2, 3, 2, 20, 0, 0, 1, 2, 3, 3, 20, 0, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, level, disks uint8, b []byte) {
		levels := []int32{-1, 0, 1, 4, 5, 6, 10}
		a := &Array{UUID: testSet, Metadata: "1.2", Level: levelName(levels[int(level)%len(levels)]), Disks: 1 + int(disks)%4}
		var blocks []superblock
		const record = 7
		for ; len(b) >= record && len(blocks) < 8; b = b[record:] {
			s := superblock{
				metadata: "1.2", uuid: testSet, member: fmt.Sprint(b[0]), level: levels[int(level)%len(levels)], layout: 0x102, disks: a.Disks,
				number: int(b[0] % 6), events: uint64(b[1] % 8), clean: b[2]&1 != 0, recovering: b[2]&2 != 0, replacement: b[2]&4 != 0,
			}
			for _, r := range b[3:record] {
				s.roles = append(s.roles, []uint16{0, 1, 2, 3, roleFaulty, roleSpare}[r%6])
			}
			blocks = append(blocks, s)
		}
		use, degraded, _, err := startable(a, blocks)
		if err != nil {
			if use != nil {
				t.Fatalf("an error, and %v", use)
			}
			return
		}
		most := uint64(0)
		for _, s := range blocks {
			most = max(most, s.events)
		}
		seen := make(map[int]int)
		for _, i := range use {
			s := &blocks[i]
			if most-s.events > 1 {
				t.Fatalf("member %d is stale: %+v", i, s)
			}
			seen[int(s.role(s.number))]++
		}
		// Each of the newest superblocks that calls the fewest active agrees.
		least := a.Disks + 1
		active := func(s *superblock) (n int) {
			for _, holders := range s.holders() {
				n += min(holders, 1)
			}
			return n
		}
		for i := range blocks {
			if blocks[i].events == most {
				least = min(least, active(&blocks[i]))
			}
		}
		if len(seen) < least {
			t.Fatalf("%d places of %d active ones: %v of %+v", len(seen), least, use, blocks)
		}
		for i := range blocks {
			s := &blocks[i]
			if s.events != most || active(s) != least {
				continue
			}
			for _, u := range use {
				if place, ok := s.place(blocks[u].number); !ok || place != int(blocks[u].role(blocks[u].number)) {
					t.Fatalf("member %d is not what member %d calls active: %+v", u, i, blocks)
				}
			}
		}
		if whole := len(seen) == a.Disks; !whole && !degraded {
			t.Fatalf("not degraded with %v of %d disks", seen, a.Disks)
		}
	})
}
