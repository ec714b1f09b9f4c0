package elfcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func TestNotes(t *testing.T) {
	big := bytes.Repeat([]byte("device dump "), 20000) // 240000 bytes
	for _, fm := range formats {
		t.Run(fm.name, func(t *testing.T) {
			c := fm.core
			for i := range 4 {
				c.Notes = append(c.Notes, dumptest.Note{Name: "CORE", Type: 1, Desc: bytes.Repeat([]byte{byte(i)}, 333+i)})
			}
			c.Notes = append(c.Notes,
				dumptest.Note{Name: "LINUX", Type: 0x700, Desc: big},
				dumptest.Note{Name: "VMCOREINFO", Type: 0, Desc: []byte("OSRELEASE=x\nCRASHTIME=1700000000")},
				dumptest.Note{Name: "", Type: 0, Desc: nil})
			f := newFile(t, c.Bytes())
			if f.Damage != nil || len(f.Notes) != len(c.Notes) {
				t.Fatalf("%d Notes, Damage %v; want %d, nil", len(f.Notes), f.Damage, len(c.Notes))
			}
			for i := range f.Notes {
				n, w := &f.Notes[i], c.Notes[i]
				got, err := io.ReadAll(f.NoteData(n))
				if n.Name != w.Name || uint32(n.Type) != w.Type || n.Size() != int64(len(w.Desc)) || err != nil || !bytes.Equal(got, w.Desc) {
					t.Errorf("Notes[%d] = %q %v %d bytes, %v; want %q %v %d", i, n.Name, n.Type, n.Size(), err, w.Name, w.Type, len(w.Desc))
				}
				if (n.Desc == nil) != (len(w.Desc) > 64<<10) {
					t.Errorf("Notes[%d].Desc has %d bytes of %d", i, len(n.Desc), len(w.Desc))
				}
			}
		})
	}
}

// TestNotesDamaged has segments that can't be right. The core file is opened nevertheless.
func TestNotesDamaged(t *testing.T) {
	for _, fm := range formats {
		for _, tt := range []struct {
			name      string
			edit      func(notes []byte, put func(off int, v uint32))
			wantNotes int
			wantErr   string
		}{
			{"whole", func([]byte, func(int, uint32)) {}, 3, ""},
			{"n_namesz", func(_ []byte, put func(int, uint32)) { put(28, 0xfffffff0) }, 1, "n_namesz is 4294967280"},
			{"n_namesz overruns", func(_ []byte, put func(int, uint32)) { put(28, 200) }, 1, "overrun the segment"},
			{"n_descsz", func(_ []byte, put func(int, uint32)) { put(32, 0xffffffff) }, 1, "overrun the segment"},
			{"unused CPU", func(_ []byte, put func(int, uint32)) { put(28, 0) }, 1, ""},
		} {
			t.Run(fm.name+"/"+tt.name, func(t *testing.T) {
				c := fm.core
				for i := range 3 {
					c.Notes = append(c.Notes, dumptest.Note{Name: "CORE", Type: 1, Desc: []byte(fmt.Sprintf("cpu %04d", i))})
				} // 28 bytes each
				b := c.Bytes()
				at := bytes.Index(b, []byte("CORE\x00")) - 12
				tt.edit(b[at:], func(off int, v uint32) { c.Order.PutUint32(b[at+off:], v) })
				f := newFile(t, b)
				if len(f.Notes) != tt.wantNotes {
					t.Errorf("%d Notes; want %d", len(f.Notes), tt.wantNotes)
				}
				if tt.wantErr == "" {
					if f.Damage != nil {
						t.Errorf("Damage = %v; want nil", f.Damage)
					}
				} else if len(f.Damage) != 1 || !strings.Contains(f.Damage[0].Error(), tt.wantErr) {
					t.Errorf("Damage = %v; want %q", f.Damage, tt.wantErr)
				}
				if _, err := f.VMCoreInfo(); !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
					t.Errorf("VMCoreInfo() = %v; want %v", err, vmcore.ErrNoVMCoreInfo)
				}
			})
		}
	}
}

// Of several notes the first that has anything to say counts.
func TestFindVMCoreInfo(t *testing.T) {
	info := func(text string) dumptest.Note { return note("VMCOREINFO", 0, text) }
	for _, tt := range []struct {
		name  string
		notes []dumptest.Note
		want  string // OSRELEASE
		none  bool   // ErrNoVMCoreInfo
	}{
		{"one", []dumptest.Note{info("OSRELEASE=a\n")}, "a", false},
		{"two", []dumptest.Note{info("OSRELEASE=a\n"), info("OSRELEASE=b\n")}, "a", false},
		{"the first is empty", []dumptest.Note{info(""), note("CORE", 1, "status"), info("OSRELEASE=b\n")}, "b", false},
		{"the first is zeroes", []dumptest.Note{info("\x00\x00\x00\x00"), info("OSRELEASE=b\n")}, "b", false},
		{"the first is garbage", []dumptest.Note{info("garbage"), info("OSRELEASE=b\n")}, "b", false},
		{"empty", []dumptest.Note{info("")}, "", true},
		{"both empty", []dumptest.Note{info(""), info("\x00")}, "", true},
		{"garbage", []dumptest.Note{info("garbage")}, "", false},
		{"Xen's alone", []dumptest.Note{note("VMCOREINFO_XEN", 0, "OSRELEASE=x\n")}, "", true},
	} {
		for _, fm := range formats {
			c := fm.core
			c.Notes = tt.notes
			v, err := newFile(t, c.Bytes()).VMCoreInfo()
			if tt.want != "" && (err != nil || v.OSRelease != tt.want) || tt.want == "" && (err == nil || errors.Is(err, vmcore.ErrNoVMCoreInfo) != tt.none) {
				t.Errorf("%s, %s: VMCoreInfo() = %+v, %v; want %q", tt.name, fm.name, v, err, tt.want)
			}
		}
	}
}
