package bootimage

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/imagetest"
)

// maxHintRatio is how far a file's claim of its unpacked size is believed.
const maxHintRatio = 8

// decoderMemory is what a decoder takes for itself here, in bytes: the windows that the encoders chose.
const decoderMemory = 20 << 20

// allocated is how many bytes f allocates in all.
// What a small file unpacks to costs no more memory than it takes, and nothing where it is too large.
func TestHostileUnpack(t *testing.T) {
	const size, limit = 64 << 20, 4 << 20
	big := make([]byte, size)
	copy(big, imagetest.GoodBzImage().Bytes())
	for _, name := range imagetest.Codecs {
		packed := imagetest.Compress(t, name, big)
		// With its size behind it, a wrong size, another file's end.
		for _, behind := range [][]byte{nil, le.AppendUint32(nil, size), {0xff, 0xff, 0xff, 0xff}, {9, 0, 0, 0}} {
			if behind != nil && name != "gzip" && name != "zstd" {
				continue // they take little behind them
			}
			file := append(bytes.Clone(packed), behind...)
			used := alloctest.Bytes(func() {
				img, err := Open(bytes.NewReader(file), int64(len(file)))
				if err != nil || img.Size() != size {
					t.Errorf("%s: Open() = %v", name, err)
				}
			})
			most := uint64(size + maxHintRatio*len(file) + 2*decoderMemory)
			if name == "lz4-legacy" {
				most += 3 * size // its blocks of 8 MiB come from a pool that the collector empties
			}
			if used > most {
				t.Errorf("%s, % x behind it: %d bytes were allocated for %d of %d; want at most %d", name, behind, used, size, len(file), most)
			}
			used = alloctest.Bytes(func() {
				if _, err := OpenWithin(bytes.NewReader(file), int64(len(file)), limit); !errors.Is(err, ErrTooLarge) {
					t.Errorf("%s: OpenWithin() = %v", name, err)
				}
			})
			if used > limit+2*decoderMemory {
				t.Errorf("%s: %d bytes were allocated for what is too large", name, used)
			}
		}
	}
}

// A bzImage's payload and a zboot program are wrappings as well.
func TestHostileWrapped(t *testing.T) {
	packed := imagetest.Compress(t, "gzip", make([]byte, 100<<20))
	z := imagetest.GoodBzImage()
	z.Kernel = append(make([]byte, 64), packed...)
	z.PayloadOffset, z.PayloadLength, z.KernelInfo = 64, uint32(len(packed)), 0
	b := z.Bytes()
	img, err := OpenWithin(bytes.NewReader(b), int64(len(b)), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	used := alloctest.Bytes(func() {
		if _, err := img.BzImage.VMLinux(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("VMLinux() = %v", err)
		}
	})
	if used > 8<<20+decoderMemory {
		t.Errorf("%d bytes were allocated", used)
	}
}

// An initrd that a UKI only says it has, in a hole of a sparse file, is not read.
func TestHostileInitrd(t *testing.T) {
	b := imagetest.PE(0x8664, section(".linux", string(imagetest.GoodBzImage().Bytes())), imagetest.Section{Name: ".initrd", Data: make([]byte, 1<<20)})
	img, err := OpenWithin(bytes.NewReader(b), int64(len(b)), 512<<10)
	if err != nil {
		t.Fatal(err)
	}
	used := alloctest.Bytes(func() {
		if _, err := img.Initrd(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Initrd() = %v", err)
		}
	})
	if used > 64<<10 {
		t.Errorf("%d bytes were allocated", used)
	}
}
