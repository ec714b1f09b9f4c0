package printk_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// clearedRing is a log of 20 records that was cleared before number 12.
func clearedRing(a dumptest.Arch, latch uint64, latched bool) *dumptest.Image {
	m := dumptest.NewImage(a, "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 6, SizeBits: 12})
	for i := range 20 {
		r.Add(dumptest.Entry{Text: fmt.Appendf(nil, "record %d", i)}, dumptest.Finalized)
	}
	r.Store()
	if !latched {
		m.Var("clear_seq", 8, 12)
		return m
	}
	addr := m.Alloc(24, 8)
	m.Put(addr, 4, latch)
	m.Put(addr+8+8*(latch&1), 8, 12)
	m.Put(addr+8+8*(1-latch&1), 8, 3)
	m.Symbol("clear_seq", addr)
	m.Line("SIZE(latched_seq)=24")
	m.Line("OFFSET(latched_seq.val)=8")
	return m
}

func TestSinceCleared(t *testing.T) {
	check := func(name string, m *dumptest.Image, want int, first string) {
		t.Helper()
		log, err := open(t, m.Core()).SinceCleared()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got, st := collect(log)
		if len(got) != want || string(got[0].Text) != first || st.Damaged != 0 || st.Records != uint64(want) {
			t.Errorf("%s: %d records, the first %q, %+v; want %d from %q on", name, len(got), got[0].Text, st, want, first)
		}
	}
	for _, a := range dumptest.Archs {
		check(a.Name, clearedRing(a, 0, false), 8, "record 12")
		check(a.Name+" latched, even", clearedRing(a, 6, true), 8, "record 12")
		check(a.Name+" latched, odd", clearedRing(a, 7, true), 8, "record 12")
		m := dumptest.NewImage(a, "4.18.0")
		l := dumptest.NewRecordLog(m, 4096, false, false)
		at := 0
		for i := range 20 {
			if i == 12 {
				_, _, at = l.Buf()
			}
			l.Add(dumptest.Entry{Text: fmt.Appendf(nil, "record %d", i)}, 0)
		}
		l.Store()
		check(a.Name+" records, not told", m, 20, "record 0")
		m.Var("clear_idx", 4, uint64(at))
		check(a.Name+" records", m, 8, "record 12")
	}
	m := clearedRing(dumptest.Archs[0], 0, true)
	m.Symbol("clear_seq", 0xffffffffbfff0000)
	var read *vmcore.ReadError
	if _, err := open(t, m.Core()).SinceCleared(); !errors.As(err, &read) || read.What != "clear_seq" {
		t.Errorf("SinceCleared with a wild address = %v; want a *vmcore.ReadError", err)
	}
	if log := open(t, clearedRing(dumptest.Archs[0], 0, false).Core()); log.Format != printk.FormatRing {
		t.Errorf("Format = %v", log.Format)
	}
}
