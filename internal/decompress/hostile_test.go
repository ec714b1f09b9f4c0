package decompress

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/gokexec/gokexec/internal/alloctest"
)

// decoderMemory is what a decoder takes for itself here, in bytes: the windows that the encoders chose.
const decoderMemory = 20 << 20

// allocated is how many bytes f allocates in all.
// A stream is read with the window that it asks for, of 128 MiB at most, and nothing else.
func TestHostileWindow(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<27), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := w.Write(make([]byte, 16<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	used := alloctest.Bytes(func() {
		r, _, err := Stream(NewReader(&b))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != 1<<30 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	if used > MaxWindow+decoderMemory {
		t.Errorf("%d bytes were allocated", used)
	}
}
