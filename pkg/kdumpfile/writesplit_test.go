package kdumpfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// TestWriteSplit writes a dump in parts, opens them together, and joins them to one file again.
func TestWriteSplit(t *testing.T) {
	for _, a := range dumptest.Archs {
		k := kdump(a, 6)
		for _, n := range []int{1, 2, 3, 7, 200} {
			t.Run(fmt.Sprint(a.Name, " ", n), func(t *testing.T) {
				filter := everyThird(k.Core.Loads[1].Phys >> 12)
				opt := kdumpfile.WriteOptions{Codec: kdumpfile.CodecZlib, Filter: filter, DumpLevel: 17}
				files := make([]memFile, n)
				writers := make([]io.WriterAt, n)
				for i := range files {
					writers[i] = &files[i]
				}
				done, err := kdumpfile.WriteSplit(context.Background(), writers, open(t, k.Core.Bytes()), opt)
				if err != nil {
					t.Fatal(err)
				}
				var parts [][]byte
				for i := range files {
					parts = append(parts, files[i].b)
					if done[i].Kept != done[i].Saved || done[i].Incomplete || done[i].Kept > done[0].Kept+1 || done[i].Kept+1 < done[0].Kept {
						t.Errorf("part %d: %+v; the first: %+v", i, done[i], done[0])
					}
				}
				excluded := func(phys uint64) bool { return filter.excludes(phys >> 12) }
				slices.Reverse(parts)
				d := open(t, parts...)
				checkMemory(t, d, k.Core, excluded)
				if d.Incomplete() {
					t.Errorf("Incomplete(); Damage() = %v", d.Damage())
				}
				if n > 1 {
					if _, err := tryOpen(parts[1:]...); !errors.Is(err, kdumpfile.ErrSplit) {
						t.Errorf("Open() without the last part = %v; want ErrSplit", err)
					}
				}
				var one, again memFile
				if _, err := kdumpfile.WriteCompressed(context.Background(), &one, open(t, k.Core.Bytes()), opt); err != nil {
					t.Fatal(err)
				}
				opt.Filter = nil
				if _, err := kdumpfile.WriteCompressed(context.Background(), &again, d, opt); err != nil {
					t.Fatal(err)
				}
				// All but the time is the same.
				for _, f := range []*memFile{&one, &again} {
					clear(f.b[404:424])
				}
				if !bytes.Equal(one.b, again.b) {
					t.Errorf("joined again, it is not the dump that is written at once: %d and %d bytes", len(again.b), len(one.b))
				}
			})
		}
	}
}

// TestWriteRaw copies compressed dumps with the same codec: pages that are packed stay so, byte for byte, and those of zeroes
// are found all the same.
func TestWriteRaw(t *testing.T) {
	k := bigKDump(1)
	for _, from := range codecs {
		for _, to := range codecs {
			for _, zero := range []bool{false, true} {
				var first, second memFile
				opt := kdumpfile.WriteOptions{Codec: from}
				if _, err := kdumpfile.WriteCompressed(context.Background(), &first, open(t, k.Core.Bytes()), opt); err != nil {
					t.Fatal(err)
				}
				opt = kdumpfile.WriteOptions{Codec: to, OmitZero: zero, Filter: everyThird(0x40000)}
				done, err := kdumpfile.WriteCompressed(context.Background(), &second, open(t, first.b), opt)
				if err != nil || (done.Zero > 20) != zero {
					t.Fatalf("%v to %v: WriteCompressed() = %+v, %v", from, to, done, err)
				}
				checkMemory(t, open(t, second.b), k.Core, func(phys uint64) bool { return everyThird(0x40000).excludes(phys >> 12) })
			}
		}
	}
	// A page that isn't there any more is one that can't be read.
	var f, out memFile
	if _, err := kdumpfile.WriteCompressed(context.Background(), &f, open(t, k.Core.Bytes()), kdumpfile.WriteOptions{Codec: kdumpfile.CodecZstd}); err != nil {
		t.Fatal(err)
	}
	bad := 0
	opt := kdumpfile.WriteOptions{Codec: kdumpfile.CodecZstd, Unreadable: func(_ memmap.PhysAddr, err error) {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Unreadable: %v", err)
		}
		bad++
	}}
	done, err := kdumpfile.WriteCompressed(context.Background(), &out, open(t, f.b[:len(f.b)-200000]), opt)
	if err != nil || bad < 40 || bad > 60 || done.Unreadable != uint64(bad) {
		t.Errorf("WriteCompressed() of a cut dump = %+v, %v, %d pages can't be read", done, err, bad)
	}
}
