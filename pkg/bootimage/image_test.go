package bootimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// openBytes opens a file that is b.
func openBytes(b []byte) (*Image, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestOpen(t *testing.T) {
	arm64, riscv, bz := imagetest.GoodARM64().Bytes(), imagetest.GoodRISCV().Bytes(), imagetest.GoodBzImage().Bytes()
	vmlinux := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes()
	oldARM64 := imagetest.GoodARM64()
	oldARM64.EFIStub = false
	bz32 := imagetest.GoodBzImage()
	bz32.XLoadFlags = 0
	uki := imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: bz})
	const release = "6.12.9-gokexec"
	tests := []struct {
		name     string
		file     []byte
		format   Format
		machine  elf.Machine
		memSize  uint64
		wrapping []string
		kernel   []byte // the file itself when nil
		release  string
	}{
		{"bzImage", bz, FormatBzImage, elf.EM_X86_64, 0x3400000, nil, nil, release},
		{"bzImage, 32 bits", bz32.Bytes(), FormatBzImage, elf.EM_386, 0x3400000, nil, nil, release},
		{"vmlinux", vmlinux, FormatELF, elf.EM_X86_64, 0x204000, nil, nil, release},
		{"vmlinux, big endian", imagetest.GoodELF(elf.EM_PPC64, binary.BigEndian).Bytes(), FormatELF, elf.EM_PPC64, 0x204000, nil, nil, release},
		{"arm64 Image", arm64, FormatARM64, elf.EM_AARCH64, 0x80000, nil, nil, release},
		{"arm64 Image without EFI stub", oldARM64.Bytes(), FormatARM64, elf.EM_AARCH64, 0x80000, nil, nil, release},
		{"riscv Image", riscv, FormatRISCV, elf.EM_RISCV, 0x40000, nil, nil, release},
		{"loongarch Image", imagetest.LoongArch(0x30000, imagetest.Banner("6.6.1")), FormatLoongArch, elf.EM_LOONGARCH, 0x30000, nil, nil, "6.6.1"},
		{"ARM zImage", imagetest.ARMzImage(binary.LittleEndian, imagetest.Filler(512)), FormatARM, elf.EM_ARM, 0, nil, nil, ""},
		{"ARM zImage, big endian", imagetest.ARMzImage(binary.BigEndian, imagetest.Filler(512)), FormatARM, elf.EM_ARM, 0, nil, nil, ""},
		{"s390 image", imagetest.S390(), FormatS390, elf.EM_S390, 0, nil, nil, ""},
		{"Image.gz", imagetest.Compress(t, "gzip", arm64), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"gzip"}, arm64, release},
		{"Image.lz4-dtb", append(imagetest.Compress(t, "lz4-legacy", arm64), "\xd0\x0d\xfe\xed\x00\x00\x10\x00..."...), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"lz4"}, arm64, release},
		{"Image.lz4-dtb, as a frame", append(imagetest.Compress(t, "lz4", arm64), "\xd0\x0d\xfe\xed\x00\x00\x10\x00..."...), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"lz4"}, arm64, release},
		{"Image.gz-dtb", append(imagetest.Compress(t, "gzip", arm64), "\xd0\x0d\xfe\xed..."...), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"gzip"}, arm64, release},
		{"vmlinux.xz", imagetest.Compress(t, "xz", vmlinux), FormatELF, elf.EM_X86_64, 0x204000, []string{"xz"}, vmlinux, release},
		{"zboot", imagetest.Zboot(imagetest.Compress(t, "gzip", arm64), "gzip", 0), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"zboot(gzip)"}, arm64, release},
		{"uImage of Image.lzo", imagetest.UImage(imagetest.Compress(t, "lzo", arm64), 2, 4), FormatARM64, elf.EM_AARCH64, 0x80000, []string{"uimage", "lzo"}, arm64, release},
		{"uki", uki, FormatBzImage, elf.EM_X86_64, 0x3400000, []string{"uki"}, nil, release},
		{"uki of zboot", imagetest.PE(0xaa64, imagetest.Section{Name: ".linux", Data: imagetest.Zboot(imagetest.Compress(t, "zstd", arm64), "zstd22", uint32(len(arm64)))}),
			FormatARM64, elf.EM_AARCH64, 0x80000, []string{"uki", "zboot(zstd)"}, arm64, release},
		{"four wrappings", imagetest.Compress(t, "zstd", imagetest.Compress(t, "lz4", imagetest.Compress(t, "xz", imagetest.Compress(t, "gzip", riscv)))),
			FormatRISCV, elf.EM_RISCV, 0x40000, []string{"zstd", "lz4", "xz", "gzip"}, riscv, release},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := openBytes(tt.file)
			if err != nil {
				t.Fatalf("Open = %v; want no error", err)
			}
			if img.Format != tt.format || img.Machine != tt.machine || img.MemSize != tt.memSize {
				t.Errorf("Open = %v, machine %v, MemSize %#x; want %v, %v, %#x", img.Format, img.Machine, img.MemSize, tt.format, tt.machine, tt.memSize)
			}
			if !slices.Equal(img.Wrapping, tt.wrapping) {
				t.Errorf("Wrapping = %q; want %q", img.Wrapping, tt.wrapping)
			}
			if got, want := img.Unwrapped(), tt.wrapping == nil; got != want {
				t.Errorf("Unwrapped() = %v; want %v", got, want)
			}
			if got, err := img.Release(); got != tt.release || err != nil {
				t.Errorf("Release() = %q, %v; want %q", got, err, tt.release)
			}
			want := tt.kernel
			if want == nil && tt.wrapping == nil {
				want = tt.file
			}
			if want == nil {
				return
			}
			got, err := img.Bytes()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("Bytes() = %d bytes, %v; want the kernel's %d bytes", len(got), err, len(want))
			}
			read, err := io.ReadAll(img.Reader())
			if err != nil || !bytes.Equal(read, want) {
				t.Errorf("Reader() gives %d bytes, %v; want the kernel's %d bytes", len(read), err, len(want))
			}
		})
	}
}

