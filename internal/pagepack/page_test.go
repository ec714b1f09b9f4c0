package pagepack_test

import (
	"bytes"
	"compress/zlib"
	"hash/adler32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/gokexec/gokexec/internal/pagepack"
)

// packer packs pages, and has another implementation unpack them.
type packer struct {
	name   string
	pack   func(dst, page []byte) []byte
	unpack func(t testing.TB, packed []byte) ([]byte, error)
	most   int // bytes by which a page may grow
}

// packers makes new packers of both formats.
func packers(t testing.TB) []packer {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return []packer{
		{"zstd", new(pagepack.Zstd).Append, func(_ testing.TB, b []byte) ([]byte, error) { return d.DecodeAll(b, nil) }, 21},
		{"zlib", new(pagepack.Zlib).Append, unzlib, 300},
	}
}

func unzlib(t testing.TB, b []byte) ([]byte, error) {
	in := bytes.NewReader(b)
	r, err := zlib.NewReader(in)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(r)
	if err == nil && in.Len() > 0 {
		t.Errorf("%d bytes behind the stream", in.Len())
	}
	return out, err
}

// check packs a page behind other data, and unpacks it.
func check(t testing.TB, k packer, p []byte) (size int) {
	t.Helper()
	const before = "before"
	out := k.pack([]byte(before), p)
	if !bytes.HasPrefix(out, []byte(before)) {
		t.Fatal("Append changes what is before the page")
	}
	out = out[len(before):]
	if len(out) > len(p)+k.most {
		t.Errorf("%d bytes get %d", len(p), len(out))
	}
	if got, err := k.unpack(t, out); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("a page of %d bytes: unpacking = %v, equal %v", len(p), err, bytes.Equal(got, p))
	}
	return len(out)
}

// page makes a page of one of several kinds, as a kernel's memory has them.
func page(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	switch r.IntN(6) {
	case 0: // zeroes with some bytes
		for range r.IntN(40) {
			b[r.IntN(n)] = byte(r.Uint32())
		}
	case 1: // noise
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case 2: // pointers
		for i := 0; i+8 <= n; i += 8 {
			v := uint64(0xffff888000000000) + uint64(r.IntN(1<<r.IntN(30)+1))*8
			for j := range 8 {
				b[i+j] = byte(v >> (8 * j))
			}
		}
	case 3: // text
		for i := range b {
			b[i] = "etaoin shrdlu"[min(r.IntN(20), 12)]
		}
	case 4: // bytes of a skewed distribution
		for i := range b {
			b[i] = byte(r.ExpFloat64() * 30)
		}
	case 5: // repeated structures
		s := make([]byte, 1+r.IntN(300))
		for i := range s {
			s[i] = byte(r.Uint32())
		}
		for i := 0; i < n; i += len(s) {
			copy(b[i:], s)
			s[r.IntN(len(s))]++
		}
	}
	return b
}

// TestAppend packs pages of all sizes.
func TestAppend(t *testing.T) {
	for _, k := range packers(t) {
		t.Run(k.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			total, packed := 0, 0
			for i := range 3000 {
				n := 256
				switch {
				case i%3 == 0:
					n = 4096
				case i%3 == 1:
					n += r.IntN(1 << (6 + r.IntN(10)))
				case i%30 == 2:
					n = 64<<10 + 1 - r.IntN(3)
				case i%30 == 5:
					n = 256<<10 - r.IntN(2)*r.IntN(1<<16)
				}
				total += n
				packed += check(t, k, page(r, n))
			}
			if packed > total/2 {
				t.Errorf("%d bytes are packed into %d", total, packed)
			}
		})
	}
}

// TestAppendArray packs pages of an array, whose elements differ from page to page in the same bytes.
func TestAppendArray(t *testing.T) {
	for _, k := range packers(t) {
		t.Run(k.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, 10))
			p := page(r, 4096)
			for at := 64; at < len(p); at += 64 {
				copy(p[at:], p[:64])
			}
			for i := range 500 {
				for at := 8; at < len(p); at += 64 {
					p[at] = byte(i*7 + at/64)
				}
				if i%50 == 0 {
					p[r.IntN(len(p))]++
				}
				check(t, k, p)
			}
		})
	}
}

