package decompress

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/imagetest"
)

const maxUnpacked = 1 << 30

// unpack is Unpack of what is in memory.
func unpack(c *Codec, packed []byte, hint, limit int64) ([]byte, error) {
	return c.Unpack(bytes.NewReader(packed), int64(len(packed)), hint, limit)
}

// codecFor returns the codec that reads what imagetest.Compress writes.
func codecFor(name string) *Codec {
	return Named(strings.TrimSuffix(name, "-legacy"))
}

// bodies differ in how they compress and in how they fall on block borders.
var bodies = map[string][]byte{
	"one byte": {'x'},
	"bytes":    []byte("0123456789"),
	"filler":   imagetest.Filler(300 << 10),
	"zeroes":   make([]byte, 1<<20+3),
	"mixed":    append(append(imagetest.Filler(5000), make([]byte, 700<<10)...), imagetest.Filler(70000)...),
}

func TestUnpack(t *testing.T) {
	for _, name := range imagetest.Codecs {
		for body, want := range bodies {
			packed := imagetest.Compress(t, name, want)
			c := Of(packed)
			if c == nil || c != codecFor(name) {
				t.Fatalf("%s: Of = %+v; want %s", name, c, name)
			}
			for _, hint := range []int64{0, 3, int64(len(want)), 1 << 40} {
				got, err := unpack(c, packed, hint, maxUnpacked)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s of %s, hint %d: unpack = %d bytes, %v; want the %d bytes", name, body, hint, len(got), err, len(want))
				}
			}
			// Exactly at the limit, and one byte above it.
			if _, err := unpack(c, packed, 0, int64(len(want))); err != nil {
				t.Errorf("%s of %s: unpack at the limit = %v; want no error", name, body, err)
			}
			if _, err := unpack(c, packed, 0, int64(len(want))-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s of %s: unpack one byte above the limit = %v; want ErrTooLarge", name, body, err)
			}
		}
	}
}

// TestUnpackTwice: concatenated streams are one, and a size, a device tree or
// padding behind the last is ignored where the format ends by itself.
func TestUnpackTwice(t *testing.T) {
	want := imagetest.Filler(10000)
	for _, name := range []string{"gzip", "xz", "zstd", "lz4"} {
		packed := append(imagetest.Compress(t, name, want[:6000]), imagetest.Compress(t, name, want[6000:])...)
		got, err := unpack(codecFor(name), packed, 0, maxUnpacked)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, two streams: unpack = %d bytes, %v; want 10000", name, len(got), err)
		}
	}
	for _, name := range []string{"gzip", "xz", "zstd", "lzma", "lzo"} {
		for _, tail := range []string{"\x00\x00\x00\x00", "\xd0\x0d\xfe\xed and more"} {
			got, err := unpack(codecFor(name), append(imagetest.Compress(t, name, want), tail...), 0, maxUnpacked)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, then %q: unpack = %d bytes, %v; want 10000", name, tail, len(got), err)
			}
		}
	}
	// The kernel's build puts the size behind lz4 -l.
	packed := append(imagetest.Compress(t, "lz4-legacy", want), 0x10, 0x27, 0, 0)
	if got, err := unpack(codecFor("lz4"), packed, 0, maxUnpacked); err != nil || !bytes.Equal(got, want) {
		t.Errorf("lz4 with size: unpack = %d bytes, %v; want 10000", len(got), err)
	}
}

// TestBzip2 reads the output of bzip2 1.0.8 for 1000 times "kernel ".
func TestBzip2(t *testing.T) {
	packed, err := hex.DecodeString(bzip2Kernel)
	if err != nil {
		t.Fatal(err)
	}
	c := Of(packed)
	if c == nil || c.Name != "bzip2" {
		t.Fatalf("Of = %+v; want bzip2", c)
	}
	got, err := unpack(c, packed, 0, maxUnpacked)
	if want := strings.Repeat("kernel ", 1000); err != nil || string(got) != want {
		t.Errorf("unpack = %d bytes, %v; want %d", len(got), err, len(want))
	}
	if _, err := unpack(c, packed[:len(packed)-4], 0, maxUnpacked); !errors.Is(err, ErrTruncated) {
		t.Errorf("unpack of a cut file = %v; want ErrTruncated", err)
	}
}

const bzip2Kernel = "425a68393141592653590e27e90a0007cf91804000020d100020005060026aa3232a41b520da90654836a41ea9072a41f1772453850900e27e90a0"

// TestUnpackAllocation: a few bytes that claim to be much are not believed.
func TestUnpackAllocation(t *testing.T) {
	claims := map[string][]byte{
		"gzip":             imagetest.Compress(t, "gzip", []byte("x")),
		"lzo block":        lzopBlock(64<<20, 100, bytes.Repeat([]byte{0xff}, 100)),
		"lzo empty":        lzopBlock(64<<20, 64<<20-1, nil),
		"zstd frame":       {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0x3f, 0, 0, 0},
		"lz4 legacy block": {0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0x7f, 0, 0},
	}
	for name, packed := range claims {
		const most = 20 << 20
		if got := alloctest.Bytes(func() {
			c := Of(packed)
			if c == nil {
				t.Fatalf("%s: Of = nil", name)
			}
			_, _ = unpack(c, packed, 1<<30, maxUnpacked)
		}); got > most {
			t.Errorf("%s: unpack of %d bytes allocates %d; want at most %d", name, len(packed), got, most)
		}
	}
}

