package printk_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

// open reads the log of a core file.
func open(t testing.TB, core *dumptest.Core) *printk.Log {
	t.Helper()
	b := core.Bytes()
	f, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("elfcore.New() = %v", err)
	}
	log, err := printk.Read(f)
	if err != nil {
		t.Fatalf("Read() = %v", err)
	}
	return log
}

// collect returns all records, each with a Text of its own.
func collect(log *printk.Log) ([]printk.Record, printk.Stats) {
	var st printk.Stats
	var recs []printk.Record
	for r := range log.Records(&st) {
		r.Text = bytes.Clone(r.Text)
		recs = append(recs, r)
	}
	return recs, st
}

// compare checks each field that the format keeps.
func compare(t testing.TB, got []printk.Record, want []dumptest.Entry, dev bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records; want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !bytes.Equal(g.Text, w.Text) || g.TextLost != w.Lost {
			t.Fatalf("record %d: text %q, lost %v; want %q, %v", i, g.Text, g.TextLost, w.Text, w.Lost)
		}
		if g.Seq != w.Seq || uint64(g.Time) != w.Time || !g.HasTime {
			t.Fatalf("record %d: seq %d, time %d (%v); want %d, %d", i, g.Seq, g.Time, g.HasTime, w.Seq, w.Time)
		}
		if g.Facility != int(w.Facility) || g.Level != int(w.Level) || g.Flags != w.Flags || g.Caller != w.Caller {
			t.Fatalf("record %d: facility %d level %d flags %d caller %#x; want %d %d %d %#x", i,
				g.Facility, g.Level, g.Flags, g.Caller, w.Facility, w.Level, w.Flags, w.Caller)
		}
		if dev && (g.Subsystem != w.Subsystem || g.Device != w.Device) {
			t.Fatalf("record %d: device %q %q; want %q %q", i, g.Subsystem, g.Device, w.Subsystem, w.Device)
		}
	}
}

// entry makes the i-th message, of textLen bytes.
func entry(i, textLen int) dumptest.Entry {
	text := fmt.Sprintf("message %d %s", i, strings.Repeat("x", textLen))
	return dumptest.Entry{
		Time: uint64(i) * 1234567891, Text: []byte(text)[:textLen], Facility: uint8(i % 24), Level: uint8(i % 8),
		Flags: 2, Caller: printk.CallerIsCPU | uint32(i), Subsystem: "pci", Device: fmt.Sprintf("+pci:0000:00:%02x.0", i%32),
	}
}

// forRings runs test for each machine and age of kernel.
func forRings(t *testing.T, cfg dumptest.RingConfig, test func(*testing.T, *dumptest.Image, *dumptest.Ring)) {
	for _, arch := range dumptest.Archs {
		for _, k := range []struct {
			release              string
			perfect, execContext bool
		}{{"5.10.0", false, false}, {"6.12.0", false, false}, {"6.19.0", true, false}, {"7.3.0", true, true}} {
			t.Run(arch.Name+"/"+k.release, func(t *testing.T) {
				m := dumptest.NewImage(arch, k.release)
				c := cfg
				c.PerfectFit, c.ExecutionContext = k.perfect, k.execContext
				test(t, m, dumptest.NewRing(m, c))
			})
		}
	}
}

