package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio" // an independent reader and writer of archives

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/imagetest"
)

// archiveOf is a newc cpio archive with files of so many zero bytes, padded to a block.
func archiveOf(names []string, size int) []byte {
	b := imagetest.Cpio(size, names...)
	return append(b, make([]byte, -len(b)&511)...)
}

// packed is b in the form that the kernel reads.
func packed(t testing.TB, codec string, b []byte) []byte {
	t.Helper()
	if codec == "xz" {
		codec = "xz-crc32"
	}
	return imagetest.Compress(t, codec, b)
}

const (
	testPage  = 4096
	testLimit = 64 << 20
)

func TestRead(t *testing.T) {
	early := archiveOf([]string{"kernel/x86/microcode/GenuineIntel.bin"}, 5000)
	main := archiveOf([]string{"init", "usr/lib/modules/6.12.1/kernel/drivers/block/virtio-blk.ko.xz", "usr/lib/modules/6.12.1/modules.dep",
		"./lib/modules/6.1.0/kernel/fs/ext4/ext4.ko"}, 100)
	files := uint64(4 * (testPage + inodeOverhead))
	both := []string{"6.1.0", "6.12.1"}
	for _, tt := range []struct {
		name     string
		b        []byte
		unpacked uint64
		files    int
		releases []string
		err      string
	}{
		{"plain", main, files, 4, both, ""},
		{"two archives", slices.Concat(early, main), 2*testPage + files + inodeOverhead, 5, both, ""},
		{"microcode only", early, 2*testPage + inodeOverhead, 1, nil, ""},
		{"empty files take no page", archiveOf([]string{"dev", "proc"}, 0), 2 * inodeOverhead, 2, nil, ""},
		{"nothing after padding", append(slices.Clone(main), make([]byte, 5000)...), files, 4, both, ""},
		{"text", []byte("hello, this is not an archive"), 0, 0, nil, ErrNotInitramfs.Error()},
		{"empty", nil, 0, 0, nil, ErrNotInitramfs.Error()},
		{"zeros only", make([]byte, 5000), 0, 0, nil, ErrNotInitramfs.Error()},
		{"compressed text", packed(t, "gzip", []byte("hello, this is not an archive")), 0, 0, nil, ErrNotInitramfs.Error()},
		{"garbage after it", append(slices.Clone(main), "garbage, garbage"...), files, 4, both, ErrTrailing.Error()},
		{"unaligned archive after it", slices.Concat(main, []byte{0}, main), files, 4, both, "must begin at a multiple of 4"},
		{"cut in a header", main[:50], 0, 0, nil, "archive entry at 0: unexpected EOF"},
		{"cut in contents", main[:180], testPage + inodeOverhead, 1, nil, "contents of init (entry at 0): unexpected EOF"},
		{"no trailer, which the kernel does not need", main[:bytes.Index(main, []byte(cpio.Trailer))-headerSize], files, 4, both, ""},
		{"other cpio", []byte(strings.Replace(string(main), "070701", "070707", 1)), 0, 0, nil, "no cpio magic"},
		{"bad size", []byte(strings.Replace(string(main), "00000064", "0000zz64", 1)), 0, 0, nil, "invalid syntax"},
		{"long name", []byte(strings.Replace(string(main), fmt.Sprintf("%08x00000000init", 5), "0100000000000000init", 1)), 0, 0, nil, "unexpected EOF"},
		{"too large", archiveOf([]string{"init"}, testLimit/100*101), testLimit + 1, 1, nil, ErrTooLarge.Error()},
		{"expands too much", packed(t, "zstd", slices.Concat(main, make([]byte, testLimit/100*120))), testLimit + 1, 4, both, ErrTooLarge.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := Read(bytes.NewReader(tt.b), testLimit)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Read() = %v; want %q", err, tt.err)
			}
			if in.Files != tt.files || tt.files > 0 && (max(in.Unpacked, tt.unpacked) > testLimit) != (tt.err == ErrTooLarge.Error()) ||
				tt.err == "" && in.Unpacked != tt.unpacked || !slices.Equal(in.Releases, tt.releases) {
				t.Errorf("Read() = %+v; want %d bytes, %d files, %v", in, tt.unpacked, tt.files, tt.releases)
			}
		})
	}
	in, err := Read(bytes.NewReader(main), testLimit)
	if err != nil || !in.Modules["virtio_blk"] || !in.Modules["ext4"] || len(in.Modules) != 2 || !in.Init {
		t.Errorf("Read() = %+v, %v; want init, virtio_blk and ext4", in, err)
	}
}

