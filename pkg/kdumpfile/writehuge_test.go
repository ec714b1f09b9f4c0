package kdumpfile_test

import (
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// hugeDump has so many bytes of memory from 4 GiB on, of which each page begins with its address.
type hugeDump struct {
	kdumpfile.Dump
	size memmap.PhysAddr
}

func (h hugeDump) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	r := memmap.Range{Start: max(4<<30, addr), End: 4<<30 + h.size}
	if r.Empty() {
		return r, io.EOF
	}
	return r, nil
}

func (h hugeDump) NextHeld(addr memmap.PhysAddr) (memmap.Range, error) { return h.NextMemory(addr) }

func (h hugeDump) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	clear(b)
	for i := 0; i < len(b); i += 4096 {
		binary.LittleEndian.PutUint64(b[i:], uint64(addr)+uint64(i))
	}
	return len(b), nil
}

// TestWriteHuge writes 12 TiB of memory of which a filter leaves little, in as much memory as it takes for a small machine.
func TestWriteHuge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	d := hugeDump{open(t, bigKDump(5).Core.Bytes()), 12 << 40}
	filter := filterFunc(func(first uint64, keep []uint64) error {
		clear(keep)
		keep[first>>18%uint64(len(keep))] = 0x10001
		return nil
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := int64(0)
	done, err := kdumpfile.WriteCompressed(context.Background(), nowhere{}, d, kdumpfile.WriteOptions{Filter: filter, Workers: 2, Codec: kdumpfile.CodecZstd,
		Advance: func(p kdumpfile.Progress) {
			if p.Pages>>18%1024 == 0 {
				runtime.ReadMemStats(&after)
				peak = max(peak, int64(after.HeapAlloc)-int64(before.HeapAlloc))
			}
		}})
	runtime.ReadMemStats(&after)
	if pages := uint64(12 << 40 >> 12); err != nil || done.Pages != pages || done.Kept != 2*12<<10 || done.Saved != done.Kept {
		t.Fatalf("WriteCompressed() = %+v, %v", done, err)
	}
	// 2 bytes of HeapAlloc a byte that is in use are usual between collections.
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 || peak > 20<<20 {
		t.Errorf("allocated %d MiB, in use at once %d MiB", used>>20, peak>>20)
	}
}
