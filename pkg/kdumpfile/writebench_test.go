package kdumpfile_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// BenchmarkWriteCompressed writes 16 MiB of pointers, counters, texts and zeroes with each codec, from an ELF dump and from a
// compressed one of that codec.
func BenchmarkWriteCompressed(b *testing.B) {
	core := testImage(dumptest.Archs[0])
	data := make([]byte, 16<<20)
	x := uint64(1)
	for at := 0; at < len(data); at += 8 {
		x = x*6364136223846793005 + 1442695040888963407
		switch at >> 12 & 3 {
		case 0:
			binary.LittleEndian.PutUint64(data[at:], 0xffff888000000000+x>>44<<6)
		case 1:
			binary.LittleEndian.PutUint64(data[at:], x>>62<<32|uint64(at>>8))
		case 2:
			copy(data[at:], fmt.Sprintf("%8d", x>>48))
		}
	}
	core.Loads = append(core.Loads, dumptest.Load{Phys: 0x40000000, Data: data})
	source := open(b, core.Bytes())
	for _, codec := range codecs {
		opt := kdumpfile.WriteOptions{Codec: codec, OmitZero: true, Workers: 1}
		var packed memFile
		if _, err := kdumpfile.WriteCompressed(b.Context(), &packed, source, opt); err != nil {
			b.Fatal(err)
		}
		for _, from := range []struct {
			name string
			dump kdumpfile.Dump
		}{{"ELF", source}, {"compressed", open(b, packed.b)}} {
			b.Run(fmt.Sprint(codec, "/", from.name), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := kdumpfile.WriteCompressed(b.Context(), nowhere{}, from.dump, opt); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(packed.Size())/float64(len(data)), "ratio")
			})
		}
	}
}
