package bootimage

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/decompress"
	"github.com/gokexec/gokexec/internal/imagetest"
)

// openFile opens a kernel that must be good.
func openFile(t *testing.T, path string) *Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := Open(f, st.Size())
	if err != nil {
		t.Fatalf("Open(%s) = %v; want no error", path, err)
	}
	return img
}

// TestRealKernel reads the kernel named by GOKEXEC_VM_KERNEL.
func TestRealKernel(t *testing.T) {
	path := os.Getenv("GOKEXEC_VM_KERNEL")
	if path == "" {
		t.Skip("GOKEXEC_VM_KERNEL is not set")
	}
	img := openFile(t, path)
	release, err := img.Release()
	if err != nil || release == "" {
		t.Errorf("Release() of %v = %q, %v; want a release", img, release, err)
	}
	if img.MemSize < uint64(img.Size())/2 {
		t.Errorf("MemSize of %v = %#x; want at least half of its %#x bytes", img, img.MemSize, img.Size())
	}
	kernel, err := img.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"gzip", "zstd", "lz4-legacy", "lzo"} { // the writers of the others are slow
		packed := imagetest.Compress(t, codec, kernel)
		got, err := decompress.Of(packed).Unpack(bytes.NewReader(packed), int64(len(packed)), int64(len(kernel)), MaxUnpacked)
		if err != nil || !bytes.Equal(got, kernel) {
			t.Errorf("%s: unpack(compress(kernel)) = %d bytes, %v; want %d", codec, len(got), err, len(kernel))
		}
	}
	if img.BzImage == nil {
		return
	}
	if err := img.BzImage.CheckKexec64(false); err != nil {
		t.Errorf("CheckKexec64 = %v; want no error", err)
	}
	checkVMLinux(t, img, release)
}

// checkVMLinux unpacks the payload, and compares the release in it.
func checkVMLinux(t *testing.T, img *Image, release string) {
	t.Helper()
	v, err := img.BzImage.VMLinux()
	if err != nil {
		t.Fatalf("VMLinux() = %v; want no error", err)
	}
	got, err := v.Release()
	if err != nil || got != release {
		t.Errorf("Release() of %v = %q, %v; want that of the bzImage, %q", v, got, err, release)
	}
	if v.Machine != img.Machine || v.MemSize > img.MemSize {
		t.Errorf("%v needs %#x bytes; want the machine of %v and at most its %#x", v, v.MemSize, img, img.MemSize)
	}
}

// TestKernelOfEachCodec unpacks real kernels, one per compression that the
// kernel's build knows: the test data of the u-root module, where the module
// cache has it.
func TestKernelOfEachCodec(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/u-root/u-root").Output()
	if err != nil {
		t.Skip("go list: ", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "pkg/boot/bzimage/testdata/bzImage-linux5.10-x86_64-*"))
	if err != nil || len(files) == 0 {
		t.Skip("no kernels there: ", err)
	}
	for _, path := range files {
		codec := path[strings.LastIndexByte(path, '-')+1:]
		t.Run(codec, func(t *testing.T) {
			img := openFile(t, path)
			release, err := img.Release()
			if err != nil || release != "5.10.0-dirty" {
				t.Errorf("Release() = %q, %v; want 5.10.0-dirty", release, err)
			}
			checkVMLinux(t, img, release)
		})
	}
}