// TestDictionary: a window or dictionary above the limit is refused, one of
// 128 MiB (zstd --ultra -22) is not.
func TestDictionary(t *testing.T) {
	zstdFrame := func(windowLog byte) []byte { // one raw block of one byte
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 0x09, 0, 0, 'x'}
	}
	for windowLog, want := range map[byte]error{20: nil, 27: nil, 28: ErrCorrupt, 31: ErrCorrupt} {
		if got, err := unpack(codecFor("zstd"), zstdFrame(windowLog), 0, maxUnpacked); !errors.Is(err, want) || err == nil && string(got) != "x" {
			t.Errorf("zstd, window of 2^%d: unpack = %q, %v; want %v", windowLog, got, err, want)
		}
	}
	lz := imagetest.Compress(t, "lzma", []byte("x"))
	le.PutUint32(lz[1:], 1<<30)
	if _, err := unpack(codecFor("lzma"), lz, 0, maxUnpacked); !errors.Is(err, ErrCorrupt) {
		t.Errorf("lzma, dictionary of 1 GiB: unpack = %v; want ErrCorrupt", err)
	}
}

func TestSniffLZMA(t *testing.T) {
	const unknown = "\xff\xff\xff\xff\xff\xff\xff\xff"
	tests := []struct {
		name, head string
		want       bool
	}{
		{"lzma -9", "\x5d\x00\x00\x00\x04" + unknown, true},
		{"size given", "\x5d\x00\x00\x80\x00\x00\x00\x10\x00\x00\x00\x00\x00", true},
		{"dictionary of 3 MiB", "\x5d\x00\x00\x30\x00" + unknown, true},
		{"odd dictionary", "\x5d\x12\x34\x56\x04" + unknown, false},
		{"no dictionary", "\x5d\x00\x00\x00\x00" + unknown, false},
		{"huge", "\x5d\x00\x00\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00", false},
		{"text", "]\x00text and more", false},
		{"short", "\x5d\x00\x00\x00\x04", false},
	}
	for _, tt := range tests {
		if got := sniffLZMA([]byte(tt.head)); got != tt.want {
			t.Errorf("%s: sniffLZMA(% x) = %v; want %v", tt.name, tt.head, got, tt.want)
		}
	}
}

// FuzzUnpack: what was compressed comes back, however it is damaged or cut
// there is an error or the same bytes, and never more than the limit.
func FuzzUnpack(f *testing.F) {
	for i := range imagetest.Codecs {
		f.Add([]byte("a kernel, a kernel, a kernel"), uint8(i), uint16(0), uint16(20), byte(1))
		f.Add(make([]byte, 5000), uint8(i), uint16(3), uint16(9), byte(0x80))
	}
	f.Fuzz(func(t *testing.T, body []byte, codec uint8, cut, at uint16, change byte) {
		name := imagetest.Codecs[int(codec)%len(imagetest.Codecs)]
		packed := imagetest.Compress(t, name, body)
		c := codecFor(name)
		got, err := unpack(c, packed, 0, int64(len(body)))
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%s: unpack(compress(%d bytes)) = %d bytes, %v", name, len(body), len(got), err)
		}
		bad := packed[:len(packed)-int(cut)%len(packed)]
		bad[int(at)%len(bad)] ^= change
		limit := int64(2*len(body) + 10)
		got, err = unpack(c, bad, 0, limit)
		if err != nil {
			return
		}
		if int64(len(got)) > limit {
			t.Fatalf("%s: unpack of damaged data = %d bytes; the limit is %d", name, len(got), limit)
		}
		if name == "lzma" || name == "lz4-legacy" || name == "lz4" {
			return // without a checksum, or with one that a changed flag turns off
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("%s: unpack of damaged data = %d other bytes, and no error", name, len(got))
		}
	})
}

// Whatever LZ4 writes comes through, in pieces of any size, up to a device tree behind
// it.
func FuzzLZ4Input(f *testing.F) {
	f.Add([]byte("some text, some text"), uint8(0), []byte("\x00\x00\x10\x00tree"), uint16(7))
	f.Add(bytes.Repeat([]byte{0xd0, 0x0d, 0xfe, 0xed}, 5000), uint8(1), []byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, tree []byte, piece uint16) {
		packed := imagetest.Compress(t, []string{"lz4", "lz4-legacy"}[kind%2], data)
		for range kind / 2 % 3 { // frames behind one another
			packed = append(packed, packed...)
		}
		in := &lz4Input{r: bufio.NewReader(bytes.NewReader(append(slices.Clip(packed), "\xd0\x0d\xfe\xed"+string(tree)...)))}
		var got []byte
		b := make([]byte, int(piece)%100+1)
		for {
			n, err := in.Read(b)
			got = append(got, b[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, packed) {
			t.Errorf("%d bytes came through; want the %d of LZ4", len(got), len(packed))
		}
	})
}
