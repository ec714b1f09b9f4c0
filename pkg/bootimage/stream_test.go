package bootimage

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// Decompress finds each codec by itself, and leaves what is not compressed as it is.
func TestDecompress(t *testing.T) {
	want := bytes.Repeat([]byte("some text, and more of it; "), 10000)
	for codec, name := range map[string]string{"gzip": "gzip", "xz": "xz", "zstd": "zstd", "lz4": "lz4", "lz4-legacy": "lz4", "lzma": "lzma", "lzo": "lzo"} {
		packed, err := imagetest.Compress(codec, want)
		if errors.Is(err, exec.ErrNotFound) {
			t.Logf("%s: %v", codec, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r, got, err := Decompress(bytes.NewReader(packed))
		if err != nil || got != name {
			t.Errorf("Decompress(%s) = %q, %v", codec, got, err)
			continue
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, want) {
			t.Errorf("Decompress(%s) gives %d bytes, %v; want %d", codec, len(b), err, len(want))
		}
		if r, _, err := Decompress(bytes.NewReader(packed[:len(packed)/2])); err == nil {
			if b, err := io.ReadAll(r); err == nil {
				t.Errorf("Decompress(half of %s) gives %d bytes and no error", codec, len(b))
			}
		}
	}
	for _, plain := range []string{"", "x", "070701, not compressed"} {
		r, name, err := Decompress(bytes.NewReader([]byte(plain)))
		if err != nil || name != "" {
			t.Errorf("Decompress(%q) = %q, %v", plain, name, err)
			continue
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != plain {
			t.Errorf("Decompress(%q) gives %q, %v", plain, b, err)
		}
	}
}
