package blkid

import (
	"testing"
)

// sparse is a device of zeros with one other byte, which counts what is read.
type sparse struct {
	size, at     int64 // at < 0: all zeros
	reads, bytes int64
	shown        bool // the byte was read
}

func (s *sparse) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	s.reads++
	s.bytes += int64(len(p))
	if i := s.at - offset; s.at >= 0 && i >= 0 && i < int64(len(p)) {
		p[i] = 0x5a
		s.shown = true
	}
	return len(p), nil
}

func TestInspectBlank(t *testing.T) {
	for _, size := range []int64{512, 4096, 1 << 20, 100<<20 + 512, 3 << 40, 1<<62 - 512} {
		r := &sparse{size: size, at: -1}
		c, err := Inspect(r, size)
		if err != nil || c.Verdict().Kind != Blank {
			t.Errorf("%d zeros: %+v, %v; want blank", size, c.Verdict(), err)
		}
		if r.reads > 1000 || r.bytes > 10<<20 {
			t.Errorf("%d bytes: %d reads, %d bytes", size, r.reads, r.bytes)
		}
		// Probe alone never says so.
		if c, err := Probe(r, size); err != nil || c.Verdict().Kind != Unknown {
			t.Errorf("Probe of %d zeros: %+v, %v; want unknown", size, c.Verdict(), err)
		}
	}
}

// What has no header (a data device of a cache, a realtime device of XFS) has data all over;
// one place of it is enough.
func TestInspectFindsData(t *testing.T) {
	const size = 512<<30 + 512
	for _, at := range []int64{
		0, 1<<20 - 1, 1 << 20, 2<<20 + 5, 4 << 20, 8 << 20, 64 << 20, 128 << 20, 256 << 30,
		size / 2, size / 256, size - 1, size - 512, size - 1<<20, size - 4096,
	} {
		r := &sparse{size: size, at: at}
		c, err := Inspect(r, size)
		if err != nil || c.Verdict().Kind != Unknown || c.DataAt != at {
			t.Errorf("a byte at %#x: %+v, data at %#x, %v; want unknown", at, c.Verdict(), c.DataAt, err)
		}
	}
	if _, err := Inspect(badReader{}, 1<<20); err == nil {
		t.Error("Inspect of what can't be read: no error")
	}
}

// FuzzInspect: whatever the size and wherever the only byte that is not zero:
// a device is blank only if no byte that was read is not zero, and the reads are bounded.
func FuzzInspect(f *testing.F) {
	f.Add(int64(1<<40), int64(1<<39))
	f.Add(int64(511), int64(-1))
	f.Fuzz(func(t *testing.T, size, at int64) {
		if size < 0 {
			size = -(size + 1)
		}
		r := &sparse{size: size, at: at}
		c, err := Inspect(r, size)
		if err != nil {
			t.Fatal(err)
		}
		if blank := c.Verdict().Kind == Blank; blank && r.shown || !blank && at < 0 {
			t.Errorf("size %d, a byte at %d: %+v", size, at, c.Verdict())
		}
		if r.reads > 1000 || r.bytes > 10<<20 {
			t.Errorf("size %d: %d reads, %d bytes", size, r.reads, r.bytes)
		}
	})
}
