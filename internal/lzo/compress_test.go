package lzo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"

	decoder "github.com/anchore/go-lzo"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// check compresses b, and unpacks it again.
func check(t testing.TB, what string, b []byte, work *Work) []byte {
	t.Helper()
	packed := Compress([]byte("before"), b, work)
	if !bytes.HasPrefix(packed, []byte("before")) {
		t.Fatalf("%s: what was in dst is gone", what)
	}
	packed = packed[len("before"):]
	if len(packed) > MaxSize(len(b)) {
		t.Errorf("%s: %d bytes of %d; want %d at most", what, len(packed), len(b), MaxSize(len(b)))
	}
	got := make([]byte, len(b))
	if n, err := decoder.Decompress(packed, got); err != nil || n != len(b) || !bytes.Equal(got, b) {
		t.Fatalf("%s: %d bytes come back as %d, %v; equal: %v\n% x", what, len(b), n, err, bytes.Equal(got, b), b[:min(len(b), 400)])
	}
	return packed
}

// page is a page such as kernels have: pointers, small numbers, text, zeros and noise.
func page(r *rand.Rand, size int) []byte {
	var b []byte
	for len(b) < size {
		switch n := r.IntN(40); r.IntN(6) {
		case 0:
			b = append(b, make([]byte, 4*n)...)
		case 1:
			for range n {
				b = binary.LittleEndian.AppendUint64(b, 0xffff888000000000|r.Uint64N(1<<30)&^63)
			}
		case 2:
			for range n {
				b = binary.LittleEndian.AppendUint32(b, uint32(r.IntN(300)))
			}
		case 3:
			for range n {
				b = append(b, []string{"crash ", "kernel ", "dump ", "of ", "memory ", "target\n"}[r.IntN(6)]...)
			}
		case 4:
			for range n {
				b = append(b, byte(r.Uint32()))
			}
		case 5:
			if from := r.IntN(len(b) + 1); from < len(b) {
				b = append(b, b[from:min(from+8*n, len(b))]...)
			}
		}
	}
	return b[:size]
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Each length, of what is all literals, of one run, and of what repeats.
func TestCompressLengths(t *testing.T) {
	work, r := &Work{}, rand.New(rand.NewPCG(1, 2))
	random := noise(r, 600)
	lengths := []int{4095, 4096, 16384, 49151, 49152, 65535, 65536, 65537, 1 << 20}
	for n := range 600 {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		check(t, fmt.Sprint(n, " random"), slices.Repeat(random, n/len(random)+1)[:n], work)
		check(t, fmt.Sprint(n, " zeros"), make([]byte, n), work)
		check(t, fmt.Sprint(n, " text"), bytes.Repeat([]byte("crash kernel "), n/13+1)[:n], work)
	}
}

// Each distance and each length of a match, and each number of literals before it, around
// the limits of the instructions.
func TestCompressMatches(t *testing.T) {
	work, r := &Work{}, rand.New(rand.NewPCG(3, 4))
	random := noise(r, 1<<16)
	for _, distance := range []int{4, 5, 8, 9, maxNear - 1, maxNear, maxNear + 1, maxMiddle - 1, maxMiddle, maxMiddle + 1, maxMiddle + 2, 2*maxMiddle - 1, 2 * maxMiddle, 2*maxMiddle + 1, maxDistance - 1, maxDistance, maxDistance + 1, 60000} {
		for _, length := range []int{3, 4, 5, 8, 9, 10, 11, 33, 34, 35, 40, 263, 264, 265, 288, 289, 290, 543, 544, 600, 1000} {
			for _, literals := range []int{0, 1, 2, 3, 4, 17, 18, 19, 20, 238, 239, 272, 273, 274, 275, 600} {
				b := bytes.Clone(random[:distance])
				for len(b) < distance+length {
					b = append(b, b[len(b)-distance])
				}
				b = append(b, random[len(random)-literals:]...)
				b = append(b, b[len(b)-min(len(b), 50):]...)
				check(t, fmt.Sprintf("distance %d, length %d, %d literals", distance, length, literals), b, work)
			}
		}
	}
}

// The table that a former call leaves, and the room in dst, do not matter.
func TestCompressIsDeterministic(t *testing.T) {
	used, r := &Work{}, rand.New(rand.NewPCG(5, 6))
	for i := range 200 {
		b := page(r, 1+r.IntN(70000))
		packed := check(t, fmt.Sprint("page ", i), b, used)
		if again := Compress(make([]byte, 0, r.IntN(100000)), b, &Work{}); !bytes.Equal(again, packed) {
			t.Fatalf("%d bytes become %d, and again %d others", len(b), len(packed), len(again))
		}
	}
}

// What is compressed is smaller, and what can't be is little larger.
func TestCompressRatio(t *testing.T) {
	work, r := &Work{}, rand.New(rand.NewPCG(7, 8))
	for name, tt := range map[string]struct {
		b    []byte
		most int
	}{
		"zeros": {make([]byte, 4096), 40},
		"text":  {bytes.Repeat([]byte("0123456789 crash kernel\n"), 200)[:4096], 70},
		"noise": {noise(r, 4096), 4096 + 20},
		"pages": {page(r, 1<<16), 1 << 15},
		// A segment without a match does not make the next one's search coarse.
		"noise, then text": {append(noise(r, segment), bytes.Repeat([]byte("crash kernel"), 200)...), segment + 300},
	} {
		if n := len(check(t, name, tt.b, work)); n > tt.most {
			t.Errorf("%s: %d bytes become %d; want %d at most", name, len(tt.b), n, tt.most)
		}
	}
}

func TestCompressDoesNotAllocate(t *testing.T) {
	work, b := &Work{}, page(rand.New(rand.NewPCG(9, 10)), 1<<16)
	dst := make([]byte, 0, MaxSize(len(b)))
	if n := testing.AllocsPerRun(10, func() { Compress(dst, b, work) }); n != 0 {
		t.Errorf("a call allocates %v times; want never", n)
	}
}

// liblzo2's decoder reads it too.
func TestCompressBesideLzop(t *testing.T) {
	lzop, err := exec.LookPath("lzop")
	if err != nil {
		t.Skip("lzop is not installed (Debian: lzop)")
	}
	work, r := &Work{}, rand.New(rand.NewPCG(11, 12))
	var plain, file []byte
	file = imagetest.LzopHeader()
	for i := range 500 {
		b := page(r, 1+r.IntN(1<<17))
		if i%3 == 0 {
			b = b[:min(len(b), 1+i)]
		}
		file = imagetest.AppendLzopBlock(file, b, Compress(nil, b, work))
		plain = append(plain, b...)
	}
	file = append(file, 0, 0, 0, 0)
	c := exec.Command(lzop, "-d", "-c")
	c.Stdin = bytes.NewReader(file)
	var said bytes.Buffer
	c.Stderr = &said
	got, err := c.Output()
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("lzop -d: %v, %d bytes of %d, equal: %v\n%s", err, len(got), len(plain), bytes.Equal(got, plain), &said)
	}
}

// Any input comes back, whatever the table holds.
func FuzzCompress(f *testing.F) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, b := range [][]byte{nil, []byte("x"), make([]byte, 300), bytes.Repeat([]byte("abc"), 100), page(r, 4096)} {
		f.Add(b, uint16(len(b)), uint16(0))
	}
	f.Add([]byte("crash kernel"), uint16(5000), uint16(60000))
	work := &Work{}
	f.Fuzz(func(t *testing.T, b []byte, gap, more uint16) {
		check(t, "input", b, work)
		// The input twice, so far apart.
		check(t, "twice", slices.Concat(b, noise(rand.New(rand.NewPCG(uint64(gap), 0)), int(gap)), b, make([]byte, more), b), work)
	})
}

func BenchmarkCompress(b *testing.B) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, size := range []int{4096, 16384, 65536} {
		pages := page(r, 1<<22)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			work, dst := &Work{}, make([]byte, 0, MaxSize(size))
			b.SetBytes(int64(len(pages)))
			packed := 0
			for b.Loop() {
				packed = 0
				for at := 0; at < len(pages); at += size {
					packed += len(Compress(dst, pages[at:at+size], work))
				}
			}
			b.ReportMetric(float64(packed)/float64(len(pages)), "ratio")
		})
	}
}