// countingReader counts the bytes that are asked for.
type countingReader struct {
	io.ReaderAt
	n int
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	c.n += len(b)
	return c.ReaderAt.ReadAt(b, off)
}

func TestOpenReadsHeadersOnly(t *testing.T) {
	uki := imagetest.PE(0x8664,
		imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()},
		imagetest.Section{Name: ".initrd", Data: make([]byte, 1<<20)})
	for name, file := range map[string][]byte{
		"bzImage":     imagetest.GoodBzImage().Bytes(),
		"arm64 Image": imagetest.GoodARM64().Bytes(),
		"vmlinux":     imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes(),
		"uki":         uki,
	} {
		r := &countingReader{ReaderAt: bytes.NewReader(file)}
		if _, err := Open(r, int64(len(file))); err != nil {
			t.Errorf("%s: Open = %v; want no error", name, err)
		}
		if limit := 16 << 10; r.n > limit {
			t.Errorf("%s: Open read %d of %d bytes; want at most %d", name, r.n, len(file), limit)
		}
	}
}

func TestOpenErrorOfReader(t *testing.T) {
	want := errors.New("input/output error")
	if _, err := Open(failingReader{want}, 1<<20); !errors.Is(err, want) {
		t.Errorf("Open = %v; want it to wrap %v", err, want)
	}
	// A file that shrank.
	if _, err := Open(bytes.NewReader(make([]byte, 100)), 1<<20); !errors.Is(err, ErrTruncated) {
		t.Errorf("Open of a file shorter than its size = %v; want ErrTruncated", err)
	}
}

// TestUnpackErrorOfReader: a disk that fails is not a damaged file.
func TestUnpackErrorOfReader(t *testing.T) {
	want := errors.New("input/output error")
	kernel := imagetest.GoodARM64()
	kernel.Body = append(kernel.Body, imagetest.Filler(1<<20)...)
	for _, codec := range imagetest.Codecs {
		file := imagetest.Compress(t, codec, kernel.Bytes())
		_, err := Open(halfReader{file, want}, int64(len(file)))
		if !errors.Is(err, want) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) {
			t.Errorf("%s: Open = %v; want it to wrap %q only", codec, err, want)
		}
	}
}

// halfReader fails in the second half of a file.
type halfReader struct {
	file []byte
	err  error
}

func (h halfReader) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > int64(len(h.file)/2) {
		return 0, h.err
	}
	return bytes.NewReader(h.file).ReadAt(b, off)
}

type failingReader struct{ err error }

func (f failingReader) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestRelease(t *testing.T) {
	far := append(imagetest.Filler(bannerChunk-20), imagetest.Banner("6.1.0-50-amd64")...) // over the edge of a chunk
	decoy := append([]byte("Linux version %s\x00Linux version 7\x00Linux version magic (\x00"), imagetest.Banner("5.10.1")...)
	tests := []struct {
		name, want string
		wantErr    bool
		body       []byte
	}{
		{"none", "", false, []byte("nothing")},
		{"over the edge of a chunk", "6.1.0-50-amd64", false, far},
		{"decoys", "5.10.1", false, decoy},
		{"a path", "", true, imagetest.Banner("6.1/../../etc")},
	}
	for _, tt := range tests {
		a := imagetest.GoodARM64()
		a.Body = tt.body
		img, err := openBytes(a.Bytes())
		if err != nil {
			t.Fatalf("%s: Open = %v", tt.name, err)
		}
		if got, err := img.Release(); got != tt.want || (err != nil) != tt.wantErr {
			t.Errorf("%s: Release() = %q, %v; want %q, error %v", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestARM64Header(t *testing.T) {
	a := imagetest.GoodARM64()
	a.Flags, a.TextOffset = 1|3<<1, 0x80000
	img, err := openBytes(a.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	h := img.ARM64
	if !h.BigEndian() || h.PageSize() != 64<<10 || h.AnyPlacement() || h.TextOffset != 0x80000 {
		t.Errorf("header = %+v; want big endian, 64K pages, text_offset 0x80000, not any placement", h)
	}
	if err := h.CheckImageSize(); err != nil {
		t.Errorf("CheckImageSize() = %v; want no error", err)
	}
	a.ImageSize = 0
	if img, err = openBytes(a.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := img.ARM64.CheckImageSize(); !errors.Is(err, ErrNoImageSize) {
		t.Errorf("CheckImageSize() = %v; want ErrNoImageSize", err)
	}
}
