package decompress

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/klauspost/compress/zstd"
)

// decoderMemory is what a decoder takes for itself here, in bytes: the windows that the encoders chose.
const decoderMemory = 20 << 20

// allocated is how many bytes f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func compress(t testing.TB, codec string, b []byte) []byte {
	t.Helper()
	packed, err := imagetest.Compress(codec, b)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

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
	used := allocated(func() {
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
