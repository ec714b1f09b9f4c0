package capture

import (
	"fmt"
	"slices"
	"testing"
)

// backFile is a file that notes what is written back.
type backFile struct {
	sizedFile
	calls []string
}

func (*backFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func (f *backFile) WriteBack(offset, size int64, wait bool) error {
	f.calls = append(f.calls, fmt.Sprintf("%#x+%#x %v", offset, size, wait))
	return nil
}

// With each window goes what was written again of those before, where the tables of a dump are.
func TestWriteBehindTables(t *testing.T) {
	const at = 0x1000
	f := &backFile{}
	w := newWriteBehind(f, at)
	window, table := make([]byte, writeBehindWindow), make([]byte, 0x200)
	for _, write := range []struct {
		b      []byte
		offset int64
		want   []string
	}{
		{window, 0, []string{"0x1000+0x800000 false"}},
		{table, 0x4000, nil},
		{table, 0x2000, nil},
		{window, writeBehindWindow, []string{"0x3000+0x2200 false", "0x801000+0x800000 false", "0x1000+0x800000 true"}},
		{window, 2 * writeBehindWindow, []string{"0x1001000+0x800000 false", "0x801000+0x800000 true"}},
	} {
		f.calls = nil
		if _, err := w.WriteAt(write.b, write.offset); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.calls, write.want) {
			t.Errorf("after %d bytes at %#x: %q are written back; want %q", len(write.b), write.offset, f.calls, write.want)
		}
	}
	w.restart()
	if w.size() != 0 || w.again != w.againEnd {
		t.Errorf("after a restart: %+v", w)
	}
}