func TestRing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   dumptest.RingConfig
		write func(*dumptest.Ring)
	}{
		{"empty", dumptest.RingConfig{CountBits: 3, SizeBits: 8}, func(*dumptest.Ring) {}},
		{"few", dumptest.RingConfig{CountBits: 5, SizeBits: 12}, func(r *dumptest.Ring) {
			for i := range 7 {
				r.Add(entry(i, 10+i), dumptest.Finalized)
			}
		}},
		{"text wraps", dumptest.RingConfig{CountBits: 6, SizeBits: 8}, func(r *dumptest.Ring) {
			for i := range 50 {
				r.Add(entry(i, 1+i%37), dumptest.Finalized)
			}
		}},
		{"descriptors wrap", dumptest.RingConfig{CountBits: 3, SizeBits: 12}, func(r *dumptest.Ring) {
			for i := range 50 {
				r.Add(entry(i, 1+i%37), dumptest.Finalized)
			}
		}},
		{"IDs and positions beyond their overflow", dumptest.RingConfig{CountBits: 4, SizeBits: 8, Start: 1000}, func(r *dumptest.Ring) {
			for i := range 50 {
				r.Add(entry(i, i%60), dumptest.Finalized)
			}
		}},
		{"each size up to the largest", dumptest.RingConfig{CountBits: 8, SizeBits: 9}, func(r *dumptest.Ring) {
			for i := range 400 {
				r.Add(entry(i, i%256), dumptest.Finalized)
			}
		}},
		{"newlines, controls and empty lines", dumptest.RingConfig{CountBits: 5, SizeBits: 10}, func(r *dumptest.Ring) {
			r.Add(dumptest.Entry{Text: []byte("a\nb\n\nc")}, dumptest.Finalized)
			r.Add(dumptest.Entry{}, dumptest.Finalized)
			r.Add(dumptest.Entry{Text: []byte("\x00\x1b[1m\xff\t")}, dumptest.Finalized)
		}},
		{"newest is only committed", dumptest.RingConfig{CountBits: 5, SizeBits: 10}, func(r *dumptest.Ring) {
			r.Add(entry(1, 20), dumptest.Finalized)
			r.Add(entry(2, 20), dumptest.Committed)
		}},
		{"continued, also across the end", dumptest.RingConfig{CountBits: 5, SizeBits: 8}, func(r *dumptest.Ring) {
			for i := range 30 {
				r.Add(entry(i, 3+i%11), dumptest.Committed)
				for range i % 5 {
					r.Continue([]byte(" and more"))
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forRings(t, tt.cfg, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
				tt.write(r)
				r.Store()
				log := open(t, m.Core())
				if log.Format != printk.FormatRing {
					t.Errorf("Format = %v; want %v", log.Format, printk.FormatRing)
				}
				got, st := collect(log)
				compare(t, got, r.Expect(), true)
				if st.Damaged != 0 || st.Err != nil || st.Records != uint64(len(got)) {
					t.Errorf("Stats = %+v; want no damage and %d records", st, len(got))
				}
			})
		})
	}
}

// TestRingPerfectFit writes a block that ends exactly at the end of the ring, the case that
// vmcore-dmesg gets wrong on kernels that leave it there.
func TestRingPerfectFit(t *testing.T) {
	forRings(t, dumptest.RingConfig{CountBits: 4, SizeBits: 8}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
		for i := range 4 {
			r.Add(entry(i, 64-m.Word), dumptest.Finalized) // 4 blocks of 64 bytes: 256
		}
		if ends := r.Desc(0).Next&255 == 0; ends != r.PerfectFit {
			t.Fatalf("fourth block ends at the end of the ring: %v; want %v", ends, r.PerfectFit)
		}
		r.Store()
		got, st := collect(open(t, m.Core()))
		compare(t, got, r.Expect(), true)
		if want := map[bool]int{true: 4, false: 3}[r.PerfectFit]; len(got) != want || st.Damaged != 0 {
			t.Errorf("%d records, %+v; want %d without damage", len(got), st, want)
		}
	})
}

// TestRingCrash has CPUs that stopped in the middle of printk.
func TestRingCrash(t *testing.T) {
	forRings(t, dumptest.RingConfig{CountBits: 4, SizeBits: 8, Start: 40}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
		r.Add(entry(1, 30), dumptest.Finalized)
		r.Add(entry(2, 30), dumptest.Reserved)
		r.Add(entry(3, 30), dumptest.Finalized)
		// The reserved block can't be pushed out, so text gets lost from here on.
		for i := range 8 {
			r.Add(entry(4+i, 30), dumptest.Finalized)
		}
		r.Advance()
		r.Store()
		got, st := collect(open(t, m.Core()))
		want := r.Expect()
		compare(t, got, want, true)
		lost := uint64(0)
		for _, e := range want {
			if e.Lost {
				lost++
			}
		}
		if lost == 0 {
			t.Fatalf("the model lost no text; the test proves nothing")
		}
		if st.Lost != lost || st.Reserved != 2 || st.Damaged != 0 {
			t.Errorf("Stats = %+v; want Lost %d, Reserved 2, Damaged 0", st, lost)
		}
	})
}

