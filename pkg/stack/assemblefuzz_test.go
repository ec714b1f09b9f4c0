package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gokexec/gokexec/internal/disktest"
)

// chooser makes choices of bytes; 0 when they are used up.
type chooser []byte

func (c *chooser) choose(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// invent makes a stack of several parts and spoils some disks. It says whether every disk is as it was.
func invent(t *testing.T, c *chooser) (w *world, whole bool) {
	w = newWorld(t)
	var ends []int
	group := -1 // the disk of a volume group
	for n := range 1 + c.choose(5) {
		name := fmt.Sprintf("v%d", n)
		switch c.choose(9) {
		case 0:
			ends = append(ends, w.dm(name, 4*mib, "linear", "@%d 2048", w.pv()))
		case 1:
			ends = append(ends, w.multipath(1+c.choose(3)))
		case 2:
			ends = append(ends, w.raid1(1+c.choose(3)))
		case 3:
			ends = append(ends, w.part(w.raid1(2), 1+c.choose(3), 4*mib))
		case 4:
			ends = append(ends, w.lvmRAID(name, rmeta(0, 2, 9, uint64(c.choose(4))), rmeta(1, 2, 9+uint64(c.choose(2)), uint64(c.choose(4)))))
		case 5:
			ends = append(ends, w.thin(name))
		case 6:
			ends = append(ends, w.snapshot(name))
		case 7:
			ends = append(ends, w.dm(name, 4*mib, "striped", "2 128 @%d 0 @%d 0", w.pv(), w.pv()))
		case 8:
			if group < 0 {
				group = len(w.k.disks)
				pv := w.groupPV("pv0")
				w.put(pv, "pv0", smallGroup().Text())
				ends = append(ends, w.volume("var", "", 4*mib, "linear", "@%d 2048", pv))
			}
		}
	}
	if len(ends) > 0 {
		if err := w.top(ends...).record(); err != nil {
			t.Fatal(err)
		}
	}
	whole = true
	for i, d := range slices.Clone(w.k.disks) {
		if i == group && c.choose(2) == 1 { // changed after it was recorded
			d.data = map[int64][]byte{0: image(pvSpace, disktest.PhysicalVolume(disktest.LVMID("pv0"), disktest.MetadataArea{Start: 4096, Size: pvSpace - 4096, Text: changed(movedVar)}))}
			d.altered, whole = true, false
			continue
		}
		switch c.choose(8) {
		case 0, 1, 2:
		case 3:
			d.after = c.choose(30)
		case 4: // not there
			w.k.disks = slices.DeleteFunc(w.k.disks, func(o *fakeDisk) bool { return o == d })
			whole = false
		case 5:
			d.altered, d.size, whole = true, d.size+512, false
		case 6:
			d.altered, d.contents, whole = true, contents(Content{Type: "LVM2_member", UUID: uuid(1000 + i)}), false
		case 7: // another disk of the name, which holds something else
			o := *d
			o.name, o.number, o.altered = "other"+d.name, Number{65, uint32(i)}, true
			o.contents = contents(Content{Type: "crypto_LUKS", UUID: d.contents.Signatures[0].UUID})
			w.k.disks = slices.Insert(w.k.disks, c.choose(len(w.k.disks)+1), &o)
		}
	}
	return w.top(ends...), whole
}

// Whatever the stack, the disks and the call that fails: after an error nothing remains, no disk was used that is not the
// one that was recorded, and with all disks there and no failure there is no error.
func FuzzAssemble(f *testing.F) {
	for kind := range byte(9) {
		f.Add([]byte{0, kind}, 0)
		f.Add([]byte{3, kind, 1, kind + 1, 2, kind + 2, 1, 1, 3, 7, 7, 3, 25}, 40)
		f.Add([]byte{1, kind, 1, 1, 1, 1, 4, 5, 6, 7}, 0)
		f.Add([]byte{1, 8, kind, 1, 1, 1}, int(kind))
	}
	f.Fuzz(func(t *testing.T, choices []byte, fail int) {
		if len(choices) > 64 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			c := chooser(choices)
			w, whole := invent(t, &c)
			w.k.fail = fail - 1
			x, err := w.assemble()
			failed := w.k.fail >= 0 && w.k.fail < len(w.k.calls)
			w.k.fail = min(w.k.fail, len(w.k.calls)-1)
			if len(w.k.wrong) > 0 {
				t.Fatalf("%v\n%s", w.k.wrong, w.k.tables())
			}
			if failed && (strings.HasPrefix(w.k.calls[w.k.fail], "remove") || strings.HasSuffix(w.k.calls[w.k.fail], "clear")) {
				return
			}
			if err == nil {
				if strings.Contains(w.k.tables(), "@") || x.Node() == "" {
					t.Fatalf("node %q, tables:\n%s", x.Node(), w.k.tables())
				}
				w.closed(x)
				return
			}
			if left := w.k.remains(); len(left) > 0 {
				t.Fatalf("%v: %v remain", err, left)
			}
			if whole && !failed {
				t.Fatalf("all is there: %v", err)
			}
			// The next try is not hindered by what failed.
			w.k.fail = -1
			if _, err := w.assembler().Assemble(context.Background(), w.s, Options{}); err == nil && !whole && len(w.k.wrong) > 0 {
				t.Fatalf("again: %v", w.k.wrong)
			}
		})
	})
}