// Every archive of a file is read, whatever packs it and how many zeros follow: the kernel goes on
// right after a compressed stream.
func TestReadParts(t *testing.T) {
	a := archiveOf([]string{"init", "lib/modules/6.12.1/a.ko"}, 3000)
	b := archiveOf([]string{"lib/modules/6.1.0/b.ko.zst"}, 3000)
	bz, err := os.ReadFile("testdata/two-files.cpio.bz2")
	if err != nil {
		t.Fatal(err)
	}
	firsts := map[string][]byte{"bzip2": bz, "none": a}
	for _, codec := range []string{"gzip", "xz", "zstd", "lz4-legacy", "lzma", "lzo"} {
		firsts[codec] = packed(t, codec, a)
	}
	for codec, first := range firsts {
		one, err := Read(bytes.NewReader(first), testLimit)
		if err != nil || one.Files == 0 || !one.Init {
			t.Fatalf("Read(%s) = %+v, %v", codec, one, err)
		}
		for _, zeros := range []int{0, 1, 2, 3, 4, 5, 8, 511, 70000} {
			for _, next := range []string{"none", "gzip", "xz", "zstd", "lz4-legacy"} {
				second := b
				if next != "none" {
					second = packed(t, next, b)
				}
				name := fmt.Sprintf("%s, %d zeros, %s", codec, zeros, next)
				in, err := Read(bytes.NewReader(slices.Concat(first, make([]byte, zeros), second)), testLimit)
				misaligned := (len(first)+zeros)%4 != 0
				switch {
				case codec == "lz4-legacy" && zeros < 4 && (zeros > 0 || next != "lz4-legacy"):
					// The kernel takes the next four bytes for a chunk's size.
					if err == nil {
						t.Errorf("%s: no error; want a bad chunk", name)
					}
				case next == "none" && misaligned:
					if !errors.Is(err, ErrTrailing) {
						t.Errorf("%s: %v; want %v", name, err, ErrTrailing)
					}
				case err != nil || in.Files != one.Files+1 || !in.Modules["b"] || !slices.Contains(in.Releases, "6.1.0"):
					t.Errorf("%s: Read() = %+v, %v; want the second archive too", name, in, err)
				}
			}
		}
		if in, err := Read(bytes.NewReader(slices.Concat(first, make([]byte, 8), []byte("garbage"))), testLimit); !errors.Is(err, ErrTrailing) || in.Files != one.Files {
			t.Errorf("%s and garbage: %+v, %v; want ErrTrailing", codec, in, err)
		}
		if in, err := Read(bytes.NewReader(first[:len(first)/2]), testLimit); err == nil && codec != "none" {
			t.Errorf("half of %s: %+v, no error", codec, in)
		}
	}
}

// The kernel's xz decoder takes no CRC64, which xz(1) writes by default.
func TestReadXZCheck(t *testing.T) {
	b := imagetest.Compress(t, "xz", archiveOf([]string{"init"}, 10))
	if _, err := Read(bytes.NewReader(b), testLimit); err == nil || !strings.Contains(err.Error(), "CRC32") {
		t.Errorf("Read() = %v; want that only CRC32 is taken", err)
	}
}

// What is in dracut's inner filesystem isn't seen, and that is known.
func TestReadInner(t *testing.T) {
	f, err := os.Open("testdata/dracut-squash.img")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, err := Read(f, testLimit)
	if err != nil || in.Inner != "squash-root.img" {
		t.Errorf("Read() = %+v, %v; want the inner image", in, err)
	}
}

// An old-style ramdisk is told from an initramfs and from garbage, compressed or not.
func TestReadRamdisk(t *testing.T) {
	ext2 := make([]byte, 8192)
	binary.LittleEndian.PutUint16(ext2[1024+56:], 0xef53)
	copy(ext2[1024:], "\x80\x00\x00\x00\x00\x04")
	squash := append([]byte("hsqs"), make([]byte, 5000)...)
	for want, b := range map[string][]byte{"ext2": ext2, "squashfs": squash, "ext2 ": packed(t, "gzip", ext2)} {
		want = strings.TrimSpace(want)
		if in, err := Read(bytes.NewReader(b), testLimit); err != nil || in.Ramdisk != want {
			t.Errorf("Read(%s) = %+v, %v", want, in, err)
		}
	}
}