func TestRingDamage(t *testing.T) {
	for _, tt := range []struct {
		name    string
		damage  func(*dumptest.Ring)
		records int // of 6
		texts   int
	}{
		{"ID of a descriptor", func(r *dumptest.Ring) { r.Desc(2).ID ^= 1 << 20 }, 5, 5},
		{"begin is not aligned", func(r *dumptest.Ring) { r.Desc(2).Begin += 2 }, 6, 5},
		{"begin is beyond the block", func(r *dumptest.Ring) { r.Desc(2).Begin += 128 }, 6, 5},
		{"next is before begin", func(r *dumptest.Ring) { r.Desc(2).Next = r.Desc(2).Begin - 8 }, 6, 5},
		{"next is begin", func(r *dumptest.Ring) { r.Desc(2).Next = r.Desc(2).Begin }, 6, 5},
		{"half a block", func(r *dumptest.Ring) { r.Desc(2).Next -= 16 }, 6, 6},
		{"block of another record", func(r *dumptest.Ring) { r.Desc(2).Begin, r.Desc(2).Next = r.Desc(1).Begin, r.Desc(1).Next }, 6, 5},
		{"text ring overwritten", func(r *dumptest.Ring) { clear(r.Data()) }, 6, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forRings(t, dumptest.RingConfig{CountBits: 4, SizeBits: 9}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
				for i := range 6 {
					r.Add(entry(i, 40), dumptest.Finalized)
				}
				tt.damage(r)
				r.Store()
				got, st := collect(open(t, m.Core()))
				texts := 0
				for _, g := range got {
					if !g.TextLost {
						texts++
					}
				}
				if len(got) != tt.records || texts != tt.texts || st.Damaged == 0 || st.Err == nil {
					t.Errorf("%d records, %d texts, %+v; want %d, %d and damage", len(got), texts, st, tt.records, tt.texts)
				}
			})
		})
	}
}

// TestRingCrashEarly stops in desc_reserve when most descriptors have never been used.
func TestRingCrashEarly(t *testing.T) {
	forRings(t, dumptest.RingConfig{CountBits: 4, SizeBits: 9}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
		r.Add(entry(0, 30), dumptest.Finalized)
		r.Advance()
		r.Store()
		got, st := collect(open(t, m.Core()))
		compare(t, got, r.Expect(), true)
		if len(got) != 1 || st.Reserved != 1 || st.Damaged != 0 {
			t.Errorf("%d records, %+v; want 1, Reserved 1, Damaged 0", len(got), st)
		}
	})
}

// TestRingTail has a tail_id that is too far from head_id: what the descriptors hold is read once.
func TestRingTail(t *testing.T) {
	forRings(t, dumptest.RingConfig{CountBits: 4, SizeBits: 9, Claim: dumptest.Claim{TailBack: 1 << 25}}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
		for i := range 6 {
			r.Add(entry(i, 30), dumptest.Finalized)
		}
		r.Store()
		got, st := collect(open(t, m.Core()))
		compare(t, got, r.Expect(), true)
		if st.Damaged == 0 || st.Damaged > 16 {
			t.Errorf("%+v; want damage, but not for each of 1<<25 records", st)
		}
	})
}

// TestRingTruncated cuts the dump within the text: what is there is read.
func TestRingTruncated(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 5, SizeBits: 17})
	for i := range 30 {
		r.Add(entry(i, 4000), dumptest.Finalized)
	}
	r.Store()
	core := m.Core()
	// The newest quarter of the text lies in memory that the dump doesn't have.
	data := core.Loads[0].Data
	at := bytes.Index(data, []byte("message 22 "))
	tail := bytes.Index(data, []byte("message 29 ")) + 8192
	core.Loads = []dumptest.Load{
		{Phys: m.Phys, Virt: m.Virt, Data: data[:at]},
		{Phys: m.Phys + uint64(tail), Virt: m.Virt + uint64(tail), Data: data[tail:]},
	}
	got, st := collect(open(t, core))
	if len(got) != 30 || st.Damaged != 8 {
		t.Fatalf("%d records, %+v; want 30 and 8 damaged", len(got), st)
	}
	for i, g := range got {
		if g.TextLost != (i >= 22) {
			t.Errorf("record %d: TextLost = %v", i, g.TextLost)
		}
	}
}
