package loader

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// archive is a newc cpio archive with files of so many zero bytes.
func archive(names []string, size int) []byte {
	var b []byte
	entry := func(name string, size int) {
		b = fmt.Appendf(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
		b = append(b, make([]byte, -len(b)&3)...)
		b = append(b, make([]byte, size+-size&3)...)
	}
	for _, name := range names {
		entry(name, size)
	}
	entry(cpioTrailer, 0)
	return append(b, make([]byte, -len(b)&511)...)
}

func compressed(t testing.TB, codec string, b []byte) []byte {
	t.Helper()
	out, err := imagetest.Compress(codec, b)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadInitramfs(t *testing.T) {
	early := archive([]string{"kernel/x86/microcode/GenuineIntel.bin"}, 5000)
	main := archive([]string{"init", "usr/lib/modules/6.12.1/kernel/drivers/block/virtio-blk.ko.xz", "usr/lib/modules/6.12.1/modules.dep",
		"./lib/modules/6.1.0/kernel/fs/ext4/ext4.ko"}, 100)
	const page = 4096
	for _, tt := range []struct {
		name     string
		b        []byte
		unpacked uint64
		files    int
		codec    string
		releases []string
		err      string
	}{
		{"plain", main, 4 * (page + inodeOverhead), 4, "", []string{"6.1.0", "6.12.1"}, ""},
		{"two archives", slices.Concat(early, main), 2*page + 4*page + 5*inodeOverhead, 5, "", []string{"6.1.0", "6.12.1"}, ""},
		{"microcode only", early, 2*page + inodeOverhead, 1, "", nil, ""},
		{"empty files take no page", archive([]string{"dev", "proc"}, 0), 2 * inodeOverhead, 2, "", nil, ""},
		{"nothing behind padding", append(slices.Clone(main), make([]byte, 5000)...), 4 * (page + inodeOverhead), 4, "", []string{"6.1.0", "6.12.1"}, ""},
		{"text", []byte("hello, this is not an archive"), 0, 0, "", nil, ErrNotInitramfs.Error()},
		{"empty", nil, 0, 0, "", nil, ErrNotInitramfs.Error()},
		{"garbage behind", append(slices.Clone(main), "garbage, garbage"...), 4 * (page + inodeOverhead), 4, "", []string{"6.1.0", "6.12.1"}, "something else than an archive behind the first"},
		{"cut in a header", main[:50], 0, 0, "", nil, "archive entry at 50: unexpected EOF"},
		{"cut in contents", main[:180], page + inodeOverhead, 1, "", nil, "contents of init: unexpected EOF"},
		{"no trailer", main[:len(main)-512], 0, 0, "", nil, "unexpected EOF"},
		{"bad size", []byte(strings.Replace(string(main), "00000064", "0000zz64", 1)), 0, 0, "", nil, "invalid syntax"},
		{"long name", []byte(strings.Replace(string(main), fmt.Sprintf("%08x00000000init", 5), "0100000000000000init", 1)), 0, 0, "", nil, "name of 16777216 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) { checkInitramfs(t, tt.b, tt.unpacked, tt.files, tt.codec, tt.releases, tt.err) })
	}
	for _, codec := range []string{"gzip", "xz", "zstd", "lz4-legacy", "lzma"} {
		t.Run(codec, func(t *testing.T) {
			b := slices.Concat(early, compressed(t, codec, main))
			name := strings.TrimSuffix(codec, "-legacy")
			checkInitramfs(t, b, 2*page+4*page+5*inodeOverhead, 5, name, []string{"6.1.0", "6.12.1"}, "")
			checkInitramfs(t, compressed(t, codec, main), 4*(page+inodeOverhead), 4, name, []string{"6.1.0", "6.12.1"}, "")
		})
	}
	in, err := ReadInitramfs(bytes.NewReader(main))
	if err != nil || !in.Modules["virtio_blk"] || !in.Modules["ext4"] || len(in.Modules) != 2 {
		t.Errorf("Modules = %v, %v; want virtio_blk and ext4", in.Modules, err)
	}
}

func checkInitramfs(t *testing.T, b []byte, unpacked uint64, files int, codec string, releases []string, wantErr string) {
	t.Helper()
	in, err := ReadInitramfs(bytes.NewReader(b))
	if (err != nil) != (wantErr != "") || err != nil && !strings.Contains(err.Error(), wantErr) {
		t.Fatalf("ReadInitramfs() = %v; want %q", err, wantErr)
	}
	if err != nil && files == 0 {
		return
	}
	if in.Unpacked != unpacked || in.Files != files || in.Compressed != codec || err == nil && !slices.Equal(in.Releases, releases) {
		t.Errorf("ReadInitramfs() = %+v; want %d bytes, %d files, %q, %v", in, unpacked, files, codec, releases)
	}
}

// What another writer of archives makes is read the same.
func TestReadInitramfsOfURoot(t *testing.T) {
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	err := cpio.WriteRecords(w, []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.Directory("lib/modules/6.12.1", 0o755), cpio.StaticFile("init", string(make([]byte, 10000)), 0o755),
		cpio.Symlink("sbin/init", "../init"), cpio.StaticFile("lib/modules/6.12.1/nvme-core.ko.zst", "", 0o644),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	in, err := ReadInitramfs(bytes.NewReader(compressed(t, "zstd", b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	// The target of a symbolic link is its contents.
	if in.Files != 5 || in.Unpacked != 3*4096+4096+5*inodeOverhead || !in.Modules["nvme_core"] || !slices.Equal(in.Releases, []string{"6.12.1"}) {
		t.Errorf("ReadInitramfs() = %+v", in)
	}
}

// FuzzReadInitramfs makes archives by a script and reads them back, and reads the script itself as an
// initramfs: that ends, without taking memory in proportion to what the file claims.
func FuzzReadInitramfs(f *testing.F) {
	f.Add([]byte{1, 200, 3}, uint16(0))
	f.Add(archive([]string{"init"}, 10), uint16(3))
	f.Fuzz(func(t *testing.T, script []byte, cut uint16) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if in, err := ReadInitramfs(bytes.NewReader(script)); err == nil && in.Files == 0 && in.Unpacked != 0 {
			t.Errorf("ReadInitramfs() = %+v", in)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 300<<20+64*uint64(len(script)) {
			t.Errorf("reading %d bytes allocated %d", len(script), used)
		}
		var b []byte
		files, unpacked := 0, uint64(0)
		for i, c := range script[:min(len(script), 20)] {
			names := make([]string, c%4)
			for j := range names {
				names[j] = fmt.Sprintf("lib/modules/6.%d/m%d_%d.ko", c%3, i, j)
			}
			b = append(b, archive(names, int(c)*50)...)
			files += len(names)
			unpacked += uint64(len(names)) * (pageUp(uint64(c)*50) + inodeOverhead)
		}
		if len(b) == 0 {
			return
		}
		if cut%2 == 1 {
			b = compressed(t, "gzip", b)
		}
		in, err := ReadInitramfs(bytes.NewReader(b))
		if err != nil || in.Files != files || in.Unpacked != unpacked || len(in.Modules) != files {
			t.Fatalf("ReadInitramfs() = %+v, %v; want %d files, %d bytes", in, err, files, unpacked)
		}
		if n := int(cut) % len(b); n > 0 {
			part, _ := ReadInitramfs(bytes.NewReader(b[:n]))
			if part.Files > files || part.Unpacked > unpacked {
				t.Fatalf("ReadInitramfs(%d of %d bytes) = %+v; the whole has %d files", n, len(b), part, files)
			}
		}
	})
}