// What another writer of archives makes is read the same.
func TestReadOfURoot(t *testing.T) {
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	err := cpio.WriteRecords(w, []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.Directory("lib/modules/6.12.1", 0o755), cpio.StaticFile("init", string(make([]byte, 10000)), 0o755),
		cpio.Symlink("sbin/init", "../init"), cpio.StaticFile("nix/store/x-linux/lib/modules/6.12.1/nvme-core.ko.zst", "", 0o644),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	in, err := Read(bytes.NewReader(packed(t, "zstd", b.Bytes())), testLimit)
	if err != nil {
		t.Fatal(err)
	}
	// The target of a symbolic link is its contents.
	if in.Files != 5 || in.Unpacked != 3*testPage+testPage+5*inodeOverhead || !in.Modules["nvme_core"] || !slices.Equal(in.Releases, []string{"6.12.1"}) {
		t.Errorf("Read() = %+v", in)
	}
}

// The configuration of a capture is kept, unless it is too large to be one.
func TestReadSettings(t *testing.T) {
	for _, size := range []int{0, 100, maxSettings, maxSettings + 1} {
		in, err := Read(bytes.NewReader(archiveOf([]string{"init", ConfigPath, "x"}, size)), testLimit)
		if err != nil || in.Files != 3 || size <= maxSettings && len(in.Settings) != size || size > maxSettings && in.Settings != nil {
			t.Errorf("Read() of %d bytes of settings = %d bytes, %v", size, len(in.Settings), err)
		}
	}
	archive := archiveOf([]string{ConfigPath}, 100)
	if in, err := Read(bytes.NewReader(archive[:len(archive)-400]), testLimit); err == nil {
		t.Errorf("Read() of a cut archive = %+v", in)
	}
}

// Memory and time are bounded by the limit, not by what a file claims.
func TestReadHostile(t *testing.T) {
	bomb := packed(t, "zstd", make([]byte, 400<<20))
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 0xff, 0xff, 0xff}
	for name, b := range map[string][]byte{
		"zeros":         slices.Concat(packed(t, "gzip", archiveOf([]string{"init"}, 10)), bomb),
		"many parts":    bytes.Repeat(packed(t, "gzip", archiveOf([]string{"a"}, 0)), 50000),
		"large windows": bytes.Repeat(window, 1000),
		"many names":    archiveOf(manyNames(20000), 0),
		"claimed size":  []byte(strings.Replace(string(archiveOf([]string{"init"}, 0xabc)), "00000abc", "fffffff0", 1)),
	} {
		var err error
		if used := alloctest.Bytes(func() { _, err = Read(bytes.NewReader(b), 64<<20) }); used > 300<<20 {
			t.Errorf("%s: reading %d bytes allocated %d", name, len(b), used)
		}
		if err == nil && name != "many names" {
			t.Errorf("%s: no error", name)
		}
	}
}

// manyNames are modules of as many kernels, with long names.
func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("lib/modules/%s%d/m%d.ko", strings.Repeat("x", 3000), i, i)
	}
	return names
}

// FuzzRead makes archives by a script and reads them back, and reads the script itself as an initramfs:
// that ends, without taking memory in proportion to what the file claims.
func FuzzRead(f *testing.F) {
	f.Add([]byte{1, 200, 3}, uint16(0))
	f.Add(archiveOf([]string{"init"}, 10), uint16(3))
	for i, codec := range []string{"gzip", "xz", "zstd", "lz4-legacy", "lzma", "lzo"} {
		f.Add(packed(f, codec, archiveOf([]string{"init"}, 10)), uint16(i))
	}
	f.Fuzz(func(t *testing.T, script []byte, cut uint16) {
		if used := alloctest.Bytes(func() {
			if in, err := Read(bytes.NewReader(script), 16<<20); err == nil && in.Files == 0 && in.Unpacked != 0 {
				t.Errorf("Read() = %+v", in)
			}
		}); used > 300<<20+64*uint64(len(script)) {
			t.Errorf("reading %d bytes allocated %d", len(script), used)
		}
		var b []byte
		files, unpacked := 0, uint64(0)
		for i, c := range script[:min(len(script), 20)] {
			names := make([]string, c%4)
			for j := range names {
				names[j] = fmt.Sprintf("lib/modules/6.%d/m%d_%d.ko", c%3, i, j)
			}
			part := archiveOf(names, int(c)*50)
			if c%5 == 1 {
				part = packed(t, "gzip", part)
				part = append(part, make([]byte, -len(part)&3)...)
			}
			b = append(b, part...)
			files += len(names)
			unpacked += uint64(len(names)) * (uint64(int(c)*50+testPage-1)&^(testPage-1) + inodeOverhead)
		}
		if len(b) == 0 {
			return
		}
		in, err := Read(bytes.NewReader(b), testLimit)
		if err != nil || in.Files != files || in.Unpacked != unpacked || len(in.Modules) != files {
			t.Fatalf("Read() = %+v, %v; want %d files, %d bytes", in, err, files, unpacked)
		}
		if n := int(cut) % len(b); n > 0 {
			part, _ := Read(io.LimitReader(bytes.NewReader(b), int64(n)), testLimit)
			if part.Files > files || part.Unpacked > unpacked {
				t.Fatalf("Read(%d of %d bytes) = %+v; the whole has %d files", n, len(b), part, files)
			}
		}
	})
}