// TestAppendAllocates checks that packing allocates nothing.
func TestAppendAllocates(t *testing.T) {
	for _, k := range packers(t) {
		t.Run(k.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			pages := make([][]byte, 50)
			dst := make([]byte, 0, 16<<10)
			for i := range pages {
				pages[i] = page(r, 4096)
				k.pack(dst, pages[i])
			}
			if n := testing.AllocsPerRun(10, func() {
				for _, p := range pages {
					k.pack(dst, p)
				}
			}); n > 0 {
				t.Errorf("%v allocations for %d pages", n, len(pages))
			}
		})
	}
}

// FuzzAppend packs any page; unpacked it is the same.
func FuzzAppend(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(page(r, 256+r.IntN(4000)))
	}
	both := packers(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < pagepack.MinZstdPage {
			return
		}
		for _, k := range both {
			check(t, k, p)
		}
	})
}

// TestAppendLong has sequences with as many bits as there can be: long literals, long matches from far back, next to
// short ones that give the codes long states.
func TestAppendLong(t *testing.T) {
	for _, k := range packers(t) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range []int{4096, 16 << 10, 64 << 10, 256 << 10} {
			for range 200 {
				check(t, k, longPage(r, n))
			}
		}
	}
}

func longPage(r *rand.Rand, n int) []byte {
	p := page(r, n)
	if r.IntN(2) == 0 {
		for i := range p[:n/2] {
			p[i] = byte(r.Uint32())
		}
	}
	for at := 0; at < n; {
		m := 1 + r.IntN(1<<r.IntN(16))
		if at > 0 && r.IntN(3) > 0 {
			at += copy(p[at:min(at+m, n)], p[r.IntN(at):])
		} else {
			at += m
		}
	}
	at := n/2 - r.IntN(n/8)
	copy(p[at:], p[:n/2])
	return p
}

// TestAppendIsDeterministic checks that what former pages leave behind does not matter.
func TestAppendIsDeterministic(t *testing.T) {
	used := packers(t)
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 500 {
		p := page(r, 256+r.IntN(70<<10)>>r.IntN(8))
		for j, first := range packers(t) {
			if a, b := used[j].pack(nil, p), first.pack(nil, p); !bytes.Equal(a, b) {
				t.Fatalf("%s: page %d: %d bytes become %d with new memory, and %d others with what was used", first.name, i, len(p), len(b), len(a))
			}
		}
	}
}

// TestZlibOfAnySize packs the smallest inputs, and such as end at a block.
func TestZlibOfAnySize(t *testing.T) {
	k := packers(t)[1]
	r := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{0, 1, 2, 3, 8, 9, 10, 31, 255, 32<<10 - 1, 32 << 10, 32<<10 + 1, 96 << 10} {
		for _, p := range [][]byte{make([]byte, n), bytes.Repeat([]byte("abcd"), n)[:n], page(r, n+9)[:n]} {
			check(t, k, p)
		}
	}
}

// TestChecksum compares the checksum of streams with another implementation's: zlib's decoder does so, too, but for what is
// packed only.
func TestChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, n := range []int{0, 1, 127, 128, 129, 4096, 5000, 32 << 10, 64<<10 + 7} {
		for _, fill := range []func() byte{func() byte { return 0xff }, func() byte { return byte(r.Uint32()) }} {
			p := make([]byte, n)
			for i := range p {
				p[i] = fill()
			}
			cut := r.IntN(n + 1)
			if got, want := pagepack.Adler32(pagepack.Adler32(1, p[:cut]), p[cut:]), adler32.Checksum(p); got != want {
				t.Errorf("%d bytes, of them %d at first: %#x, want %#x", n, cut, got, want)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	pages := make([][]byte, 100)
	for i := range pages {
		pages[i] = page(r, 4096)
	}
	dst := make([]byte, 0, 16<<10)
	for _, k := range packers(b) {
		b.Run(k.name, func(b *testing.B) {
			b.SetBytes(int64(len(pages) * 4096))
			for b.Loop() {
				for _, p := range pages {
					k.pack(dst, p)
				}
			}
		})
	}
}
