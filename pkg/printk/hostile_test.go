package printk_test

import (
	"bytes"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

// counted counts what is read of a dump.
type counted struct {
	*elfcore.File
	n int64
}

func (c *counted) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n, err := c.File.ReadVirtAt(b, addr)
	c.n += int64(n)
	return n, err
}

// A log that claims the most that a kernel can have, in memory that the dump only says is zero, is read as far as
// makes sense.
func TestHostileSizes(t *testing.T) {
	const claim = 1 << 31
	for name, store := range map[string]func(m *dumptest.Image, zero uint64){
		"ring": func(m *dumptest.Image, zero uint64) {
			r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 5, SizeBits: 10})
			r.Add(entry(1, 10), dumptest.Finalized)
			r.Claim.CountBits, r.Claim.SizeBits, r.Claim.TailBack, r.Claim.Descs = 26, 31, 1<<26-50, zero
			r.Store()
		},
		"records": func(m *dumptest.Image, zero uint64) {
			l := dumptest.NewRecordLog(m, 1024, false, false)
			l.Store()
			claimBuffer(m, zero, claim)
			m.Var("log_next_idx", 4, claim-64)
		},
		"bytes": func(m *dumptest.Image, zero uint64) {
			dumptest.ByteRing(m, 1024, 0, []byte("line"))
			claimBuffer(m, zero, claim)
			m.Var("logged_chars", 4, claim)
		},
	} {
		for _, arch := range dumptest.Archs[:2] {
			m := dumptest.NewImage(arch, "6.12.0")
			zero := arch.Virt + 1<<20
			store(m, zero)
			core := m.Core()
			core.Loads[0].MemSize = claim + 1<<21
			b := core.Bytes()
			f, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			c := &counted{File: f}
			log, err := printk.Read(c)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var out counter
			st, err := printk.WriteText(&out, log)
			if err != nil || st.Damaged == 0 || out.n > 20<<20 || c.n > 20<<20 {
				t.Errorf("%s, %s: WriteText() = %+v, %v; %d bytes written, %d read", name, arch.Name, st, err, out.n, c.n)
			}
		}
	}
}

// claimBuffer says that the log is elsewhere, and so long. The last line of VMCOREINFO about a symbol counts.
func claimBuffer(m *dumptest.Image, addr, size uint64) {
	m.Var("log_buf", m.Word, addr)
	m.Var("log_buf_len", 4, size)
}
