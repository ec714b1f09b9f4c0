package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// branchSample returns machine code of the kinds that the filter looks for,
// and data; the same for the same seed.
func branchSample(filter uint64, seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, filter))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		x := r.Uint32()
		switch {
		case filter == xzFilterARM64 && r.IntN(3) == 0:
			b = le.AppendUint32(b, 0x94000000|x&0x3ffffff) // bl
		case filter == xzFilterARM64 && r.IntN(2) == 0:
			b = le.AppendUint32(b, 0x90000000|x&0x60ffffff) // adrp, often near
		case filter == xzFilterARM64:
			b = le.AppendUint32(b, x)
		case r.IntN(4) == 0:
			b = le.AppendUint32(b, x&^0xfff|[]uint32{0xef, 0x2ef, 0x6f}[r.IntN(3)]) // jal ra, t0, x0
		case r.IntN(3) == 0:
			rd := uint32(r.IntN(32))
			b = le.AppendUint32(b, x&^0xfff|rd<<7|0x17) // auipc, and mostly its other half
			low := []uint32{0x13, 0x67, 0x3003, 0x3023}[r.IntN(4)]
			b = le.AppendUint32(b, r.Uint32()&0xfff00f80|rd<<15|low)
		case r.IntN(2) == 0:
			b = le.AppendUint32(b, x&^0xf7f|0x117) // auipc x0 or x2: to be escaped
		default:
			b = binary.LittleEndian.AppendUint16(b, uint16(x)) // compressed instruction
		}
	}
	return b[:n]
}

// TestXZFilters reads what xz 5.8.1 made of branchSample:
// xz --check=crc32 --arm64 (or --riscv) --lzma2.
func TestXZFilters(t *testing.T) {
	for filter, path := range map[uint64]string{xzFilterARM64: "testdata/arm64.xz", xzFilterRISCV: "testdata/riscv.xz"} {
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := branchSample(filter, 1, 6001)
		got, err := unpack(codecFor("xz"), packed, 0, maxUnpacked)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: unpack = %d bytes, %v; want %d", path, len(got), err, len(want))
		}
		// Each byte that is changed or cut off is found.
		for i := xzHeaderSize; i < len(packed)-40; i += 97 {
			bad := append([]byte(nil), packed...)
			bad[i] ^= 0x40
			if got, err := unpack(codecFor("xz"), bad, 0, 1<<20); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) {
				t.Errorf("%s with byte %d changed: unpack = %d bytes, %v; want ErrCorrupt", path, i, len(got), err)
			}
			if got, err := unpack(codecFor("xz"), packed[:i], 0, 1<<20); !errors.Is(err, ErrTruncated) {
				t.Errorf("%s cut to %d bytes: unpack = %d bytes, %v; want ErrTruncated", path, i, len(got), err)
			}
		}
	}
}

// filterARM64 is the inverse of unfilterARM64.
func filterARM64(b []byte, pos uint32) {
	for i := 0; i+4 <= len(b); i += 4 {
		inst, pc := le.Uint32(b[i:]), pos+uint32(i)
		if inst>>26 == 0x25 {
			le.PutUint32(b[i:], 0x94000000|(inst+pc>>2)&0x3ffffff)
		} else if inst&0x9f000000 == 0x90000000 {
			page := inst>>29&3 | inst>>3&0x1ffffc
			if (page+0x20000)&0x1c0000 != 0 {
				continue
			}
			page += pc >> 12
			inst = inst&0x9000001f | page&3<<29 | page&0x3fffc<<3 | -(page&0x20000)&0xe00000
			le.PutUint32(b[i:], inst)
		}
	}
}

// filterRISCV is the inverse of unfilterRISCV.
func filterRISCV(b []byte, pos uint32) {
	for i := 0; i+8 <= len(b); i += 2 {
		pc, inst, next := pos+uint32(i), le.Uint32(b[i:]), le.Uint32(b[i+4:])
		switch {
		case b[i] == 0xef && b[i+1]&0x0d == 0:
			to := inst&0xff000 | inst>>9&0x800 | inst>>20&0x7fe | inst>>11&0x100000
			to += pc
			b[i+1], b[i+2], b[i+3] = b[i+1]&0xf|byte(to>>13)&0xf0, byte(to>>9), byte(to>>1)
			i += 2
		case b[i]&0x7f == 0x17 && inst&0xe80 != 0:
			if (inst<<8^(next-3))&0xf8003 != 0 {
				i += 4
				continue
			}
			to := inst&0xfffff000 + uint32(int32(next)>>20) + pc
			le.PutUint32(b[i:], 0x117|next<<12)
			binary.BigEndian.PutUint32(b[i+4:], to)
			i += 6
		case b[i]&0x7f == 0x17:
			if (inst-0x3100)&0x3f80 >= inst>>27&0x1d {
				i += 2
				continue
			}
			le.PutUint32(b[i:], 0x17|inst>>27<<7|next&0xfffff000)
			le.PutUint32(b[i+4:], inst>>12|next<<20)
			i += 6
		}
	}
}

// FuzzXZFilter: unfiltering undoes filtering, also in pieces.
func FuzzXZFilter(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(branchSample(xzFilterARM64, seed, 400), false, uint32(seed*4), uint16(50))
		f.Add(branchSample(xzFilterRISCV, seed, 400), true, uint32(seed*2), uint16(37))
	}
	f.Fuzz(func(t *testing.T, want []byte, riscv bool, pos uint32, piece uint16) {
		h, filter := xzBlock{filter: xzFilterARM64}, filterARM64
		pos &^= 3
		if riscv {
			h.filter, filter = xzFilterRISCV, filterRISCV
		}
		packed := append([]byte(nil), want...)
		filter(packed, pos)
		whole := append([]byte(nil), packed...)
		h.unfilter(whole, pos)
		if !bytes.Equal(whole, want) {
			t.Fatalf("unfilter(filter(% x)) = % x", want, whole)
		}
		// As xzFiltered does: what is not final is tried again with more.
		done := 0
		for end := int(piece); ; end += int(piece) + 16 {
			end = min(end, len(packed))
			done += h.unfilter(packed[done:end], pos+uint32(done))
			if end == len(packed) {
				break
			}
		}
		if !bytes.Equal(packed, want) {
			t.Fatalf("unfilter in pieces of %d = % x; want % x", piece, packed, want)
		}
	})
}
