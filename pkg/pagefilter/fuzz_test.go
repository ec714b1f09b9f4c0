package pagefilter_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// counted is a memory that counts the bytes that are read.
type counted struct {
	*dumptest.Machine
	bytes atomic.Int64
}

func (c *counted) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n, err := c.Machine.ReadVirtAt(b, addr)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *counted) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	n, err := c.Machine.ReadPhysAt(b, addr)
	c.bytes.Add(int64(n))
	return n, err
}

// translation are the keys that say where the kernel image is.
var translation = []string{"SYMBOL(_stext)", "NUMBER(phys_base)", "NUMBER(KERNEL_IMAGE_SIZE)", "SYMBOL(init_top_pgt)",
	"NUMBER(pgtable_l5_enabled)", "NUMBER(sme_mask)", "PAGESIZE"}

// edit changes the machine by the data: each 12 bytes are a place (VMCOREINFO line or struct page), and a value.
// It reports whether the place of the kernel image is still told.
func edit(m *dumptest.Machine, data []byte, pages uint64) (imageTold bool) {
	imageTold = true
	for range min(len(data)/12, 64) {
		where, value := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint64(data[4:])
		data = data[12:]
		if where&1 != 0 {
			m.Set(uint64(where>>4)%pages, uint64(where>>1&7)*8, 8, value)
			continue
		}
		m.Edit(func(text string) string {
			lines := slices.Collect(strings.Lines(text))
			i := int(where>>4) % len(lines)
			key, _, _ := strings.Cut(lines[i], "=")
			imageTold = imageTold && !slices.Contains(translation, key)
			switch where >> 1 & 7 {
			case 0:
				lines[i] = ""
			case 1:
				lines[i] = fmt.Sprintf("%s=%d\n", key, int64(value))
			case 2:
				lines[i] = fmt.Sprintf("%s=%d\n", key, value%64)
			case 3:
				lines[i] = fmt.Sprintf("%s=%x\n", key, value)
			default:
				lines[i] = fmt.Sprintf("%s=%d\n", key, value%4096)
			}
			return strings.Join(lines, "")
		})
	}
	return imageTold
}

// Whatever VMCOREINFO and the struct pages say: no panic, a bounded amount is read, and as long as it is
// told where the kernel image is, the image is kept. Level 0 keeps all but what must not be read, and a
// level that has the bits of another keeps no more.
func FuzzClassify(f *testing.F) {
	ks := dumptest.Kernels()
	f.Add(uint8(0), []byte{})
	f.Add(uint8(7), []byte("struct page "))
	f.Add(uint8(9), binary.LittleEndian.AppendUint64([]byte{1 | 6<<1, 0xc0, 0, 0}, 0xf000000000000000))
	for line := range uint32(40) {
		f.Add(uint8(line), binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, line<<4|line%5<<1), 1<<63+12345))
	}
	f.Fuzz(func(t *testing.T, version uint8, data []byte) {
		const pages = 64 << 20 >> 12
		p := dumptest.X86Paging(4, 0)
		m := &counted{Machine: dumptest.NewMachine(p, ks[int(version)%len(ks)], 128<<20)}
		for i := range uint64(8) {
			m.Free(0x7000+8*i, uint(i%4))
			m.Anon(0x7100 + i)
			m.Cache(0x7200+i, i%2 == 0)
		}
		imageTold := edit(m.Machine, data, 128<<20>>12)
		filter, err := pagefilter.New(m, pagefilter.Options{})
		if err != nil {
			return
		}
		s, err := filter.Survey(context.Background(), pagefilter.SurveyOptions{Workers: 1})
		if err != nil {
			return
		}
		if n := m.bytes.Load(); n > 512<<20 {
			t.Errorf("%d bytes were read of a machine with 128 MiB", n)
		}
		want := s.Pages
		if len(s.Refused) == 0 {
			want -= s.Counts[pagefilter.HWPoison] + s.Counts[pagefilter.Offline] + s.Counts[pagefilter.Unaccepted]
		}
		if s.KeptAt(0) != want {
			t.Errorf("level 0 keeps %d of %d page frames; want %d", s.KeptAt(0), s.Pages, want)
		}
		for level := range pagefilter.MaxLevel + 1 {
			for bit := pagefilter.Level(1); bit <= 16; bit <<= 1 {
				if s.KeptAt(level|bit) > s.KeptAt(level) {
					t.Errorf("level %d keeps %d page frames, level %d only %d", level|bit, s.KeptAt(level|bit), level, s.KeptAt(level))
				}
			}
		}
		if !imageTold {
			return
		}
		for i, c := range classes(t, filter, 0)[:(p.ImagePhys+pages)>>12] {
			if pfn := uint64(i); c != kept && pfn >= p.ImagePhys>>12 {
				t.Fatalf("page frame %#x of the kernel image is %v", pfn, c)
			}
		}
	})
}
