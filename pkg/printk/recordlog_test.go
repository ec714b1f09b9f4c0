package printk_test

import (
	"bytes"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/printk"
)

// forRecordLogs runs test for each machine and age of kernel.
func forRecordLogs(t *testing.T, size int, test func(*testing.T, *dumptest.Image, *dumptest.RecordLog)) {
	for _, arch := range dumptest.Archs {
		for _, k := range []struct {
			release     string
			caller, old bool
		}{{"3.10.0-1160.el7", false, true}, {"4.18.0-553.el8", false, false}, {"5.4.0", true, false}} {
			t.Run(arch.Name+"/"+k.release, func(t *testing.T) {
				m := dumptest.NewImage(arch, k.release)
				test(t, m, dumptest.NewRecordLog(m, size, k.caller, k.old))
			})
		}
	}
}

func TestRecordLog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		entry func(i int) (dumptest.Entry, int)
	}{
		{"empty", 0, nil},
		{"few", 5, func(i int) (dumptest.Entry, int) { return entry(i, 30), 0 }},
		{"wrapped", 100, func(i int) (dumptest.Entry, int) { return entry(i, 1+i%61), 0 }},
		{"with dictionaries", 100, func(i int) (dumptest.Entry, int) { return entry(i, i%61), i % 33 }},
		{"wrapped many times", 5000, func(i int) (dumptest.Entry, int) { return entry(i, i*7%131), i % 5 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forRecordLogs(t, 2048, func(t *testing.T, m *dumptest.Image, l *dumptest.RecordLog) {
				for i := range tt.n {
					e, dict := tt.entry(i)
					if !l.Add(e, dict) {
						t.Fatalf("Add(%d) = false", i)
					}
				}
				l.Store()
				log := open(t, m.Core())
				if log.Format != printk.FormatRecords {
					t.Errorf("Format = %v; want %v", log.Format, printk.FormatRecords)
				}
				got, st := collect(log)
				want := l.Expect()
				if len(want) > 0 {
					first := want[0].Seq // not exported by these kernels
					for i := range want {
						want[i].Seq -= first
					}
				}
				compare(t, got, want, false)
				if st.Damaged != 0 {
					t.Errorf("Stats = %+v; want no damage", st)
				}
			})
		})
	}
}

// TestRecordLogDamage overwrites a part of the log in the middle: what comes after is found again.
func TestRecordLogDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(rec []byte) // the record that is 3rd of 20
	}{
		{"zeroes", func(b []byte) { clear(b[:40]) }},
		{"ones", func(b []byte) {
			for i := range 40 {
				b[i] = 0xff
			}
		}},
		{"len", func(b []byte) { b[8], b[9] = 0x10, 0x11 }},
		{"text_len", func(b []byte) { b[10], b[11] = 0, 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forRecordLogs(t, 4096, func(t *testing.T, m *dumptest.Image, l *dumptest.RecordLog) {
				for i := range 20 {
					l.Add(entry(i, 64), 0)
				}
				buf, _, next := l.Buf()
				tt.damage(buf[next/20*2:])
				l.Store()
				got, st := collect(open(t, m.Core()))
				if st.Damaged == 0 || len(got) < 19-1 || len(got) > 19 {
					t.Fatalf("%d records, %+v; want 18 or 19 and damage", len(got), st)
				}
				if want := entry(19, 64).Text; !bytes.Equal(got[len(got)-1].Text, want) {
					t.Errorf("last text = %q; want %q", got[len(got)-1].Text, want)
				}
			})
		})
	}
}

func TestByteRing(t *testing.T) {
	text := "<6>[    0.000000] Linux version 2.6.32\n<4>[   12.345678] second\n<30>daemon \x1b line\nno priority\n<0>[  999.000001] unfinished"
	want := []printk.Record{
		{HasTime: true, Facility: 0, Level: 6, Text: []byte("Linux version 2.6.32")},
		{HasTime: true, Time: 12345678000, Facility: 0, Level: 4, Text: []byte("second")},
		{Facility: 3, Level: 6, Text: []byte("daemon \x1b line")},
		{Facility: -1, Level: -1, Text: []byte("no priority")},
		{HasTime: true, Time: 999000001000, Facility: 0, Level: 0, Text: []byte("unfinished")},
	}
	for _, arch := range dumptest.Archs {
		for _, tt := range []struct {
			name  string
			start uint32
		}{{"from the beginning", 0}, {"wrapped", 100}, {"log_end overflowed", 0xffffffff - 100}} {
			t.Run(arch.Name+"/"+tt.name, func(t *testing.T) {
				m := dumptest.NewImage(arch, "2.6.32")
				n := 256
				if tt.start > 0 {
					n = 64 // the oldest half of the text is overwritten
				}
				dumptest.ByteRing(m, n, tt.start, []byte(text))
				log := open(t, m.Core())
				var out bytes.Buffer
				st, err := printk.WriteText(&out, log)
				wantText := text[max(0, len(text)-n):]
				if out.String() != wantText || err != nil || st.Damaged != 0 {
					t.Errorf("WriteText() = %q, %+v, %v; want %q", out.String(), st, err, wantText)
				}
				got, _ := collect(log)
				want := want
				if n < len(text) {
					// The oldest line is partly overwritten.
					want = append([]printk.Record{{Facility: -1, Level: -1, Text: []byte("econd")}}, want[2:]...)
				}
				if len(got) != len(want) {
					t.Fatalf("%d records; want %d", len(got), len(want))
				}
				for i, g := range got {
					w := want[i]
					w.Seq = uint64(i)
					if !bytes.Equal(g.Text, w.Text) || g.Time != w.Time || g.HasTime != w.HasTime ||
						g.Level != w.Level || g.Facility != w.Facility || g.Seq != w.Seq {
						t.Errorf("record %d = %+v; want %+v", i, g, w)
					}
				}
			})
		}
	}
}
