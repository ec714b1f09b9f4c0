package printk_test

import (
	"bytes"
	"testing"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

// FuzzRing lets the model of the kernel's writer follow a script: what a reader should find is
// read back exactly, whatever the machine, the age of the kernel and the state the ring is in.
func FuzzRing(f *testing.F) {
	f.Add(uint8(0), uint8(4), uint8(8), uint16(0), []byte("\x10\x20\x30\x40\x50\x60"))
	f.Add(uint8(7), uint8(2), uint8(7), uint16(300), []byte("\x41\x82\xc3\x04\x45\x86\xff\x00\x01"))
	f.Fuzz(func(t *testing.T, kind, countBits, sizeBits uint8, start uint16, script []byte) {
		arch := dumptest.Archs[int(kind)%len(dumptest.Archs)]
		m := dumptest.NewImage(arch, "6.12.0")
		r := dumptest.NewRing(m, dumptest.RingConfig{
			CountBits: 1 + int(countBits%8), SizeBits: 7 + int(sizeBits%6),
			PerfectFit: kind&0x40 != 0, ExecutionContext: kind&0x80 != 0, Start: uint64(start % 2000),
		})
		for i, c := range script[:min(len(script), 2000)] {
			n := int(c & 0x3f)
			switch e := entry(i, n*3); c >> 6 {
			case 0, 1:
				r.Add(e, dumptest.Finalized)
			case 2:
				r.Add(e, dumptest.Committed)
				r.Continue(e.Text[:n])
			case 3:
				if n == 0 {
					r.Add(e, dumptest.Reserved)
				} else {
					r.Continue(e.Text[:n])
				}
			}
		}
		r.Store()
		got, st := collect(open(t, m.Core()))
		compare(t, got, r.Expect(), true)
		if st.Damaged != 0 {
			t.Errorf("Stats = %+v; want no damage", st)
		}
	})
}

// FuzzRecordLog does the same with the model of log_store.
func FuzzRecordLog(f *testing.F) {
	f.Add(uint8(0), uint16(500), []byte("\x10\x20\x30\x40\x50\x60"))
	f.Fuzz(func(t *testing.T, kind uint8, size uint16, script []byte) {
		m := dumptest.NewImage(dumptest.Archs[int(kind)%len(dumptest.Archs)], "4.18.0")
		l := dumptest.NewRecordLog(m, 64+int(size%4096)&^7, kind&0x40 != 0, kind&0x80 != 0)
		for i, c := range script[:min(len(script), 2000)] {
			l.Add(entry(i, int(c)), int(c)%7)
		}
		l.Store()
		got, st := collect(open(t, m.Core()))
		want := l.Expect()
		for i := range want {
			want[i].Seq = uint64(i)
		}
		compare(t, got, want, false)
		if st.Damaged != 0 {
			t.Errorf("Stats = %+v; want no damage", st)
		}
	})
}

// FuzzGarbage overwrites bytes anywhere in a dump with a log. Reading it ends, without a panic,
// without using more memory than the windows, and returns no more than the dump can hold.
func FuzzGarbage(f *testing.F) {
	f.Add(uint8(0), []byte{0, 0, 1}, uint32(1))
	f.Add(uint8(6), []byte{1, 200, 255, 9, 9, 0}, uint32(77))
	f.Fuzz(func(t *testing.T, kind uint8, edits []byte, seed uint32) {
		m := dumptest.NewImage(dumptest.Archs[int(kind)%len(dumptest.Archs)], "6.12.0")
		switch kind / 8 % 3 {
		case 0:
			r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 5, SizeBits: 10, PerfectFit: true})
			for i := range 40 {
				r.Add(entry(i, i), dumptest.Finalized)
			}
			r.Store()
		case 1:
			l := dumptest.NewRecordLog(m, 1024, kind&64 != 0, kind&128 != 0)
			for i := range 40 {
				l.Add(entry(i, i), 0)
			}
			l.Store()
		case 2:
			dumptest.ByteRing(m, 1024, seed, bytes.Repeat([]byte("<6>[    1.000000] line\n"), 60))
		}
		b := m.Core().Bytes()
		for len(edits) >= 3 {
			b[(int(edits[0])|int(edits[1])<<8)%len(b)] = edits[2]
			edits = edits[3:]
		}
		file, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var st printk.Stats
		used := alloctest.Bytes(func() {
			log, err := printk.Read(file)
			if err != nil {
				return
			}
			var out counter
			if st, err = printk.WriteText(&out, log); err != nil {
				t.Errorf("WriteText() = %v", err)
			}
		})
		// The windows; a name per record; arguments of errors that are not made.
		if used > 4<<20+100*st.Damaged {
			t.Errorf("reading allocated %d bytes in all; %+v", used, st)
		}
	})
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}
