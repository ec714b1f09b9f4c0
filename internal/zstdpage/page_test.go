package zstdpage_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/gokexec/gokexec/internal/zstdpage"
)

func decoder(t testing.TB) *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return d
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

// TestAppend packs pages of all sizes and unpacks them with another implementation.
func TestAppend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d := decoder(t)
	var w zstdpage.Work
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
		p := page(r, n)
		out := zstdpage.Append([]byte("before"), p, &w)
		if !bytes.HasPrefix(out, []byte("before")) {
			t.Fatal("Append changes what is before the frame")
		}
		out = out[6:]
		if len(out) > n+21 {
			t.Errorf("%d bytes get %d", n, len(out))
		}
		total, packed = total+n, packed+len(out)
		got, err := d.DecodeAll(out, nil)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("page %d of %d bytes: unpacking = %v, equal %v", i, n, err, bytes.Equal(got, p))
		}
	}
	if packed > total/2 {
		t.Errorf("%d bytes are packed into %d", total, packed)
	}
}

// TestAppendAllocates checks that packing allocates nothing.
func TestAppendAllocates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w zstdpage.Work
	pages := make([][]byte, 50)
	dst := make([]byte, 0, 8192)
	for i := range pages {
		pages[i] = page(r, 4096)
		zstdpage.Append(dst, pages[i], &w)
	}
	if n := testing.AllocsPerRun(10, func() {
		for _, p := range pages {
			zstdpage.Append(dst, p, &w)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d pages", n, len(pages))
	}
}

// FuzzAppend packs any page; unpacked it is the same.
func FuzzAppend(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(page(r, 256+r.IntN(4000)))
	}
	d := decoder(f)
	var w zstdpage.Work
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < zstdpage.MinPage {
			return
		}
		out := zstdpage.Append(nil, p, &w)
		if got, err := d.DecodeAll(out, nil); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("unpacking = %v, equal %v", err, bytes.Equal(got, p))
		}
		if len(out) > len(p)+21 {
			t.Errorf("%d bytes get %d", len(p), len(out))
		}
	})
}

// TestAppendLong has sequences with as many bits as there can be: long literals, long matches from far back, next to
// short ones that give the codes long states.
func TestAppendLong(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := decoder(t)
	var w zstdpage.Work
	for _, n := range []int{4096, 16 << 10, 64 << 10, 256 << 10} {
		for range 200 {
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
			out := zstdpage.Append(nil, p, &w)
			if got, err := d.DecodeAll(out, nil); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d bytes: unpacking = %v, equal %v", n, err, bytes.Equal(got, p))
			}
		}
	}
}

// TestAppendIsDeterministic checks that what former pages leave in a Work does not matter.
func TestAppendIsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var used zstdpage.Work
	for i := range 500 {
		p := page(r, 256+r.IntN(70<<10)>>r.IntN(8))
		if again, first := zstdpage.Append(nil, p, &used), zstdpage.Append(nil, p, new(zstdpage.Work)); !bytes.Equal(again, first) {
			t.Fatalf("page %d: %d bytes become %d with a new Work, and %d others with one that was used", i, len(p), len(first), len(again))
		}
	}
}
